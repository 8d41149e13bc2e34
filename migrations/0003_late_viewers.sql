-- What a viewer is told that comes when the engine has let go of the job: its log's last position, the state before
-- the end without its value, and what the schema declares; JSON. Jobs from before have none.
ALTER TABLE jobs ADD COLUMN log_end TEXT;

-- Lists by status; `queued` stands for all that have not ended.
CREATE INDEX jobs_by_status ON jobs (tenant, status, id);

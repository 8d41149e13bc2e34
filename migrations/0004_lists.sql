-- Lists by model: few of one model may lie among many of another.
CREATE INDEX jobs_by_model ON jobs (tenant, model, id);
CREATE INDEX jobs_by_model_and_status ON jobs (tenant, model, status, id);

-- What the engine told of a job and this version cannot read, as it was told: for one that can.
CREATE TABLE archive_aside (
    job TEXT NOT NULL,
    record TEXT NOT NULL,
    aside_ms BIGINT NOT NULL
);

-- Lists by time: what does not lie in it is passed over by the index alone, without reading rows that may have megabytes.
DROP INDEX jobs_of_tenant;
CREATE INDEX jobs_of_tenant ON jobs (tenant, id, submitted_ms);
DROP INDEX jobs_by_status;
CREATE INDEX jobs_by_status ON jobs (tenant, status, id, submitted_ms);
DROP INDEX jobs_by_model;
CREATE INDEX jobs_by_model ON jobs (tenant, model, id, submitted_ms);
DROP INDEX jobs_by_model_and_status;
CREATE INDEX jobs_by_model_and_status ON jobs (tenant, model, status, id, submitted_ms);

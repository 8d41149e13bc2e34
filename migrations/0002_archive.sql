-- The archive: what became of jobs, for lists and bills. Times are milliseconds since 1970.

CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    model TEXT NOT NULL,
    metadata TEXT NOT NULL,
    status TEXT NOT NULL,
    submitted_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    error_code TEXT,
    error TEXT,
    value TEXT,
    sha256 TEXT,
    best TEXT,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cached_input_tokens BIGINT NOT NULL,
    estimated INTEGER NOT NULL,
    timings TEXT NOT NULL
);

-- Lists go by tenant, newest first; ids rise with the time of submission.
CREATE INDEX jobs_of_tenant ON jobs (tenant, id);
CREATE INDEX jobs_by_end ON jobs (ended_ms);

CREATE TABLE attempts (
    job TEXT NOT NULL,
    n BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cached_input_tokens BIGINT NOT NULL,
    estimated INTEGER NOT NULL,
    repairs BIGINT NOT NULL,
    PRIMARY KEY (job, n)
);

-- The embedded engine's own tables: queue, logs and checkpoints of its jobs. Times are milliseconds since 1970.

-- What is fixed with a job. `spec` is empty once the job has ended.
CREATE TABLE engine_jobs (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    spec TEXT NOT NULL,
    shape TEXT NOT NULL,
    idempotency_key TEXT,
    request_sha256 TEXT,
    submitted_ms BIGINT NOT NULL
);

-- What changes: where a job stands, and its log's line of epochs and last position.
CREATE TABLE engine_runs (
    job TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    until_ms BIGINT NOT NULL,
    claims BIGINT NOT NULL,
    deliveries BIGINT NOT NULL,
    losses BIGINT NOT NULL,
    restarts BIGINT NOT NULL,
    cancelled_ms BIGINT,
    claimed_ms BIGINT,
    ended_ms BIGINT,
    record TEXT NOT NULL,
    lineage TEXT NOT NULL,
    epoch TEXT NOT NULL,
    seq BIGINT NOT NULL
);

-- The folded state that a job's stored tail follows on.
CREATE TABLE engine_snapshots (
    job TEXT NOT NULL PRIMARY KEY,
    fold TEXT NOT NULL
);

-- The tail of each log. `opens` is the parent epoch of an entry that opens one, empty for a job's first.
CREATE TABLE engine_entries (
    job TEXT NOT NULL,
    seq BIGINT NOT NULL,
    epoch TEXT NOT NULL,
    opens TEXT,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (job, seq)
);

-- The raw text of running attempts, in the pieces in which it was stored.
CREATE TABLE engine_raw (
    job TEXT NOT NULL,
    part BIGINT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job, part)
);

-- What the archive is still to be told, in order.
CREATE TABLE engine_outbox (
    id BIGINT NOT NULL PRIMARY KEY,
    job TEXT NOT NULL,
    record TEXT NOT NULL
);

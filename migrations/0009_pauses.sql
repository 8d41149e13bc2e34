-- Tenants whose jobs are given to no worker for now; the one without a name stands for the whole queue.
CREATE TABLE engine_pauses (
    tenant TEXT PRIMARY KEY NOT NULL
);

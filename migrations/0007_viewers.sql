-- Jobs that do not go on without viewers: whether anybody ever viewed one, and whether it is cancelled because nobody
-- does any more.
ALTER TABLE engine_runs ADD COLUMN viewed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE engine_runs ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;

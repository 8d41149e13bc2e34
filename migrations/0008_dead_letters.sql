-- Dead letters: whether a job that has ended was given up, and is kept with what it asks for; and the job that was made of
-- it since.
ALTER TABLE engine_runs ADD COLUMN dead INTEGER NOT NULL DEFAULT 0;
ALTER TABLE engine_runs ADD COLUMN redriven TEXT;

-- What tokens cost, in millionths of the unit that prices are in; empty where no price was known.
ALTER TABLE jobs ADD COLUMN cost BIGINT;
ALTER TABLE attempts ADD COLUMN cost BIGINT;

-- The model that an attempt asked last, as provider/model; attempts from before have none.
ALTER TABLE attempts ADD COLUMN model TEXT;

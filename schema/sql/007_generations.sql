-- Several generations of the folded state side by side. Raw rows and aggregates are shared. The tables that readers
-- know are views of the generation that one row names: to switch all readers at once is to change that row.
CREATE TABLE generations (
    name text PRIMARY KEY,
    settings jsonb NOT NULL DEFAULT '{}',
    fold_version text NOT NULL,
    made timestamptz NOT NULL DEFAULT now(),
    stage text NOT NULL DEFAULT 'following' CHECK (stage IN ('folding', 'following', 'inspection', 'dropping')),
    replay jsonb,
    verdict jsonb
);
COMMENT ON COLUMN generations.settings IS 'the settings in which it differs from what its processes find: {"FIELD_...": "..."}';
COMMENT ON COLUMN generations.stage IS
    'folding: a replay is under way; following: it follows the log; inspection: a part of the log, never switched to; '
    'dropping: a drop has begun';
COMMENT ON COLUMN generations.replay IS 'what the replay folds, and how far it is';
COMMENT ON COLUMN generations.verdict IS 'the last comparison with the generation that was current';

CREATE TABLE current_generation (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    name text NOT NULL REFERENCES generations (name),
    previous text REFERENCES generations (name) ON DELETE SET NULL,
    since timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE current_generation IS 'one row: what all readers see';

CREATE FUNCTION field_generation() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT name FROM current_generation $$;

-- What is there belongs to the generation that wrote it.
INSERT INTO generations (name, fold_version)
SELECT generation, '' FROM projection_positions WHERE projection = 'state' GROUP BY 1;
INSERT INTO current_generation (name)
SELECT generation FROM projection_positions WHERE projection = 'state' ORDER BY updated DESC LIMIT 1;

ALTER TABLE consciousness_states RENAME TO consciousness_states_all;
ALTER TABLE room64_sessions RENAME TO room64_sessions_all;
ALTER TABLE entanglements RENAME TO entanglements_all;
ALTER TABLE shard_positions RENAME TO shard_positions_all;
ALTER TABLE resonance_samples RENAME TO resonance_samples_all;

ALTER TABLE consciousness_states_all ADD COLUMN generation text COLLATE "C" NOT NULL DEFAULT 'live';
ALTER TABLE room64_sessions_all ADD COLUMN generation text COLLATE "C" NOT NULL DEFAULT 'live';
ALTER TABLE entanglements_all ADD COLUMN generation text COLLATE "C" NOT NULL DEFAULT 'live';
ALTER TABLE shard_positions_all ADD COLUMN generation text COLLATE "C" NOT NULL DEFAULT 'live';
ALTER TABLE resonance_samples_all ADD COLUMN generation text COLLATE "C" NOT NULL DEFAULT 'live';
UPDATE consciousness_states_all SET generation = field_generation() WHERE field_generation() <> 'live';
UPDATE room64_sessions_all SET generation = field_generation() WHERE field_generation() <> 'live';
UPDATE entanglements_all SET generation = field_generation() WHERE field_generation() <> 'live';
UPDATE shard_positions_all SET generation = field_generation() WHERE field_generation() <> 'live';
UPDATE resonance_samples_all SET generation = field_generation() WHERE field_generation() <> 'live';
ALTER TABLE consciousness_states_all ALTER COLUMN generation DROP DEFAULT;
ALTER TABLE room64_sessions_all ALTER COLUMN generation DROP DEFAULT;
ALTER TABLE entanglements_all ALTER COLUMN generation DROP DEFAULT;
ALTER TABLE shard_positions_all ALTER COLUMN generation DROP DEFAULT;
ALTER TABLE resonance_samples_all ALTER COLUMN generation DROP DEFAULT;

ALTER TABLE consciousness_states_all DROP CONSTRAINT consciousness_states_pkey, ADD PRIMARY KEY (generation, node_id);
ALTER TABLE room64_sessions_all DROP CONSTRAINT room64_sessions_pkey, ADD PRIMARY KEY (generation, room_id, opened);
ALTER TABLE entanglements_all DROP CONSTRAINT entanglements_pkey, ADD PRIMARY KEY (generation, routing_key, low, high);
ALTER TABLE shard_positions_all DROP CONSTRAINT shard_positions_pkey, ADD PRIMARY KEY (generation, partition, shard);
DROP INDEX resonance_samples_once;
CREATE UNIQUE INDEX resonance_samples_once ON resonance_samples_all (timestamp, node_id, generation);
DROP INDEX room64_sessions_shard;
CREATE INDEX room64_sessions_shard ON room64_sessions_all (generation, partition, shard) WHERE NOT final;
DROP INDEX entanglements_shard;
CREATE INDEX entanglements_shard ON entanglements_all (generation, partition, shard);

CREATE VIEW consciousness_states AS
SELECT node_id, state, resonance, active_nodes, position, watermark, updated, moved
FROM consciousness_states_all
WHERE generation = (SELECT field_generation());

CREATE VIEW room64_sessions AS
SELECT room_id, opened, last, final, present, seated, devices, blooms, phrases, participants, coherence, resonance,
       partition, shard, position
FROM room64_sessions_all
WHERE generation = (SELECT field_generation());

CREATE VIEW entanglements AS
SELECT routing_key, low, high, established, explicit, kind, intensity, last, partition, shard, position
FROM entanglements_all
WHERE generation = (SELECT field_generation());

CREATE VIEW shard_positions AS
SELECT partition, shard, position, writer
FROM shard_positions_all
WHERE generation = (SELECT field_generation());

CREATE VIEW resonance_samples AS
SELECT timestamp, node_id, resonance, active_nodes, position
FROM resonance_samples_all
WHERE generation = (SELECT field_generation());

-- Raw rows are shared, so how far they are is said of the log and of no generation. An events topic of another name
-- is read once more from its start: what is there is not inserted again.
COMMENT ON COLUMN projection_positions.generation IS 'raw: the events topic';
DELETE FROM projection_positions p
WHERE projection = 'raw' AND EXISTS (
    SELECT FROM projection_positions o
    WHERE o.projection = 'raw' AND o.partition = p.partition
      AND (o.log_offset, o.generation) > (p.log_offset, p.generation)
);
UPDATE projection_positions SET generation = 'field.events' WHERE projection = 'raw';

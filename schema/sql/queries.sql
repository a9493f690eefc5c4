-- The statements of the projections, by name (projections/queries.py reads them).

-- name: raw_staging
-- One for each connection; emptied at the end of each transaction.
CREATE TEMPORARY TABLE IF NOT EXISTS raw_staging (
    id uuid, routing_key text COLLATE "C", device_id text COLLATE "C", user_id text, room_id text,
    type text COLLATE "C", data jsonb, position geometry(Point, 4326), z double precision,
    intensity double precision, resonance double precision, target_device text COLLATE "C", timestamp timestamptz,
    received timestamptz, log_partition integer, log_offset bigint, log_index integer
) ON COMMIT DELETE ROWS

-- name: raw_unpack
-- Late rows may reach chunks that are packed already; the setting is there on the Community edition.
SELECT set_config(name, '0', false)
FROM pg_settings
WHERE name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'

-- name: raw_copy
COPY raw_staging FROM STDIN (FORMAT BINARY)

-- name: raw_lock_shared
-- Held by everybody who inserts events or sessions, so that a new toggle sees all rows or the rows see it.
SELECT pg_advisory_xact_lock_shared(%s)

-- name: raw_lock_exclusive
SELECT pg_advisory_xact_lock(%s)

-- name: raw_insert_toggles
INSERT INTO opt_toggles (device_id, timestamp, id, out)
SELECT device_id, timestamp, id, type = 'OPT_OUT'
FROM raw_staging
WHERE type IN ('OPT_OUT', 'OPT_IN')
ON CONFLICT DO NOTHING
RETURNING device_id, timestamp

-- name: raw_insert_events
-- In the order of the log, which a staging table does not promise: of an event that came twice the first place stays.
INSERT INTO consciousness_events (
    id, routing_key, device_id, user_id, room_id, type, data, position, z, intensity, resonance, collective,
    timestamp, received, log_partition, log_offset, log_index
)
SELECT id, routing_key, device_id, user_id, room_id, type, data, position, z, intensity, resonance,
       CASE
           WHEN type IN ('OPT_OUT', 'OPT_IN') THEN false
           WHEN device_id IN (SELECT device_id FROM opt_toggles)
                OR coalesce(target_device IN (SELECT device_id FROM opt_toggles), false)
               THEN field_collective(type, device_id, target_device, timestamp, id)
           ELSE true
       END,
       timestamp, received, log_partition, log_offset, log_index
FROM raw_staging
ORDER BY log_offset, log_index
ON CONFLICT DO NOTHING

-- name: raw_next_toggles
-- From where on the new toggles decide nothing, since each device has a later one; null: one of them has none.
SELECT CASE WHEN bool_and(next IS NOT NULL) THEN max(next) END
FROM unnest(%(devices)s::text[], %(times)s::timestamptz[]) AS n(device, at),
     LATERAL (SELECT min(o.timestamp) FROM opt_toggles o WHERE o.device_id = n.device AND o.timestamp > n.at) AS f(next)

-- name: raw_correct_devices
UPDATE consciousness_events e
SET collective = NOT e.collective
WHERE e.timestamp >= %(since)s AND (%(until)s::timestamptz IS NULL OR e.timestamp <= %(until)s)
  AND e.device_id = ANY(%(devices)s)
  AND e.collective <> field_collective(e.type, e.device_id, e.data ->> 'target_device', e.timestamp, e.id)

-- name: raw_correct_targets
UPDATE consciousness_events e
SET collective = NOT e.collective
WHERE e.timestamp >= %(since)s AND (%(until)s::timestamptz IS NULL OR e.timestamp <= %(until)s)
  AND e.data ->> 'target_device' = ANY(%(devices)s)
  AND e.collective <> field_collective(e.type, e.device_id, e.data ->> 'target_device', e.timestamp, e.id)

-- name: raw_forget_participants
-- In every generation.
UPDATE room64_sessions_all
SET participants = field_participants(participants)
WHERE EXISTS (SELECT FROM jsonb_array_elements(participants) AS p(entry) WHERE p.entry ->> 0 = ANY(%(devices)s))
  AND participants <> field_participants(participants)

-- name: position_load
WITH made AS (
    INSERT INTO projection_positions (projection, generation, partition, log_offset, input_position)
    VALUES (%(projection)s, %(generation)s, %(partition)s, -1, -1)
    ON CONFLICT DO NOTHING
    RETURNING log_offset, input_position
)
SELECT log_offset, input_position FROM made
UNION ALL
SELECT log_offset, input_position
FROM projection_positions
WHERE projection = %(projection)s AND generation = %(generation)s AND partition = %(partition)s

-- name: position_advance
UPDATE projection_positions
SET log_offset = %(log_offset)s, input_position = greatest(input_position, %(input_position)s), updated = now()
WHERE projection = %(projection)s AND generation = %(generation)s AND partition = %(partition)s
  AND log_offset = %(expected)s

-- name: shards_load
SELECT shard, position, writer FROM shard_positions_all WHERE generation = %s AND partition = %s

-- name: shards_store
INSERT INTO shard_positions_all AS s (generation, partition, shard, position, writer)
SELECT %(generation)s, partition, shard, position, writer
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(partition integer, shard integer, position bigint, writer text)
ON CONFLICT (generation, partition, shard) DO UPDATE
SET position = excluded.position, writer = excluded.writer
WHERE excluded.position >= s.position

-- name: sessions_upsert
INSERT INTO room64_sessions_all AS s (
    generation, room_id, opened, last, final, present, seated, devices, blooms, phrases, participants, coherence,
    resonance, partition, shard, position
)
SELECT %(generation)s, room_id, field_time(opened), field_time(last), final, present, seated, devices, blooms, phrases,
       field_participants(participants), coherence, resonance, partition, shard, position
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    room_id text, opened bigint, last bigint, final boolean, present integer, seated integer, devices integer,
    blooms integer, phrases integer, participants jsonb, coherence double precision, resonance double precision,
    partition integer, shard integer, position bigint
)
ON CONFLICT (generation, room_id, opened) DO UPDATE
SET last = excluded.last, final = excluded.final, present = excluded.present, seated = excluded.seated,
    devices = excluded.devices, blooms = excluded.blooms, phrases = excluded.phrases,
    participants = excluded.participants, coherence = excluded.coherence, resonance = excluded.resonance,
    partition = excluded.partition, shard = excluded.shard, position = excluded.position
WHERE excluded.position >= s.position

-- name: pairs_upsert
INSERT INTO entanglements_all AS e (
    generation, routing_key, low, high, established, explicit, kind, intensity, last, partition, shard, position
)
SELECT %(generation)s, routing_key, low, high, to_timestamp(established), explicit, kind,
       intensity / 1e6::double precision, to_timestamp(last), partition, shard, position
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    routing_key text, low text, high text, established bigint, explicit boolean, kind text,
    intensity double precision, last bigint, partition integer, shard integer, position bigint
)
ON CONFLICT (generation, routing_key, low, high) DO UPDATE
SET established = excluded.established, explicit = excluded.explicit, kind = excluded.kind,
    intensity = excluded.intensity, last = excluded.last, partition = excluded.partition, shard = excluded.shard,
    position = excluded.position
WHERE excluded.position >= e.position

-- name: sessions_remove
DELETE FROM room64_sessions_all s
USING jsonb_to_recordset(%(rows)s::jsonb) AS r(room_id text, opened bigint, position bigint)
WHERE s.generation = %(generation)s AND s.room_id = r.room_id AND s.opened = field_time(r.opened)
  AND s.position <= r.position

-- name: pairs_remove
DELETE FROM entanglements_all e
USING jsonb_to_recordset(%(rows)s::jsonb) AS r(routing_key text, low text, high text, position bigint)
WHERE e.generation = %(generation)s AND e.routing_key = r.routing_key AND e.low = r.low AND e.high = r.high
  AND e.position <= r.position

-- name: sessions_sweep
-- After the rows of a full picture are written: what is older than it is not in it.
DELETE FROM room64_sessions_all s
USING jsonb_to_recordset(%(rows)s::jsonb) AS r(partition integer, shard integer, position bigint)
WHERE s.generation = %(generation)s AND s.partition = r.partition AND s.shard = r.shard AND s.position < r.position
  AND NOT s.final

-- name: pairs_sweep
DELETE FROM entanglements_all e
USING jsonb_to_recordset(%(rows)s::jsonb) AS r(partition integer, shard integer, position bigint)
WHERE e.generation = %(generation)s AND e.partition = r.partition AND e.shard = r.shard AND e.position < r.position

-- name: states_upsert
-- The position of a node never goes down, in any of its partitions.
INSERT INTO consciousness_states_all AS s (generation, node_id, state, resonance, active_nodes, position, watermark)
SELECT %(generation)s, node_id, state, resonance, active_nodes, position, field_time(watermark)
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    node_id text, state jsonb, resonance double precision, active_nodes integer, position jsonb, watermark bigint
)
ON CONFLICT (generation, node_id) DO UPDATE
SET state = excluded.state, resonance = excluded.resonance, active_nodes = excluded.active_nodes,
    position = excluded.position, watermark = excluded.watermark, updated = now(),
    moved = CASE WHEN s.position = excluded.position THEN s.moved ELSE now() END
WHERE NOT EXISTS (
    SELECT FROM jsonb_each(s.position) old
    WHERE (old.value)::bigint > coalesce((excluded.position ->> old.key)::bigint, -1)
)

-- name: samples_insert
INSERT INTO resonance_samples_all (generation, timestamp, node_id, resonance, active_nodes, position)
SELECT %(generation)s, field_time(timestamp), node_id, resonance, active_nodes, position
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    timestamp bigint, node_id text, resonance double precision, active_nodes integer, position jsonb
)
ON CONFLICT DO NOTHING

-- name: generation_enter
-- A generation that starts by itself, without a replay; what came from an older schema learns what it is.
INSERT INTO generations (name, fold_version, settings)
VALUES (%(generation)s, %(fold_version)s, %(settings)s::jsonb)
ON CONFLICT (name) DO UPDATE
SET fold_version = excluded.fold_version, settings = excluded.settings
WHERE generations.fold_version = ''

-- name: generation_claim
-- The first generation of a database is what readers see.
INSERT INTO current_generation (name) VALUES (%(generation)s) ON CONFLICT DO NOTHING

-- name: generation_seen
-- What readers see, the settings of its processes, and since when (ms).
SELECT g.name, g.settings, round(extract(epoch FROM c.since) * 1000)::bigint
FROM current_generation c JOIN generations g USING (name)

-- name: generation_current
SELECT name FROM current_generation

-- name: generations_measured
-- Each, whether readers see it, and whether its last comparison found differences.
SELECT g.name, g.stage, coalesce(g.name = c.name, false),
       coalesce(NOT (g.verdict ->> 'equal')::boolean OR jsonb_array_length(g.verdict -> 'stores') > 0, false)
FROM generations g LEFT JOIN current_generation c ON true

-- name: generations
SELECT g.name, g.settings, g.fold_version, g.stage, extract(epoch FROM g.made)::float8, g.replay, g.verdict,
       coalesce(g.name = c.name, false), coalesce(g.name = c.previous, false)
FROM generations g LEFT JOIN current_generation c ON true
ORDER BY g.made, g.name

-- name: generation_make
INSERT INTO generations (name, fold_version, settings, stage, replay)
VALUES (%(generation)s, %(fold_version)s, %(settings)s::jsonb, 'folding', %(replay)s::jsonb)

-- name: generation_stage
UPDATE generations SET stage = %(stage)s WHERE name = %(generation)s

-- name: generation_verdict
UPDATE generations SET verdict = %(verdict)s::jsonb WHERE name = %(generation)s

-- name: generation_switch
-- The one row that all readers follow; nothing happens when somebody else has switched, or drops it, meanwhile.
UPDATE current_generation
SET previous = name, name = %(to)s, since = now()
WHERE name = %(from)s AND EXISTS (SELECT FROM generations WHERE name = %(to)s AND stage = 'following')

-- name: generation_undo
-- Back, and nothing to go back to after that: what was left may have been left for its differences.
UPDATE current_generation
SET previous = NULL, name = %(to)s, since = now()
WHERE name = %(from)s AND EXISTS (SELECT FROM generations WHERE name = %(to)s AND stage = 'following')

-- name: generation_lock
SELECT name FROM current_generation FOR UPDATE

-- name: generation_drop_states
DELETE FROM consciousness_states_all WHERE generation = %(generation)s

-- name: generation_drop_sessions
DELETE FROM room64_sessions_all WHERE generation = %(generation)s

-- name: generation_drop_pairs
DELETE FROM entanglements_all WHERE generation = %(generation)s

-- name: generation_drop_shards
DELETE FROM shard_positions_all WHERE generation = %(generation)s

-- name: generation_drop_samples
DELETE FROM resonance_samples_all WHERE generation = %(generation)s

-- name: generation_drop_positions
DELETE FROM projection_positions WHERE generation = %(generation)s AND projection <> 'raw'

-- name: generation_drop
DELETE FROM generations WHERE name = %(generation)s

-- name: abandoned_end
-- Of any projector, also one whose machine is gone: nobody waits longer than this for a transaction.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = 'field projections'
  AND pid <> pg_backend_pid() AND xact_start < now() - make_interval(secs => %s)

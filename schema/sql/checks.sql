-- What `field replay verify` reads of the stores, by name (projections/queries.py reads them).

-- name: check_state_at
SELECT partition, input_position FROM projection_positions WHERE projection = 'state' AND generation = %s

-- name: check_ahead
-- Rows of a checkpoint whose marker is still to come: what is there is of no position.
SELECT EXISTS (
    SELECT FROM shard_positions_all s JOIN projection_positions p USING (generation, partition)
    WHERE p.projection = 'state' AND generation = %s AND s.position > p.input_position
)

-- name: check_sessions
SELECT room_id, round(extract(epoch FROM opened) * 1000)::bigint, round(extract(epoch FROM last) * 1000)::bigint,
       present, seated, devices, blooms, phrases, participants, coherence, resonance
FROM room64_sessions_all
WHERE generation = %s AND NOT final

-- name: check_ended
SELECT partition, position, room_id, round(extract(epoch FROM opened) * 1000)::bigint,
       round(extract(epoch FROM last) * 1000)::bigint, present, seated, devices, blooms, phrases, participants
FROM room64_sessions_all
WHERE generation = %s AND final

-- name: check_pairs
SELECT routing_key, low, high, extract(epoch FROM established)::bigint, explicit, kind, intensity,
       extract(epoch FROM last)::bigint
FROM entanglements_all
WHERE generation = %s

-- name: check_field
SELECT state, position FROM consciousness_states_all WHERE generation = %s AND node_id = 'field'

-- name: check_raw_at
SELECT partition, input_position FROM projection_positions WHERE projection = 'raw' AND generation = %s

-- name: check_raw
SELECT id::text, routing_key, device_id, user_id, room_id, type, data::text, ST_X(position), ST_Y(position), z,
       intensity, round(extract(epoch FROM timestamp) * 1000)::bigint
FROM consciousness_events

-- name: check_toggles
SELECT device_id, round(extract(epoch FROM timestamp) * 1000)::bigint, id::text, out FROM opt_toggles

-- name: check_collective
-- Rows that count in aggregates and should not, or the other way round: only of those who ever opted out can there be.
SELECT count(*)
FROM consciousness_events e
WHERE collective <> field_collective(type, device_id, data ->> 'target_device', timestamp, id)
  AND (type IN ('OPT_OUT', 'OPT_IN') OR NOT collective OR device_id IN (SELECT device_id FROM opt_toggles)
       OR data ->> 'target_device' IN (SELECT device_id FROM opt_toggles))

-- name: check_aggregates
SELECT view_name, field_aggregate_select(width) FROM field_aggregate_widths() ORDER BY width

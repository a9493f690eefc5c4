-- What the gateway reads, by name (projections/queries.py reads them). Generations are named, not those of the views:
-- a switch between two statements would mix them.

-- name: gateway_bound
-- For this transaction: readers would rather have an older answer than wait.
SELECT set_config('statement_timeout', %s::text, true)

-- name: gateway_field
SELECT c.name, g.fold_version, s.state, s.position, round(extract(epoch FROM s.updated) * 1000)::bigint
FROM current_generation c
JOIN generations g ON g.name = c.name
LEFT JOIN consciousness_states_all s ON s.generation = c.name AND s.node_id = 'field'

-- name: gateway_positions
-- Asked for before the rows, which so reflect that much at least.
SELECT projection, partition, input_position
FROM projection_positions
WHERE (projection = 'state' AND generation = %(generation)s) OR (projection = 'raw' AND generation = coalesce(
    (SELECT settings ->> 'FIELD_EVENTS_TOPIC' FROM generations WHERE name = %(generation)s), %(log)s))

-- name: gateway_position
SELECT position FROM consciousness_states_all WHERE generation = %(generation)s AND node_id = 'field'

-- name: gateway_rooms
-- The fullest of the open rooms, as of their last events.
SELECT room_id, round(extract(epoch FROM opened) * 1000)::bigint, round(extract(epoch FROM last) * 1000)::bigint,
       true, present, seated, devices, blooms, phrases, coalesce(resonance, 0.5), coalesce(coherence, 0), participants
FROM room64_sessions_all
WHERE generation = %(generation)s AND NOT final AND last >= field_time(%(at)s) - make_interval(secs => %(silence_s)s)
ORDER BY present DESC, room_id
LIMIT %(rows)s

-- name: gateway_rooms_page
-- The open rooms by name, for who wants more of them than a snapshot has.
SELECT room_id, round(extract(epoch FROM opened) * 1000)::bigint, round(extract(epoch FROM last) * 1000)::bigint,
       true, present, seated, devices, blooms, phrases, coalesce(resonance, 0.5), coalesce(coherence, 0), participants
FROM room64_sessions_all
WHERE generation = %(generation)s AND NOT final AND last >= field_time(%(at)s) - make_interval(secs => %(silence_s)s)
  AND room_id > %(after)s
ORDER BY room_id
LIMIT %(rows)s

-- name: gateway_room
-- The latest session of a room, over or not.
SELECT room_id, round(extract(epoch FROM opened) * 1000)::bigint, round(extract(epoch FROM last) * 1000)::bigint,
       NOT final AND last >= field_time(%(at)s) - make_interval(secs => %(silence_s)s),
       present, seated, devices, blooms, phrases, coalesce(resonance, 0.5), coalesce(coherence, 0), participants
FROM room64_sessions_all
WHERE generation = %(generation)s AND room_id = %(room)s
ORDER BY opened DESC
LIMIT 1

-- name: gateway_pairs
-- Established and not faded, by routing key; the same two devices may have several.
SELECT low, high, extract(epoch FROM established)::bigint, extract(epoch FROM last)::bigint, explicit, kind,
       round(intensity * 1e6)::bigint
FROM entanglements_all
WHERE generation = %(generation)s AND established IS NOT NULL
  AND (explicit OR last >= field_time(%(at)s) - make_interval(secs => %(fading_s)s))
ORDER BY last DESC NULLS LAST, low, high
LIMIT %(rows)s

-- name: gateway_pairs_page
-- So many pairs by name, of all or of one device, each with all its routing keys.
WITH living AS (
    SELECT low, high, established, last, explicit, kind, intensity
    FROM entanglements_all
    WHERE generation = %(generation)s AND established IS NOT NULL
      AND (explicit OR last >= field_time(%(at)s) - make_interval(secs => %(fading_s)s))
      AND (low, high) > (%(low)s, %(high)s)
      AND (%(device)s::text IS NULL OR low = %(device)s OR high = %(device)s)
)
SELECT low, high, extract(epoch FROM established)::bigint, extract(epoch FROM last)::bigint, explicit, kind,
       round(intensity * 1e6)::bigint
FROM living
JOIN (SELECT DISTINCT low, high FROM living ORDER BY low, high LIMIT %(rows)s) page USING (low, high)

-- name: gateway_particles
-- The newest of the last hour, oldest first. Whoever has opted out since has left none behind.
SELECT id::text, round(extract(epoch FROM timestamp) * 1000)::bigint, device_id, type, intensity, ST_X(position),
       ST_Y(position), z, data
FROM (
    SELECT *
    FROM consciousness_events e
    WHERE type = ANY(%(types)s) AND collective AND timestamp > field_time(%(at)s) - interval '1 hour'
      AND NOT EXISTS (
          SELECT FROM opt_toggles o
          WHERE o.device_id = e.device_id AND o.out AND (o.timestamp, o.id) >= (e.timestamp, e.id)
      )
    ORDER BY timestamp DESC, id DESC
    LIMIT %(rows)s
) AS newest
ORDER BY timestamp, id

-- name: gateway_history
-- {view} is one of the three aggregates.
SELECT round(extract(epoch FROM bucket) * 1000)::bigint, events, active_nodes, resonance, ST_X(centre), ST_Y(centre),
       breaths, spirals, blooms, touches, phrases, fields, entangles, releases, enters, leaves
FROM {view}
WHERE bucket >= field_time(%(from)s) AND bucket < field_time(%(until)s)
ORDER BY bucket
LIMIT %(rows)s

-- name: gateway_counts
-- Of the last hour, by whole minutes.
SELECT coalesce(sum(breaths), 0)::bigint, coalesce(sum(spirals), 0)::bigint, coalesce(sum(blooms), 0)::bigint,
       coalesce(sum(touches), 0)::bigint, coalesce(sum(phrases), 0)::bigint, coalesce(sum(fields), 0)::bigint,
       coalesce(sum(entangles), 0)::bigint, coalesce(sum(releases), 0)::bigint, coalesce(sum(enters), 0)::bigint,
       coalesce(sum(leaves), 0)::bigint
FROM consciousness_field_1min
WHERE bucket >= field_time(%(from)s)

-- name: gateway_lately
-- Within one minute, by event time.
SELECT count(*)
FROM consciousness_events
WHERE collective AND timestamp > field_time(%(from)s) AND timestamp <= field_time(%(until)s)

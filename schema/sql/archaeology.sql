-- What is dug out of the raw rows, by name (projections/queries.py reads them).

-- name: archaeology_where
-- Each filter may be null: the planner knows the values and leaves out what does not filter (never prepared, see
-- projections/gateway/archaeology.py). Whoever has opted out is not shown, nor what he did before, as in sessions
-- (006_forgetting.sql); nor what names him.
collective
  AND timestamp >= coalesce(field_time(%(since)s::bigint), '-infinity')
  AND timestamp < coalesce(field_time(%(until)s::bigint), 'infinity')
  AND (%(types)s::text[] IS NULL OR type = ANY (%(types)s::text[]))
  AND (%(room)s::text IS NULL OR room_id = %(room)s::text)
  AND (%(device)s::text IS NULL OR device_id = %(device)s::text)
  AND (%(min_intensity)s::double precision IS NULL OR intensity >= %(min_intensity)s::double precision)
  -- the index knows single precision only
  AND (%(x0)s::double precision IS NULL
       OR (position && ST_MakeEnvelope(%(x0)s, %(y0)s, %(x1)s, %(y1)s, 4326)
           AND ST_X(position) BETWEEN %(x0)s AND %(x1)s AND ST_Y(position) BETWEEN %(y0)s AND %(y1)s))
  AND NOT EXISTS (
      SELECT FROM opt_toggles o WHERE o.out AND o.device_id = e.device_id AND o.timestamp >= e.timestamp
  )
  AND NOT EXISTS (
      SELECT FROM opt_toggles o
      WHERE o.out AND o.device_id = e.data ->> 'target_device' AND o.timestamp >= e.timestamp
  )

-- name: archaeology_events
-- A page, newest first: by e.id, not by the text that is shown, since the index has that order. The row comparison is
-- not enough for chunks to be passed over, the plain one is.
SELECT id::text, routing_key, device_id, user_id, room_id, type, data::text, ST_X(position), ST_Y(position), z,
       intensity, round(extract(epoch FROM timestamp) * 1000)::bigint,
       round(extract(epoch FROM received) * 1000)::bigint, log_partition, log_offset, log_index
FROM consciousness_events e
WHERE {where}
  AND timestamp <= coalesce(field_time(%(after)s::bigint), 'infinity')
  AND (%(after)s::bigint IS NULL
       OR (timestamp, id, routing_key) < (field_time(%(after)s::bigint), %(after_id)s::uuid, %(after_key)s::text))
ORDER BY e.timestamp DESC, e.id DESC, e.routing_key DESC
LIMIT %(rows)s

-- name: archaeology_patterns
-- What patterns are made of, newest first. Phase and rate are those of breaths.
SELECT round(extract(epoch FROM timestamp) * 1000)::bigint, type, device_id, room_id, intensity,
       CASE WHEN type = 'BREATH' THEN (data ->> 'phase')::double precision END,
       CASE WHEN type = 'BREATH' THEN (data ->> 'rate')::double precision END
FROM consciousness_events e
WHERE {where}
ORDER BY e.timestamp DESC, e.id DESC, e.routing_key DESC
LIMIT %(rows)s

-- Rows of an embedded field, in SQLite (projections/embedded/rows.py): what 001_events.sql and 004_aggregates.sql are in
-- PostgreSQL. Times in ms, ids as text. The file is made anew from the log whenever it does not fit it.

-- name: embedded_schema
CREATE TABLE events (
    timestamp INTEGER NOT NULL,
    id TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    device_id TEXT NOT NULL,
    target TEXT,
    user_id TEXT,
    room_id TEXT,
    type TEXT NOT NULL,
    data TEXT NOT NULL,
    x REAL,
    y REAL,
    z REAL,
    intensity REAL NOT NULL,
    resonance REAL,
    received INTEGER NOT NULL,
    log_partition INTEGER NOT NULL,
    log_offset INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    PRIMARY KEY (timestamp, id, routing_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_device ON events (device_id, timestamp);
CREATE TABLE opt_toggles (
    device_id TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    id TEXT NOT NULL,
    out INTEGER NOT NULL,
    PRIMARY KEY (device_id, timestamp, id)
) STRICT, WITHOUT ROWID;
-- The last record of the log that the rows reflect; written with them.
CREATE TABLE positions (partition INTEGER PRIMARY KEY, position INTEGER NOT NULL) STRICT;
-- As field_collective() of 003_opted_out.sql, asked for each time: nothing has to be corrected when a toggle comes late.
CREATE VIEW collective AS
SELECT *
FROM events e
WHERE type NOT IN ('OPT_OUT', 'OPT_IN')
  AND NOT coalesce((
      SELECT o.out FROM opt_toggles o
      WHERE o.device_id = e.device_id AND (o.timestamp, o.id) < (e.timestamp, e.id)
      ORDER BY o.timestamp DESC, o.id DESC LIMIT 1
  ), 0)
  AND NOT coalesce((
      SELECT o.out FROM opt_toggles o
      WHERE o.device_id = e.target AND (o.timestamp, o.id, o.device_id) < (e.timestamp, e.id, e.device_id)
      ORDER BY o.timestamp DESC, o.id DESC LIMIT 1
  ), 0);

-- name: embedded_event
-- The first place of an event that is there twice stays.
INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: embedded_toggle
INSERT OR IGNORE INTO opt_toggles VALUES (?, ?, ?, ?)

-- name: embedded_moved
INSERT OR REPLACE INTO positions VALUES (?, ?)

-- name: embedded_positions
SELECT partition, position FROM positions ORDER BY partition

-- name: embedded_toggles
SELECT device_id, timestamp, id, out
FROM (SELECT * FROM opt_toggles ORDER BY timestamp DESC, id DESC LIMIT :most)
ORDER BY timestamp, id

-- name: embedded_history
SELECT timestamp - timestamp % :width, count(*), count(DISTINCT device_id), avg(resonance), avg(x), avg(y),
       sum(type = 'BREATH'), sum(type = 'SPIRAL'), sum(type = 'BLOOM'), sum(type = 'TOUCH'),
       sum(type = 'SACRED_PHRASE'), sum(type = 'FIELD'), sum(type = 'ENTANGLE'), sum(type = 'RELEASE'),
       sum(type = 'ENTER'), sum(type = 'LEAVE')
FROM collective
WHERE timestamp >= :from AND timestamp < :until
GROUP BY 1
ORDER BY 1
LIMIT :rows

-- name: embedded_counts
-- By whole minutes.
SELECT type, count(*) FROM collective WHERE timestamp >= :from GROUP BY type

-- name: embedded_lately
SELECT count(*) FROM collective WHERE timestamp > :from AND timestamp <= :until

-- name: embedded_where
-- As archaeology_where.
timestamp >= coalesce(:since, 0) AND timestamp < coalesce(:until, 9000000000000000)
  AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types)))
  AND (:room IS NULL OR room_id = :room)
  AND (:device IS NULL OR device_id = :device)
  AND (:min_intensity IS NULL OR intensity >= :min_intensity)
  AND (:x0 IS NULL OR (x BETWEEN :x0 AND :x1 AND y BETWEEN :y0 AND :y1))
  AND NOT EXISTS (
      SELECT 1 FROM opt_toggles o WHERE o.out AND o.device_id = e.device_id AND o.timestamp >= e.timestamp
  )
  AND NOT EXISTS (
      SELECT 1 FROM opt_toggles o WHERE o.out AND o.device_id = e.target AND o.timestamp >= e.timestamp
  )

-- name: embedded_events
-- As archaeology_events.
SELECT id, routing_key, device_id, user_id, room_id, type, data, x, y, z, intensity, timestamp, received,
       log_partition, log_offset, log_index
FROM collective e
WHERE {where}
  AND timestamp <= coalesce(:after, 9000000000000000)
  AND (:after IS NULL OR (timestamp, id, routing_key) < (:after, :after_id, :after_key))
ORDER BY timestamp DESC, id DESC, routing_key DESC
LIMIT :rows

-- name: embedded_patterns
-- As archaeology_patterns.
SELECT timestamp, type, device_id, room_id, intensity,
       CASE WHEN type = 'BREATH' THEN json_extract(data, '$.phase') END,
       CASE WHEN type = 'BREATH' THEN json_extract(data, '$.rate') END
FROM collective e
WHERE {where}
ORDER BY timestamp DESC, id DESC, routing_key DESC
LIMIT :rows

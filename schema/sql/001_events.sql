-- Raw events: one row for each distinct valid event of the log.
CREATE EXTENSION IF NOT EXISTS timescaledb;
CREATE EXTENSION IF NOT EXISTS postgis;

CREATE TABLE consciousness_events (
    id uuid NOT NULL,
    routing_key text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    user_id text,
    room_id text,
    type text COLLATE "C" NOT NULL,
    data jsonb NOT NULL,
    position geometry(Point, 4326),
    z double precision,
    intensity double precision NOT NULL,
    resonance double precision,
    collective boolean NOT NULL,
    timestamp timestamptz NOT NULL,
    received timestamptz NOT NULL,
    log_partition integer NOT NULL,
    log_offset bigint NOT NULL,
    log_index integer NOT NULL
);
COMMENT ON COLUMN consciousness_events.resonance IS 'intensity x weight; FIELD: its own; null for other types';
COMMENT ON COLUMN consciousness_events.collective IS 'counts in aggregates: nobody in it was opted out at its time';

-- One day a chunk: a day of a busy field fits into memory, and history is dropped and packed by whole days.
SELECT create_hypertable(
    'consciousness_events', 'timestamp', chunk_time_interval => interval '1 day', create_default_indexes => false
);
-- Its first column is the time, so it serves ranges of time too.
CREATE UNIQUE INDEX consciousness_events_once ON consciousness_events (timestamp, id, routing_key);
CREATE INDEX consciousness_events_position ON consciousness_events USING gist (position);
CREATE INDEX consciousness_events_device ON consciousness_events (device_id, timestamp DESC);

-- Every opt-out and opt-in ever: they decide, by event time, which rows are collective.
CREATE TABLE opt_toggles (
    device_id text COLLATE "C" NOT NULL,
    timestamp timestamptz NOT NULL,
    id uuid NOT NULL,
    out boolean NOT NULL,
    PRIMARY KEY (device_id, timestamp, id)
);

-- How far each projection is. Written in the transaction that writes its rows.
CREATE TABLE projection_positions (
    projection text NOT NULL,
    generation text NOT NULL,
    partition integer NOT NULL,
    log_offset bigint NOT NULL,
    input_position bigint NOT NULL,
    updated timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, generation, partition)
);
COMMENT ON COLUMN projection_positions.log_offset IS 'last record applied of the topic that it reads; -1: none';
COMMENT ON COLUMN projection_positions.input_position IS 'last record of the events topic that its rows reflect';

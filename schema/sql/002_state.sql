-- State of the fold as rows: absolute values, guarded by the log position they were folded at.

-- Epoch milliseconds as a time, exact for every year.
CREATE FUNCTION field_time(ms bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
AS $$ SELECT to_timestamp(ms / 1000) + (ms % 1000) * interval '1 millisecond' $$;

CREATE TABLE consciousness_states (
    node_id text PRIMARY KEY,
    state jsonb NOT NULL,
    resonance double precision NOT NULL,
    active_nodes integer NOT NULL,
    position jsonb NOT NULL,
    watermark timestamptz,
    updated timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN consciousness_states.node_id IS 'number of a partition, or field: all of them merged';
COMMENT ON COLUMN consciousness_states.position IS 'last record folded, by partition: {"0": 41, "1": 7}';

CREATE TABLE room64_sessions (
    room_id text COLLATE "C" NOT NULL,
    opened timestamptz NOT NULL,
    last timestamptz NOT NULL,
    final boolean NOT NULL,
    present integer NOT NULL,
    seated integer NOT NULL,
    devices integer NOT NULL,
    blooms integer NOT NULL,
    phrases integer NOT NULL,
    participants jsonb NOT NULL,
    coherence double precision,
    resonance double precision,
    partition integer NOT NULL,
    shard integer NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (room_id, opened)
);
COMMENT ON COLUMN room64_sessions.participants IS '[[device, joined in epoch milliseconds, seated], ...]';
CREATE INDEX room64_sessions_shard ON room64_sessions (partition, shard) WHERE NOT final;

CREATE TABLE entanglements (
    routing_key text COLLATE "C" NOT NULL,
    low text COLLATE "C" NOT NULL,
    high text COLLATE "C" NOT NULL,
    established timestamptz,
    explicit boolean NOT NULL,
    kind text,
    intensity double precision,
    last timestamptz,
    partition integer NOT NULL,
    shard integer NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (routing_key, low, high)
);
COMMENT ON COLUMN entanglements.last IS 'second of the last echo';
CREATE INDEX entanglements_shard ON entanglements (partition, shard);
CREATE INDEX entanglements_low ON entanglements (low);
CREATE INDEX entanglements_high ON entanglements (high);

-- The position of a shard outlives its rows, so that a late writer cannot bring a removed row back.
CREATE TABLE shard_positions (
    partition integer NOT NULL,
    shard integer NOT NULL,
    position bigint NOT NULL,
    writer text NOT NULL,
    PRIMARY KEY (partition, shard)
);

CREATE TABLE resonance_samples (
    timestamp timestamptz NOT NULL,
    node_id text NOT NULL,
    resonance double precision NOT NULL,
    active_nodes integer NOT NULL,
    position jsonb NOT NULL
);
SELECT create_hypertable(
    'resonance_samples', 'timestamp', chunk_time_interval => interval '7 days', create_default_indexes => false
);
CREATE UNIQUE INDEX resonance_samples_once ON resonance_samples (timestamp, node_id);

-- Minute, hour and day of the collective field: one SELECT for all three and for both editions of TimescaleDB.
-- Every width reads the raw rows, since distinct devices do not add up.
CREATE FUNCTION field_aggregate_select(width interval) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format($select$
        SELECT time_bucket(%L::interval, timestamp) AS bucket,
               count(*) AS events,
               sum(resonance) AS resonance_sum,
               count(resonance) AS resonance_count,
               avg(resonance) AS resonance,
               count(DISTINCT device_id) AS active_nodes,
               ST_Centroid(ST_Collect(position)) AS centre,
               count(*) FILTER (WHERE type = 'BREATH') AS breaths,
               count(*) FILTER (WHERE type = 'SPIRAL') AS spirals,
               count(*) FILTER (WHERE type = 'BLOOM') AS blooms,
               count(*) FILTER (WHERE type = 'TOUCH') AS touches,
               count(*) FILTER (WHERE type = 'SACRED_PHRASE') AS phrases,
               count(*) FILTER (WHERE type = 'FIELD') AS fields,
               count(*) FILTER (WHERE type = 'ENTANGLE') AS entangles,
               count(*) FILTER (WHERE type = 'RELEASE') AS releases,
               count(*) FILTER (WHERE type = 'ENTER') AS enters,
               count(*) FILTER (WHERE type = 'LEAVE') AS leaves
        FROM consciousness_events
        WHERE collective
        GROUP BY 1
    $select$, width)
$$;

-- 'apache' or 'timescale' (Community).
CREATE FUNCTION field_edition() RETURNS text
LANGUAGE sql STABLE
AS $$ SELECT current_setting('timescaledb.license') $$;

CREATE FUNCTION field_aggregate_widths() RETURNS TABLE (view_name text, width interval)
LANGUAGE sql IMMUTABLE
AS $$
    VALUES ('consciousness_field_1min', interval '1 minute'),
           ('consciousness_field_1h', interval '1 hour'),
           ('consciousness_field_1d', interval '1 day')
$$;

-- Makes the aggregates that are missing, native where the edition has them, plain views where it refuses them.
-- A database that moved to the Community edition gets its plain views replaced by native ones.
-- Runs at every start.
CREATE FUNCTION field_aggregates_ensure() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    native boolean := field_edition() = 'timescale';
    aggregate record;
    exists_native boolean;
    exists_at_all boolean;
BEGIN
    FOR aggregate IN SELECT * FROM field_aggregate_widths() LOOP
        exists_at_all := to_regclass(format('%I.%I', current_schema, aggregate.view_name)) IS NOT NULL;
        exists_native := EXISTS (
            SELECT FROM timescaledb_information.continuous_aggregates c
            WHERE c.view_schema = current_schema AND c.view_name = aggregate.view_name
        );
        CONTINUE WHEN exists_at_all AND (exists_native OR NOT native);
        IF exists_at_all THEN
            EXECUTE format('DROP VIEW %I', aggregate.view_name);
        END IF;
        IF native THEN
            EXECUTE format(
                'CREATE MATERIALIZED VIEW %I WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS '
                '%s WITH NO DATA', aggregate.view_name, field_aggregate_select(aggregate.width)
            );
        ELSE
            EXECUTE format('CREATE VIEW %I AS %s', aggregate.view_name, field_aggregate_select(aggregate.width));
        END IF;
    END LOOP;
END
$$;

-- What a policy of a hypertable or aggregate is set to; null: there is none.
CREATE FUNCTION field_policy(of regclass, kind text) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT j.config
    FROM timescaledb_information.jobs j
    WHERE format('%I.%I', j.hypertable_schema, j.hypertable_name)::regclass = of AND j.proc_name = kind
$$;

-- Refresh, columnstore and retention policies; on the Apache edition there are none. Runs at every start.
-- retention_days 0 keeps raw rows for ever. Else a refresh never looks at a day that retention may have taken:
-- it would empty the buckets of that day. Policies that are as they should be stay as they are.
CREATE FUNCTION field_policies_ensure(retention_days integer) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    aggregate record;
    raw CONSTANT regclass := 'consciousness_events';
    keep CONSTANT interval := CASE WHEN retention_days > 0 THEN make_interval(days => retention_days) END;
    oldest CONSTANT interval := keep - interval '1 day';
BEGIN
    IF field_edition() <> 'timescale' THEN
        RETURN;
    END IF;
    IF retention_days BETWEEN 1 AND 6 THEN
        RAISE EXCEPTION 'retention of % days is inside the refresh window of the day aggregate; 7 at least', retention_days;
    END IF;
    IF field_policy(raw, 'policy_retention') ->> 'drop_after' IS DISTINCT FROM keep::text THEN
        PERFORM remove_retention_policy(raw, if_exists => true);
    END IF;
    FOR aggregate IN SELECT view_name::regclass AS name, widths.width FROM field_aggregate_widths() widths LOOP
        IF field_policy(aggregate.name, 'policy_refresh_continuous_aggregate') IS NULL
           OR field_policy(aggregate.name, 'policy_refresh_continuous_aggregate') ->> 'start_offset'
              IS DISTINCT FROM oldest::text
        THEN
            PERFORM remove_continuous_aggregate_policy(aggregate.name, if_exists => true);
            PERFORM add_continuous_aggregate_policy(
                aggregate.name,
                start_offset => oldest, end_offset => aggregate.width, schedule_interval => interval '1 minute'
            );
        END IF;
    END LOOP;
    IF keep IS NOT NULL THEN
        PERFORM add_retention_policy(raw, keep, if_not_exists => true);
    END IF;
    IF field_policy(raw, 'policy_compression') IS NULL THEN
        ALTER TABLE consciousness_events SET (
            timescaledb.compress,
            timescaledb.compress_segmentby = 'routing_key',
            timescaledb.compress_orderby = 'timestamp, id'
        );
        PERFORM add_compression_policy(raw, compress_after => interval '7 days');
    END IF;
END
$$;

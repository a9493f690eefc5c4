-- What each account may do (deploy/locked/roles.py), where a database has these accounts. Run after the migrations by
-- the one that owns the tables, again and again: what is not here is taken away.
DO $$
DECLARE
    account text;
    found record;
BEGIN
    IF to_regrole('field_projector') IS NULL OR current_user <> 'field_migrator' THEN
        RETURN;
    END IF;
    FOR found IN
        SELECT c.oid::regclass AS name
        FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p')
          AND c.relowner = current_user::regrole
    LOOP
        FOREACH account IN ARRAY ARRAY['projector', 'publisher', 'gateway', 'operator', 'backup', 'viewer'] LOOP
            CONTINUE WHEN to_regrole('field_' || account) IS NULL;  -- locked by an earlier version
            EXECUTE format('REVOKE ALL ON %s FROM field_%s', found.name, account);
        END LOOP;
        EXECUTE format('GRANT SELECT ON %s TO field_operator, field_backup', found.name);
    END LOOP;

    GRANT SELECT ON schema_migrations TO field_projector;
    GRANT SELECT, INSERT, UPDATE ON
        consciousness_events, projection_positions, shard_positions_all, consciousness_states_all TO field_projector;
    GRANT SELECT, INSERT, UPDATE, DELETE ON room64_sessions_all, entanglements_all TO field_projector;
    GRANT SELECT, INSERT ON opt_toggles, resonance_samples_all TO field_projector;
    GRANT SELECT, INSERT, UPDATE (fold_version, settings) ON generations TO field_projector;
    GRANT SELECT, INSERT ON current_generation TO field_projector;

    GRANT SELECT ON current_generation, generations TO field_publisher;

    GRANT SELECT ON
        current_generation, generations, projection_positions, consciousness_states_all, room64_sessions_all,
        entanglements_all, consciousness_events, opt_toggles, consciousness_field_1min, consciousness_field_1h,
        consciousness_field_1d TO field_gateway;

    IF to_regrole('field_viewer') IS NOT NULL THEN
        GRANT SELECT ON current_generation TO field_viewer;  -- by its name the view knows which states it shows
        GRANT SELECT ON
            consciousness_states, consciousness_clusters, consciousness_field_1min, consciousness_field_1h,
            consciousness_field_1d TO field_viewer;
    END IF;

    GRANT INSERT, UPDATE, DELETE ON generations TO field_operator;
    GRANT UPDATE ON current_generation TO field_operator;
    GRANT DELETE ON
        consciousness_states_all, room64_sessions_all, entanglements_all, shard_positions_all, resonance_samples_all,
        projection_positions TO field_operator;
END
$$

-- Whoever opts out does not stay by name in the sessions that took place before; what was counted stays as it was.
-- An entry [device, joined, seated] goes when its device has opted out at or after it joined: the same answer in
-- whatever order rows and toggles arrive. Times of both are event times.
CREATE FUNCTION field_participants(participants jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT coalesce(jsonb_agg(p.entry ORDER BY p.place), '[]')
    FROM jsonb_array_elements(participants) WITH ORDINALITY AS p(entry, place)
    WHERE NOT EXISTS (
        SELECT FROM opt_toggles o
        WHERE o.device_id = p.entry ->> 0 AND o.out AND o.timestamp >= field_time((p.entry ->> 1)::bigint)
    )
$$;
COMMENT ON COLUMN room64_sessions.participants IS
    '[[device, joined in epoch milliseconds, seated], ...], without those who opted out since; the counts have them';
UPDATE room64_sessions
SET participants = field_participants(participants)
WHERE participants <> field_participants(participants);

-- While events come or the field fades, a reading is stored every second; what it reflects may be much older.
ALTER TABLE consciousness_states ADD COLUMN moved timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN consciousness_states.moved IS 'when its position last moved; updated: when it was last computed';

COMMENT ON TABLE resonance_samples IS
    'readings as they were made; an outage of Kafka, the projector or the database leaves a gap that nothing fills';

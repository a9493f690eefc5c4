-- Was the device out just before the event (at, event, actor) in the order (timestamp, id, device)?
CREATE FUNCTION field_opted_out(device text, at timestamptz, event uuid, actor text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT coalesce((
        SELECT o.out
        FROM opt_toggles o
        WHERE o.device_id = device
          AND o.timestamp <= at
          AND (o.timestamp, o.id, o.device_id) < (at, event, actor COLLATE "C")
        ORDER BY o.timestamp DESC, o.id DESC
        LIMIT 1
    ), false)
$$;

-- Is an event collective? No toggle is, nor an event of a device that is out, nor one that names such a device.
CREATE FUNCTION field_collective(kind text, device text, target text, at timestamptz, event uuid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT kind NOT IN ('OPT_OUT', 'OPT_IN')
       AND NOT field_opted_out(device, at, event, device)
       AND NOT (target IS NOT NULL AND field_opted_out(target, at, event, device))
$$;

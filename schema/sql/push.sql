-- Statements of the gateway's push.

-- name: push_opt_toggles
-- The newest toggles, oldest first.
SELECT device_id, at, id, out
FROM (
    SELECT device_id, round(extract(epoch FROM timestamp) * 1000)::bigint AS at, id::text AS id, out
    FROM opt_toggles
    ORDER BY timestamp DESC, id DESC
    LIMIT %(most)s
) AS newest
ORDER BY at, id

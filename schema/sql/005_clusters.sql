-- Where people are, in at most ten groups. Beside the aggregates: window functions are refused inside them.
CREATE VIEW consciousness_clusters AS
WITH recent AS (
    SELECT device_id, position, resonance, least(10, count(*) OVER ())::integer AS groups
    FROM consciousness_events
    WHERE collective AND position IS NOT NULL AND timestamp > now() - interval '1 hour'
), placed AS (
    SELECT device_id, position, resonance, ST_ClusterKMeans(position, groups) OVER () AS cluster
    FROM recent
)
SELECT cluster,
       count(*) AS events,
       count(DISTINCT device_id) AS active_nodes,
       avg(resonance) AS resonance,
       ST_Centroid(ST_Collect(position)) AS centre
FROM placed
GROUP BY cluster;

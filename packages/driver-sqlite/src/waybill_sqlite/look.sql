-- name: counts
-- What has come due counts as ready, and so does what was leased too long.
SELECT (SELECT count(*) FROM job WHERE queue = :queue AND state = 0)
     + (SELECT count(*) FROM job WHERE queue = :queue AND state = 4)
     + (SELECT count(*) FROM job WHERE queue = :queue AND state BETWEEN 1 AND 3 AND at <= :now),
       (SELECT count(*) FROM job WHERE queue = :queue AND state BETWEEN 1 AND 3 AND at > :now AND state > 1),
       (SELECT count(*) FROM job WHERE queue = :queue AND state BETWEEN 1 AND 3 AND at > :now AND state = 1),
       (SELECT count(*) FROM dead WHERE queue = :queue)

-- name: queues
SELECT name FROM queue ORDER BY name

-- name: delayed
SELECT at, job.seq, id, rank, grp, unique_key, unique_until, unique_window, headers,
       coalesce(job.body, large_body.body)
FROM job LEFT JOIN large_body USING (seq)
WHERE queue = :queue AND state BETWEEN 1 AND 3 AND state > 1 AND at > :now AND (at, job.seq) > (:after_at, :after_seq)
ORDER BY at, job.seq LIMIT :limit

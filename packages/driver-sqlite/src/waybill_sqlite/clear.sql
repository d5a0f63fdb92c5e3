-- What was leased too long waits again.

-- name: cancel
DELETE FROM job WHERE queue = ? AND id = ? AND (state <> 1 OR at <= ?) RETURNING grp

-- name: last
SELECT max(seq) FROM job

-- name: purge_behind
DELETE FROM job
WHERE seq IN (SELECT seq FROM job WHERE queue = :queue AND state = 4 AND seq <= :last LIMIT :limit)
RETURNING NULL

-- name: purge_timed
DELETE FROM job
WHERE seq IN (SELECT seq FROM job
              WHERE queue = :queue AND state BETWEEN 1 AND 3 AND (state > 1 OR at <= :now) AND seq <= :last
              LIMIT :limit)
RETURNING grp

-- name: purge_ready
DELETE FROM job
WHERE seq IN (SELECT seq FROM job WHERE queue = :queue AND state = 0 AND seq <= :last LIMIT :limit)
RETURNING grp

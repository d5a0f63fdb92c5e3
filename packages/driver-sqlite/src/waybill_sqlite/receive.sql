-- name: has_come_due
SELECT 1 FROM job WHERE queue = ? AND state BETWEEN 1 AND 3 AND at <= ? LIMIT 1

-- name: bring_forward
-- What is due and what was leased too long. A delayed one of a group steps behind first: it may not be its turn.
-- The token stays, so that a late ack is honoured until somebody else has the job.
UPDATE job SET state = CASE WHEN state = 3 AND grp IS NOT NULL THEN 4 ELSE 0 END
WHERE seq IN (SELECT seq FROM job WHERE queue = ? AND state BETWEEN 1 AND 3 AND at <= ? ORDER BY at LIMIT ?)
RETURNING state, at, seq, grp

-- name: step_forward
UPDATE job SET state = 0
WHERE seq = :seq
  AND NOT EXISTS (SELECT 1 FROM job WHERE queue = :queue AND grp = :grp AND grp IS NOT NULL AND state <= 2)

-- name: first_behind
SELECT seq FROM job WHERE queue = ? AND grp = ? AND state = 4 ORDER BY seq LIMIT 1

-- name: take
UPDATE job SET state = 1, at = ?, attempt = attempt + 1, token = ?
WHERE seq IN (SELECT seq FROM job WHERE queue = ? AND state = 0 ORDER BY rank, seq LIMIT ?)
RETURNING rank, seq, attempt, id, rank, grp, unique_key, unique_until, unique_window, headers, body

-- name: large_body
SELECT body FROM large_body WHERE seq = ?

-- name: free_key
DELETE FROM unique_key WHERE queue = ? AND key = ? AND holder = ?

-- name: next_change
SELECT min(at) FROM job WHERE queue = ? AND state BETWEEN 1 AND 3

-- A receipt is (seq, token). A row with that token is still its receiver's, also when its lease has run out and
-- nobody else has taken it.

-- name: ack
DELETE FROM job WHERE seq = ? AND token = ?

-- name: nack
UPDATE job SET state = CASE WHEN :at = 0 THEN 0 ELSE 2 END, at = :at, token = NULL
WHERE seq = :seq AND token = :token

-- name: release
-- One that was never begun before leaves the head of its group, and comes back in its place when due.
UPDATE job
SET state = CASE WHEN :at = 0 THEN 0 WHEN attempt = 1 THEN 3 ELSE 2 END, at = :at, attempt = attempt - 1, token = NULL
WHERE seq = :seq AND token = :token

-- name: extend
UPDATE job SET state = 1, at = ? WHERE seq = ? AND token = ?

-- name: file_as_dead
INSERT INTO dead (queue, source, id, rank, grp, unique_key, unique_until, unique_window, headers, body,
                  code, error, attempt, at)
SELECT ?, queue, id, rank, grp, unique_key, unique_until, unique_window, headers, coalesce(job.body, large_body.body),
       ?, ?, ?, ?
FROM job LEFT JOIN large_body USING (seq)
WHERE seq = ? AND token = ?

-- name: insert_alike
-- As many rows of id, rank and body as there are; what they have in common is bound once.
INSERT INTO job (queue, at, state, id, rank, body) SELECT ?, ?, ?, column1, column2, column3
FROM (VALUES (?, ?, ?)) WHERE true
ON CONFLICT (queue, id) DO NOTHING

-- name: insert
INSERT INTO job (queue, state, at, id, rank, grp, unique_key, unique_until, unique_window, headers, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_large_body
INSERT INTO large_body (seq, body) VALUES (?, ?)

-- name: is_stored
SELECT 1 FROM job WHERE queue = ? AND id = ?

-- name: group_has_head
SELECT 1 FROM job WHERE queue = ? AND grp = ? AND grp IS NOT NULL AND state <= 2

-- name: claim_key
-- Taken if it is free, has ended, or is held by the same id.
INSERT INTO unique_key (queue, key, holder, until, ends) VALUES (:queue, :key, :holder, :until, :ends)
ON CONFLICT (queue, key) DO UPDATE SET holder = excluded.holder, until = excluded.until, ends = excluded.ends
WHERE holder = excluded.holder OR ends <= :now

-- name: holder
SELECT holder FROM unique_key WHERE queue = ? AND key = ?

-- name: ended_keys
SELECT queue, key FROM unique_key WHERE ends <= ? ORDER BY ends LIMIT 3

-- name: forget_key
DELETE FROM unique_key WHERE queue = ? AND key = ?

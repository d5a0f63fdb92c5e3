-- name: get
SELECT value, version FROM state WHERE key = ? AND (ends IS NULL OR ends > ?)

-- name: insert
INSERT INTO state (key, value, version, ends) VALUES (:key, :value, :version, :ends)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = excluded.version, ends = excluded.ends
WHERE ends <= :now

-- name: update
UPDATE state SET value = :value, version = :version, ends = :ends
WHERE key = :key AND version = :expect AND (ends IS NULL OR ends > :now)

-- name: delete
DELETE FROM state WHERE key = ? AND version = ? AND (ends IS NULL OR ends > ?)

-- name: page
SELECT key, value, version FROM state
WHERE key >= :prefix AND key < :prefix || char(1114111) AND key > :after AND (ends IS NULL OR ends > :now)
ORDER BY key LIMIT :limit

-- name: forget_ended
DELETE FROM state WHERE key IN (SELECT key FROM state WHERE ends <= ? ORDER BY ends LIMIT 3)

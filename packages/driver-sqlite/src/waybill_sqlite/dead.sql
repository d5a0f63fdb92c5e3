-- name: page
SELECT dead.seq, queue.name, code, error, attempt, at,
       id, rank, grp, unique_key, unique_until, unique_window, headers, body
FROM dead JOIN queue ON queue.number = dead.source
WHERE dead.queue = ? AND dead.seq > ? ORDER BY dead.seq LIMIT ?

-- name: chosen
SELECT dead.seq, queue.name, id, rank, grp, unique_key, unique_until, unique_window, headers, body
FROM dead JOIN queue ON queue.number = dead.source
WHERE dead.queue = :queue AND dead.seq <= :last AND (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids)))
ORDER BY dead.seq LIMIT :limit

-- name: last
SELECT max(seq) FROM dead WHERE queue = ?

-- name: remove
DELETE FROM dead WHERE seq = ?

-- name: purge
DELETE FROM dead WHERE seq IN (SELECT seq FROM dead WHERE queue = ? AND seq <= ? LIMIT ?)

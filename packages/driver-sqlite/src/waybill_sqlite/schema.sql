-- Everything is in one file. Times are microseconds since 1970; 0 is "no time".
--
-- job.state
--   0 ready     can be received
--   1 leased    somebody has it until `at`
--   2 retry     was begun before, and waits until `at`
--   3 delayed   was never begun, and waits until `at`
--   4 behind    would be ready, but another of its group is at the head
--
-- The head of a group is its one job in state 0, 1 or 2. Only heads are in `job_ready`, so that receiving stays
-- quick behind a group of any length.

CREATE TABLE queue (
    number INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
);

CREATE TABLE job (
    seq           INTEGER PRIMARY KEY,  -- its place, kept until it is done
    queue         INTEGER NOT NULL,
    id            TEXT NOT NULL,
    state         INTEGER NOT NULL,
    rank          INTEGER NOT NULL,     -- minus the priority: the lowest goes first
    at            INTEGER NOT NULL,
    attempt       INTEGER NOT NULL DEFAULT 0,
    token         INTEGER,              -- drawn anew at each receive; (seq, token) is the receipt
    grp           TEXT,
    unique_key    TEXT,
    unique_until  TEXT,
    unique_window INTEGER,
    headers       TEXT,                 -- JSON
    body          BLOB                  -- NULL: a large one, in its own table, as receiving rewrites the row
);

CREATE UNIQUE INDEX job_id ON job (queue, id);
CREATE INDEX job_ready ON job (queue, rank, seq) WHERE state = 0;
CREATE INDEX job_timed ON job (queue, at, state) WHERE state BETWEEN 1 AND 3;
CREATE UNIQUE INDEX job_head ON job (queue, grp) WHERE grp IS NOT NULL AND state <= 2;
CREATE INDEX job_behind ON job (queue, grp, seq) WHERE state = 4;

CREATE TABLE large_body (
    seq  INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);

-- A key outlives its job only where it is held for a window of time.
CREATE TABLE unique_key (
    queue  INTEGER NOT NULL,
    key    TEXT NOT NULL,
    holder TEXT NOT NULL,               -- a job's id
    until  TEXT NOT NULL,               -- done, start or window
    ends   INTEGER,
    PRIMARY KEY (queue, key)
) WITHOUT ROWID;

CREATE INDEX unique_key_ends ON unique_key (ends) WHERE ends IS NOT NULL;

-- Whatever removes a job takes its body along and frees its key. That the next of its group comes forward is not
-- done here: a trigger that writes to its own table doubles the price of every delete.
CREATE TRIGGER job_body AFTER DELETE ON job WHEN old.body IS NULL
BEGIN
    DELETE FROM large_body WHERE seq = old.seq;
END;

CREATE TRIGGER job_key AFTER DELETE ON job WHEN old.unique_key IS NOT NULL
BEGIN
    DELETE FROM unique_key
    WHERE queue = old.queue AND key = old.unique_key AND holder = old.id AND until <> 'window';
END;

CREATE TABLE dead (
    seq           INTEGER PRIMARY KEY,
    queue         INTEGER NOT NULL,     -- where it is filed
    source        INTEGER NOT NULL,     -- where it came from, and goes back to
    id            TEXT NOT NULL,
    rank          INTEGER NOT NULL,
    grp           TEXT,
    unique_key    TEXT,
    unique_until  TEXT,
    unique_window INTEGER,
    headers       TEXT,
    body          BLOB NOT NULL,
    code          TEXT NOT NULL,
    error         TEXT NOT NULL,
    attempt       INTEGER NOT NULL,
    at            INTEGER NOT NULL
);

CREATE INDEX dead_queue ON dead (queue);
CREATE INDEX dead_id ON dead (queue, id);

CREATE TABLE state (
    key     TEXT PRIMARY KEY,
    value   BLOB NOT NULL,
    version INTEGER NOT NULL,
    ends    INTEGER
) WITHOUT ROWID;

CREATE INDEX state_ends ON state (ends) WHERE ends IS NOT NULL;

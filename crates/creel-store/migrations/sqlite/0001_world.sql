-- One number per name: the epoch and the revision of the World.
CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO meta (name, value) VALUES ('epoch', 1), ('revision', 0);

-- The World: every object as it is now.
CREATE TABLE object (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (kind, key)
);

-- What was changed, why, by whom and when. Append-only, but for retention.
CREATE TABLE history (
    revision BIGINT NOT NULL,
    ordinal BIGINT NOT NULL,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    why TEXT NOT NULL,
    after TEXT,
    PRIMARY KEY (revision, ordinal)
);
CREATE INDEX history_of_object ON history (kind, key, revision);

-- What is observed: the newest report of each agent. Apart from the World: a report is not a decision.
CREATE TABLE report (
    agent TEXT NOT NULL PRIMARY KEY,
    node TEXT NOT NULL,
    seq BIGINT NOT NULL,
    body TEXT NOT NULL,
    at BIGINT NOT NULL
);

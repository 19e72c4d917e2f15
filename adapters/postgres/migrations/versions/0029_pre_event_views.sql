-- A tenant reads its own events by sequence; row security holds for it as everywhere.
GRANT SELECT ON core.outbox, core.event_heads TO reli_app;

ALTER TABLE core.event_heads ADD COLUMN expired bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT event_heads_expired CHECK (expired BETWEEN 0 AND published);
COMMENT ON COLUMN core.event_heads.expired IS
    'Events up to this sequence are not kept any more. Whoever takes events away moves it in the '
    'same transaction: those of a partition are not those of a range of sequences, and readers are '
    'refused what has a gap.';

-- Dead letters that an operator sees, has replayed, and hears what became of it. The defaults are
-- for workers of the release before, which still bury while this is rolled out.

ALTER TABLE core.dead_letters
    ADD COLUMN id uuid NOT NULL DEFAULT uuidv7(),
    ADD COLUMN event_type text NOT NULL DEFAULT '',
    ADD COLUMN subject text NOT NULL DEFAULT '',
    ADD COLUMN state text NOT NULL DEFAULT 'buried'
        CHECK (state IN ('buried', 'replay_requested', 'replayed')),
    ADD COLUMN replay_requested_by uuid,
    ADD COLUMN replay_requested_at timestamptz,
    ADD COLUMN replay_failures integer NOT NULL DEFAULT 0 CHECK (replay_failures >= 0),
    ADD COLUMN replay_failure text NOT NULL DEFAULT '',
    ADD CHECK ((state = 'replayed') = (replayed_at IS NOT NULL)),
    ADD CHECK ((replay_requested_by IS NULL) = (replay_requested_at IS NULL)),
    ADD CHECK (state = 'buried' OR replay_requested_by IS NOT NULL);
COMMENT ON COLUMN core.dead_letters.replay_requested_by IS
    'The operator key that asked for the latest replay.';
COMMENT ON COLUMN core.dead_letters.replay_failure IS
    'What the latest replay failed of; empty when none has.';
CREATE UNIQUE INDEX dead_letters_id ON core.dead_letters (tenant_id, id);
-- What waits for a worker, the longest first.
CREATE INDEX dead_letters_requested
    ON core.dead_letters (tenant_id, consumer, replay_requested_at, id)
    WHERE state = 'replay_requested';
GRANT SELECT, UPDATE (state, replay_requested_by, replay_requested_at)
    ON core.dead_letters TO reli_app;

-- What is buried already says what it is about. Forced row security shows the owner nothing.
CREATE POLICY migration ON core.outbox FOR SELECT TO reli_owner USING (true);
CREATE POLICY migration ON core.dead_letters FOR ALL TO reli_owner USING (true);
UPDATE core.dead_letters AS d SET event_type = o.type, subject = o.subject
FROM core.outbox AS o WHERE o.tenant_id = d.source_tenant_id AND o.id = d.event_id;
DROP POLICY migration ON core.dead_letters;
DROP POLICY migration ON core.outbox;

-- Events that cannot be lost: one leased sequencer stamps them per tenant after their commit,
-- readers see stamped events only, and a consumer notes what it has seen in the transaction of
-- its effect.

-- Work that one process at a time may do. The token grows with every holder, and a write under an
-- older one hits no row.
CREATE TABLE core.leases (
    name text PRIMARY KEY,
    token bigint NOT NULL DEFAULT 0,
    leased_until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO core.leases (name) VALUES ('sequencer'), ('relay');

ALTER TABLE core.outbox ADD COLUMN sequence bigint CHECK (sequence > 0);
COMMENT ON COLUMN core.outbox.sequence IS
    'Position among the events of the tenant, without gaps; absent until stamped.';
DROP INDEX core.outbox_unpublished;
-- What waits for its stamp, in the order of one clock: an event is recorded after the commit of
-- what caused it, so causes come first.
CREATE INDEX outbox_unstamped ON core.outbox (recorded_at, id) WHERE sequence IS NULL;
-- What waits for the relay.
CREATE INDEX outbox_unpublished ON core.outbox (tenant_id, sequence)
    WHERE sequence IS NOT NULL AND published_at IS NULL;
-- A tenant's events in order.
CREATE INDEX outbox_sequence ON core.outbox (tenant_id, sequence);

CREATE TABLE core.event_heads (
    tenant_id uuid PRIMARY KEY REFERENCES core.tenants,
    last bigint NOT NULL CHECK (last > 0)
);
COMMENT ON TABLE core.event_heads IS 'The latest sequence of each tenant.';
SELECT core.protect('core.event_heads');

CREATE TABLE core.inbox (
    tenant_id uuid NOT NULL,
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, consumer, event_id)
);
COMMENT ON TABLE core.inbox IS
    'Events that a consumer has dealt with, written in the transaction of its effect. The tenant '
    'is the one whose book the effect is in.';
SELECT core.protect('core.inbox');

CREATE TABLE core.consumer_positions (
    consumer text NOT NULL,
    source_tenant_id uuid NOT NULL,
    sequence bigint NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    PRIMARY KEY (consumer, source_tenant_id)
);
COMMENT ON TABLE core.consumer_positions IS
    'How far a consumer has come in each tenant''s events, and how often the next one failed.';

CREATE TABLE core.dead_letters (
    tenant_id uuid NOT NULL,
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    source_tenant_id uuid NOT NULL,
    reason text NOT NULL,
    recorded_at timestamptz NOT NULL,
    replayed_at timestamptz,
    PRIMARY KEY (tenant_id, consumer, event_id)
);
COMMENT ON TABLE core.dead_letters IS 'Events that a consumer could not deal with, for a person.';
SELECT core.protect('core.dead_letters');

GRANT SELECT, UPDATE ON core.leases TO reli_work;
GRANT SELECT, INSERT, UPDATE ON core.event_heads TO reli_work;
GRANT UPDATE (sequence) ON core.outbox TO reli_work;
GRANT SELECT, INSERT ON core.inbox TO reli_work;
GRANT SELECT, INSERT, UPDATE ON core.consumer_positions TO reli_work;
GRANT SELECT, INSERT, UPDATE ON core.dead_letters TO reli_work;
CREATE POLICY sequencer ON core.event_heads FOR ALL TO reli_work USING (true) WITH CHECK (true);

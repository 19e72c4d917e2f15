-- A tenant's events leave in their order, so how far the relay has come is one number, as it is for
-- every consumer. A mark on each event wrote the event once more, its payload and keys included.
ALTER TABLE core.event_heads ADD COLUMN published bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN core.event_heads.published IS 'The latest sequence that the bus has stored.';

CREATE POLICY migration ON core.event_heads FOR ALL TO reli_owner USING (true);
CREATE POLICY migration ON core.outbox FOR SELECT TO reli_owner USING (true);
UPDATE core.event_heads AS h SET published = coalesce((
    SELECT min(o.sequence) - 1 FROM core.outbox AS o
    WHERE o.tenant_id = h.tenant_id AND o.sequence IS NOT NULL AND o.published_at IS NULL), h.last);
DROP POLICY migration ON core.outbox;
DROP POLICY migration ON core.event_heads;
ALTER TABLE core.event_heads
    ADD CONSTRAINT event_heads_published CHECK (published BETWEEN 0 AND last);

DROP INDEX core.outbox_unpublished;
ALTER TABLE core.outbox DROP COLUMN published_at;
DROP INDEX core.outbox_sequence;
CREATE INDEX outbox_sequence ON core.outbox (tenant_id, sequence) WHERE sequence IS NOT NULL;
COMMENT ON INDEX core.outbox_sequence IS
    'A tenant''s events in order, for the relay and consumers; unstamped ones have no place yet.';
CREATE INDEX event_heads_behind ON core.event_heads (tenant_id) WHERE published < last;
COMMENT ON INDEX core.event_heads_behind IS 'Whose events wait for the relay.';

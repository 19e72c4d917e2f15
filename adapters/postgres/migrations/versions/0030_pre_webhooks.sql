-- Webhooks: an event of the log becomes one delivery at each endpoint that takes it. Of one subject
-- an endpoint gets one delivery at a time, in the order of the log.

CREATE TABLE core.webhook_endpoints (
    tenant_id uuid NOT NULL REFERENCES core.tenants,
    id uuid NOT NULL,
    name text NOT NULL,
    url text NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
    description text NOT NULL,
    event_types text[] NOT NULL,
    state text NOT NULL CHECK (state IN ('enabled', 'disabled', 'deleted')),
    disabled_reason text CHECK (disabled_reason IN ('requested', 'gone')),
    secret bytea,
    previous_secret bytea,
    previous_secret_expires_at timestamptz,
    created_at timestamptz NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    PRIMARY KEY (tenant_id, id),
    CHECK ((state = 'disabled') = (disabled_reason IS NOT NULL)),
    CHECK ((state = 'deleted') = (secret IS NULL)),
    CHECK ((previous_secret IS NULL) = (previous_secret_expires_at IS NULL))
);
COMMENT ON TABLE core.webhook_endpoints IS 'Where a tenant wants its events sent.';
COMMENT ON COLUMN core.webhook_endpoints.name IS 'Its id as events have it in their subject.';
COMMENT ON COLUMN core.webhook_endpoints.event_types IS
    'What it takes, such as trade.settled or trade.*; everything where it names nothing.';
COMMENT ON COLUMN core.webhook_endpoints.secret IS
    'What deliveries are signed with, sealed with a key that the database does not have.';
SELECT core.protect('core.webhook_endpoints');

CREATE TABLE core.webhook_queues (
    tenant_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    due_at timestamptz,
    held_until timestamptz NOT NULL DEFAULT '-infinity',
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    is_slow boolean NOT NULL DEFAULT false,
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    token bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, endpoint_id),
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES core.webhook_endpoints
) WITH (fillfactor = 50);
COMMENT ON TABLE core.webhook_queues IS
    'When each endpoint is served next, and by whom. Whoever changes what an endpoint has to get '
    'locks its row first.';
COMMENT ON COLUMN core.webhook_queues.due_at IS 'Absent while nothing can be sent.';
COMMENT ON COLUMN core.webhook_queues.held_until IS
    'Before that nothing is sent, because the endpoint fails or has asked to be left alone.';
COMMENT ON COLUMN core.webhook_queues.failures IS 'How many attempts have failed since one did not.';
COMMENT ON COLUMN core.webhook_queues.is_slow IS
    'Its last attempts took long or failed; it waits for a place with its like.';
CREATE INDEX webhook_queues_due ON core.webhook_queues (is_slow, due_at)
    WHERE due_at IS NOT NULL;
COMMENT ON INDEX core.webhook_queues_due IS
    'Whom to serve next, those that are quick apart from those that are not.';
SELECT core.protect('core.webhook_queues');

CREATE TABLE core.webhook_deliveries (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    endpoint_id uuid NOT NULL,
    sequence bigint NOT NULL CHECK (sequence > 0),
    event_id uuid NOT NULL,
    event_type text NOT NULL,
    subject text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    due_at timestamptz,
    expires_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    failures integer NOT NULL DEFAULT 0 CHECK (failures BETWEEN 0 AND attempts),
    recorded_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK ((state = 'pending') = (ended_at IS NULL)),
    CHECK (due_at IS NULL OR state = 'pending')
);
COMMENT ON TABLE core.webhook_deliveries IS 'One event on its way to one endpoint.';
COMMENT ON COLUMN core.webhook_deliveries.due_at IS
    'When it is sent next; absent while an earlier event of its subject is on its way.';
COMMENT ON COLUMN core.webhook_deliveries.failures IS
    'How many of its attempts have failed since it was last begun.';
CREATE UNIQUE INDEX webhook_deliveries_event
    ON core.webhook_deliveries (tenant_id, endpoint_id, event_id);
COMMENT ON INDEX core.webhook_deliveries_event IS
    'An event is delivered to an endpoint as one delivery, however often it is replayed.';
CREATE UNIQUE INDEX webhook_deliveries_lane
    ON core.webhook_deliveries (tenant_id, endpoint_id, subject) WHERE due_at IS NOT NULL;
COMMENT ON INDEX core.webhook_deliveries_lane IS 'Of one subject an endpoint gets one at a time.';
CREATE INDEX webhook_deliveries_waiting
    ON core.webhook_deliveries (tenant_id, endpoint_id, subject, sequence)
    WHERE state = 'pending';
COMMENT ON INDEX core.webhook_deliveries_waiting IS 'What comes next of a subject.';
CREATE INDEX webhook_deliveries_due
    ON core.webhook_deliveries (tenant_id, endpoint_id, due_at, sequence)
    WHERE due_at IS NOT NULL;
COMMENT ON INDEX core.webhook_deliveries_due IS 'What can be sent.';
CREATE INDEX webhook_deliveries_expiring ON core.webhook_deliveries (expires_at)
    WHERE state = 'pending';
COMMENT ON INDEX core.webhook_deliveries_expiring IS 'What was tried for long enough.';
CREATE INDEX webhook_deliveries_ended ON core.webhook_deliveries (ended_at)
    WHERE ended_at IS NOT NULL;
COMMENT ON INDEX core.webhook_deliveries_ended IS 'What has been kept for long enough.';
CREATE INDEX webhook_deliveries_log ON core.webhook_deliveries (tenant_id, endpoint_id, id);
COMMENT ON INDEX core.webhook_deliveries_log IS 'The log of an endpoint, the newest first.';
CREATE INDEX webhook_deliveries_dead
    ON core.webhook_deliveries (tenant_id, endpoint_id, sequence) WHERE state = 'dead';
COMMENT ON INDEX core.webhook_deliveries_dead IS 'Dead letters, to be replayed in order.';
SELECT core.protect('core.webhook_deliveries');

CREATE TABLE core.webhook_attempts (
    tenant_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    started_at timestamptz NOT NULL,
    latency_ms integer NOT NULL CHECK (latency_ms >= 0),
    status smallint CHECK (status BETWEEN 100 AND 999),
    failure text CHECK (failure IN ('status', 'timeout', 'name', 'forbidden', 'connection', 'tls',
        'protocol')),
    detail text NOT NULL,
    response_body bytea NOT NULL CHECK (length(response_body) <= 4096),
    PRIMARY KEY (tenant_id, delivery_id, number)
);
COMMENT ON TABLE core.webhook_attempts IS 'Each time a delivery was sent, and what came back.';
COMMENT ON COLUMN core.webhook_attempts.failure IS 'Absent where it was received.';
COMMENT ON COLUMN core.webhook_attempts.response_body IS 'Its first bytes.';
SELECT core.protect('core.webhook_attempts');

ALTER TABLE core.event_heads ADD COLUMN planned bigint NOT NULL DEFAULT 0
    CHECK (planned BETWEEN 0 AND last);
COMMENT ON COLUMN core.event_heads.planned IS
    'Up to here deliveries were made of the tenant''s events.';
-- Nobody has an endpoint yet, so nothing is to be made of what is there. Forced row security shows
-- the owner nothing.
CREATE POLICY migration ON core.event_heads FOR ALL TO reli_owner USING (true);
UPDATE core.event_heads SET planned = last;
DROP POLICY migration ON core.event_heads;
CREATE INDEX event_heads_unplanned ON core.event_heads (tenant_id) WHERE planned < last;
COMMENT ON INDEX core.event_heads_unplanned IS 'Whose events wait for their deliveries.';

INSERT INTO core.leases (name) VALUES ('webhook planner'), ('webhook keeper');

GRANT SELECT, INSERT, UPDATE ON core.webhook_endpoints TO reli_app;
GRANT SELECT ON core.webhook_endpoints TO reli_work;
GRANT UPDATE (state, disabled_reason, version) ON core.webhook_endpoints TO reli_work;
GRANT SELECT, INSERT, UPDATE ON core.webhook_queues TO reli_app;
GRANT SELECT, UPDATE ON core.webhook_queues TO reli_work;
GRANT SELECT, INSERT ON core.webhook_deliveries TO reli_app, reli_work;
GRANT UPDATE (state, due_at, expires_at, failures, ended_at) ON core.webhook_deliveries TO reli_app;
GRANT UPDATE (state, due_at, attempts, failures, ended_at), DELETE
    ON core.webhook_deliveries TO reli_work;
GRANT SELECT ON core.webhook_attempts TO reli_app;
GRANT SELECT, INSERT, DELETE ON core.webhook_attempts TO reli_work;
GRANT SELECT ON core.outbox, core.event_heads TO reli_app;
CREATE POLICY queue ON core.webhook_endpoints FOR SELECT TO reli_work USING (true);
CREATE POLICY queue ON core.webhook_queues FOR ALL TO reli_work USING (true) WITH CHECK (true);
CREATE POLICY queue ON core.webhook_deliveries FOR ALL TO reli_work
    USING (true) WITH CHECK (true);
CREATE POLICY queue ON core.webhook_attempts FOR ALL TO reli_work USING (true) WITH CHECK (true);

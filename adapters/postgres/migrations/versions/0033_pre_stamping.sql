-- Both are asked for again and again, mostly for nothing: that is to write nothing, and to be one
-- round trip in either case. The lease is locked by a statement of its own, so that the next one
-- sees what was stamped until then, by a call that its caller gave up and the server went on with,
-- too.

CREATE FUNCTION core.stamp_events(
    lease_name text, lease_token bigint, at_most integer, wake_channel text
) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    events bigint;
    tenants bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM core.outbox WHERE sequence IS NULL) THEN
        RETURN 0;
    END IF;
    PERFORM FROM core.leases
        WHERE name = lease_name AND token = lease_token AND leased_until > core.now() FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    WITH batch AS (
        SELECT tenant_id, id, recorded_at,
            row_number() OVER (PARTITION BY tenant_id ORDER BY recorded_at, id) AS position
        FROM (
            SELECT tenant_id, id, recorded_at FROM core.outbox WHERE sequence IS NULL
            ORDER BY recorded_at, id LIMIT at_most
        ) AS oldest
    ), counts AS (
        SELECT tenant_id, count(*) AS events FROM batch GROUP BY tenant_id
    ), heads AS (
        INSERT INTO core.event_heads AS h (tenant_id, last)
        SELECT c.tenant_id, c.events FROM counts AS c ORDER BY c.tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET last = h.last + EXCLUDED.last
        RETURNING tenant_id, last
    ), stamped AS (
        UPDATE core.outbox AS o SET sequence = heads.last - counts.events + batch.position
        FROM batch JOIN counts USING (tenant_id) JOIN heads USING (tenant_id)
        WHERE o.tenant_id = batch.tenant_id AND o.id = batch.id
            AND o.recorded_at = batch.recorded_at AND o.sequence IS NULL
        RETURNING o.tenant_id
    ), woken AS MATERIALIZED (
        SELECT pg_notify(wake_channel, tenant_id::text) FROM heads
    )
    SELECT (SELECT count(*) FROM stamped), (SELECT count(*) FROM woken) INTO events, tenants;
    RETURN events;
END $$;
COMMENT ON FUNCTION core.stamp_events(text, bigint, integer, text) IS
    'Stamps the oldest unstamped events of all tenants, under that lease, and names the tenants on '
    'that channel; returns how many.';

CREATE FUNCTION core.number_audit_records(lease_name text, lease_token bigint, at_most integer)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    records bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM core.audit_records WHERE sequence IS NULL) THEN
        RETURN 0;
    END IF;
    PERFORM FROM core.leases
        WHERE name = lease_name AND token = lease_token AND leased_until > core.now() FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    -- Rows are found again by where they are: to a plan made while there were few, any index of the
    -- tenant's is as good as the key.
    WITH batch AS (
        SELECT ctid AS place, tenant_id,
            row_number() OVER (PARTITION BY tenant_id ORDER BY recorded_at, id) AS position
        FROM (
            SELECT ctid, tenant_id, id, recorded_at FROM core.audit_records
            WHERE sequence IS NULL ORDER BY recorded_at, id LIMIT at_most
        ) AS oldest
    ), counts AS (
        SELECT tenant_id, count(*) AS records FROM batch GROUP BY tenant_id
    ), heads AS (
        INSERT INTO core.audit_heads AS h (tenant_id, last)
        SELECT c.tenant_id, c.records FROM counts AS c ORDER BY c.tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET last = h.last + EXCLUDED.last
        RETURNING tenant_id, last
    )
    UPDATE core.audit_records AS r SET sequence = heads.last - counts.records + batch.position
    FROM batch JOIN counts USING (tenant_id) JOIN heads USING (tenant_id)
    WHERE r.ctid = batch.place AND r.sequence IS NULL;
    GET DIAGNOSTICS records = ROW_COUNT;
    RETURN records;
END $$;
COMMENT ON FUNCTION core.number_audit_records(text, bigint, integer) IS
    'Numbers the oldest unnumbered audit records of all tenants, under that lease; returns how '
    'many.';

REVOKE ALL ON FUNCTION core.stamp_events(text, bigint, integer, text),
    core.number_audit_records(text, bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.stamp_events(text, bigint, integer, text),
    core.number_audit_records(text, bigint, integer) TO reli_work;

CREATE INDEX transfers_pending ON core.transfers (tenant_id, debit_account_id, id)
    WHERE kind = 'pending';
COMMENT ON INDEX core.transfers_pending IS
    'An account''s holds, the newest first; an open one is seldom old.';

CREATE FUNCTION core.open_holds(tenant uuid, account uuid, held numeric)
    RETURNS TABLE (purpose text, units numeric)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missing numeric := held;
BEGIN
    -- What is held is known, so nobody reads further back than the oldest open hold.
    FOR purpose, units IN
        SELECT t.purpose, t.units FROM core.transfers AS t
        WHERE t.tenant_id = tenant AND t.debit_account_id = account AND t.kind = 'pending'
            AND NOT EXISTS (SELECT FROM core.resolutions AS r
                WHERE r.tenant_id = tenant AND r.pending_id = t.id)
        ORDER BY t.id DESC
    LOOP
        EXIT WHEN missing <= 0;
        missing := missing - units;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION core.open_holds(uuid, uuid, numeric) IS
    'The open holds of an account that holds so much. What row security hides does not exist here.';
REVOKE ALL ON FUNCTION core.open_holds(uuid, uuid, numeric) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.open_holds(uuid, uuid, numeric) TO reli_app, reli_work;

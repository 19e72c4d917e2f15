-- An account's pending debits, the newest first; an open one is seldom old.
CREATE INDEX transfers_pending ON core.transfers (tenant_id, debit_account_id, id)
    WHERE kind = 'pending';

CREATE FUNCTION core.holds_of(tenant uuid, account uuid, held numeric)
    RETURNS TABLE (purpose text, units numeric, holds integer)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missing numeric := held;
    sums jsonb := '{}';
    hold record;
BEGIN
    -- What is held is known, so nobody reads further back than the oldest open hold.
    FOR hold IN
        SELECT t.purpose AS name, t.units AS amount FROM core.transfers AS t
        WHERE t.tenant_id = tenant AND t.debit_account_id = account AND t.kind = 'pending'
            AND NOT EXISTS (SELECT FROM core.resolutions AS r
                WHERE r.tenant_id = tenant AND r.pending_id = t.id)
        ORDER BY t.id DESC
    LOOP
        EXIT WHEN missing <= 0;
        missing := missing - hold.amount;
        sums := sums || jsonb_build_object(hold.name, jsonb_build_array(
            coalesce((sums -> hold.name ->> 0)::numeric, 0) + hold.amount,
            coalesce((sums -> hold.name ->> 1)::integer, 0) + 1));
    END LOOP;
    RETURN QUERY SELECT s.key, (s.value ->> 0)::numeric, (s.value ->> 1)::integer
        FROM jsonb_each(sums) AS s ORDER BY s.key;
END $$;
COMMENT ON FUNCTION core.holds_of(uuid, uuid, numeric) IS
    'What an account that holds so much holds it for. What row security hides does not exist here.';
REVOKE ALL ON FUNCTION core.holds_of(uuid, uuid, numeric) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.holds_of(uuid, uuid, numeric) TO reli_app, reli_work;

-- The tenant is known to the row policies before the rows are looked at: a function's statements
-- are planned and run one after the other.
CREATE FUNCTION core.find_acting(acting_tenant uuid, acting_customers uuid[])
    RETURNS TABLE (customer_id uuid, tenant_state text, customer_state text, read_at timestamptz)
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('app.tenant_id', acting_tenant::text, true);
    RETURN QUERY SELECT c.id, t.state, c.state, core.now()
        FROM core.tenants AS t
        LEFT JOIN core.customers AS c
            ON c.tenant_id = acting_tenant AND c.id = ANY (acting_customers)
        WHERE t.tenant_id = acting_tenant;
END $$;
COMMENT ON FUNCTION core.find_acting(uuid, uuid[]) IS
    'May they act, and what time is it: for a call that needs no transaction yet.';
REVOKE ALL ON FUNCTION core.find_acting(uuid, uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.find_acting(uuid, uuid[]) TO reli_app;

-- Nobody may delete an instrument, and every quote and trade names one of the catalogue: what
-- these keys cost is that all who write at the same time lock the same few rows together.
ALTER TABLE core.quotes DROP CONSTRAINT quotes_instrument_fkey;
ALTER TABLE core.trades DROP CONSTRAINT trades_instrument_fkey;

DROP FUNCTION core.find_acting(uuid, uuid[]);

-- The tenant is known to the row policies before the rows are looked at: a function's statements
-- are planned and run one after the other.
CREATE FUNCTION core.require_acting(acting_tenant uuid, acting_customers uuid[]) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('app.tenant_id', acting_tenant::text, true);
    IF NOT EXISTS (
        SELECT FROM core.tenants WHERE tenant_id = acting_tenant AND state = 'active'
    ) OR EXISTS (
        SELECT FROM unnest(acting_customers) AS a (id)
        LEFT JOIN core.customers AS c ON c.tenant_id = acting_tenant AND c.id = a.id
        WHERE c.state IS DISTINCT FROM 'active'
    ) THEN
        RAISE EXCEPTION 'the tenant, or a customer of it, may not act' USING ERRCODE = 'RL001';
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION core.require_acting(uuid, uuid[]) IS
    'May all of them act: part of the statement that writes what they do.';
REVOKE ALL ON FUNCTION core.require_acting(uuid, uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.require_acting(uuid, uuid[]) TO reli_app;

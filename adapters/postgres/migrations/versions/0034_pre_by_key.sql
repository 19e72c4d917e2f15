-- Statistics know how many rows a tenant has on the average, and one plan serves all. Where most
-- tenants have a handful, it would read all of one tenant's rows rather than ask by key, also for the
-- tenant that has a hundred thousand. So every tenant is taken to have a hundred rows of everything:
-- dearer than a handful of keys, and cheap enough where all of a tenant's rows are wanted.

CREATE OR REPLACE FUNCTION core.protect(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format(
        'CREATE POLICY tenant ON %s FOR ALL TO reli_app, reli_work '
        'USING (tenant_id = current_setting(''app.tenant_id'')::uuid) '
        'WITH CHECK (tenant_id = current_setting(''app.tenant_id'')::uuid)', target);
    EXECUTE format('ALTER TABLE %s ALTER COLUMN tenant_id SET (n_distinct = -0.01)', target);
END $$;

DO $$
DECLARE
    target regclass;
BEGIN
    FOR target IN
        SELECT a.attrelid FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'core'::regnamespace AND c.relkind IN ('r', 'p')
            AND a.attname = 'tenant_id' AND NOT a.attisdropped
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN tenant_id SET (n_distinct = -0.01)', target);
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION core.require_acting(acting_tenant uuid, acting_customers uuid[])
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('app.tenant_id', acting_tenant::text, true);
    IF NOT EXISTS (
        SELECT FROM core.tenants WHERE tenant_id = acting_tenant AND state = 'active'
    ) OR EXISTS (
        SELECT FROM unnest(acting_customers) AS a (id)
        WHERE (SELECT c.state FROM core.customers AS c
            WHERE c.tenant_id = acting_tenant AND c.id = a.id) IS DISTINCT FROM 'active'
    ) THEN
        RAISE EXCEPTION 'the tenant, or a customer of it, may not act' USING ERRCODE = 'RL001';
    END IF;
    RETURN true;
END $$;

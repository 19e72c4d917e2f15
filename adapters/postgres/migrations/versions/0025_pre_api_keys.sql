ALTER TABLE core.api_keys
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN allowed_ip_ranges text[] NOT NULL DEFAULT '{}'
        CONSTRAINT api_keys_ip_ranges CHECK (cardinality(allowed_ip_ranges::cidr[]) <= 32),
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN rotated_from_id uuid,
    ADD COLUMN methods text[] NOT NULL DEFAULT '{}'
        CONSTRAINT api_keys_methods CHECK (cardinality(methods) <= 64),
    ADD FOREIGN KEY (tenant_id, rotated_from_id) REFERENCES core.api_keys;
COMMENT ON COLUMN core.api_keys.methods IS
    'What alone a service token may call; empty for every other key.';
COMMENT ON COLUMN core.api_keys.last_used_at IS 'Written at most once a minute.';

DROP FUNCTION core.find_api_key(bytea);
CREATE FUNCTION core.find_api_key(wanted bytea)
    RETURNS TABLE (tenant_id uuid, api_key_id uuid, scopes text[], is_revoked boolean,
        tenant_state text, expires_in interval, allowed_ip_ranges text[], methods text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT k.tenant_id, k.id, k.scopes, k.revoked_at IS NOT NULL, t.state,
            k.expires_at - core.now(), k.allowed_ip_ranges, k.methods
        FROM core.api_keys AS k JOIN core.tenants AS t USING (tenant_id)
        WHERE k.secret_hash = wanted;
    END;
COMMENT ON FUNCTION core.find_api_key(bytea) IS
    'The one look-up before the tenant is known: who shows a secret learns what it stands for.';
REVOKE ALL ON FUNCTION core.find_api_key(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.find_api_key(bytea) TO reli_app;
GRANT CREATE ON SCHEMA core TO reli_directory;
ALTER FUNCTION core.find_api_key(bytea) OWNER TO reli_directory;
REVOKE CREATE ON SCHEMA core FROM reli_directory;

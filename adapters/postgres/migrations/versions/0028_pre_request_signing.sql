ALTER TABLE core.tenants ADD COLUMN signing_required boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN core.tenants.signing_required IS 'Calls of its keys without a signature are refused.';

-- What it returns was written down, column by column, when it was made.
DROP FUNCTION core.list_tenants(uuid, integer);
CREATE FUNCTION core.list_tenants(before uuid, page_size integer)
    RETURNS SETOF core.tenants
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT t.* FROM core.tenants AS t
        WHERE (before IS NULL OR t.tenant_id < before)
            AND current_setting('app.tenant_id')::uuid = (SELECT house_id FROM core.environment)
        ORDER BY t.tenant_id DESC LIMIT least(page_size, 201);
    END;
COMMENT ON FUNCTION core.list_tenants(uuid, integer) IS
    'All tenants, for a unit of work of the house and for nobody else.';
REVOKE ALL ON FUNCTION core.list_tenants(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.list_tenants(uuid, integer) TO reli_app;
GRANT CREATE, USAGE ON SCHEMA core TO reli_directory;
ALTER FUNCTION core.list_tenants(uuid, integer) OWNER TO reli_directory;
REVOKE CREATE ON SCHEMA core FROM reli_directory;

CREATE TABLE core.request_signing_keys (
    tenant_id uuid NOT NULL REFERENCES core.tenants,
    id uuid NOT NULL,
    name text NOT NULL,
    algorithm text NOT NULL CHECK (algorithm IN ('ed25519')),
    public_key bytea NOT NULL CHECK (length(public_key) = 32),
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE core.request_signing_keys IS 'Public keys that tenants sign their requests with.';
SELECT core.protect('core.request_signing_keys');
GRANT SELECT, INSERT, UPDATE (revoked_at) ON core.request_signing_keys TO reli_app;

-- Unlogged: after a crash of the server a request of the last minute could be sent again, and then
-- meets the same request id.
CREATE UNLOGGED TABLE core.seen_nonces (
    tenant_id uuid NOT NULL,
    key_id uuid NOT NULL,
    nonce text NOT NULL CHECK (length(nonce) BETWEEN 1 AND 64),
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key_id, nonce)
);
COMMENT ON TABLE core.seen_nonces IS 'Nonces of signed requests, for as long as one could be fresh.';
CREATE INDEX seen_nonces_by_age ON core.seen_nonces (tenant_id, seen_at);
COMMENT ON INDEX core.seen_nonces_by_age IS 'Those whose time is over.';
SELECT core.protect('core.seen_nonces');
GRANT SELECT, INSERT, UPDATE (seen_at), DELETE ON core.seen_nonces TO reli_app;

CREATE FUNCTION core.note_nonces(
    tenants uuid[], keys uuid[], nonces text[], keep_for interval
) RETURNS boolean[] LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    at CONSTANT timestamptz := core.now(); -- asked once: of a volatile function no index knows
    are_new boolean[];
BEGIN
    FOR i IN 1 .. cardinality(nonces) LOOP
        PERFORM set_config('app.tenant_id', tenants[i]::text, true);
        INSERT INTO core.seen_nonces (tenant_id, key_id, nonce, seen_at)
            VALUES (tenants[i], keys[i], nonces[i], at) ON CONFLICT DO NOTHING;
        are_new[i] := FOUND;
        -- Now and then twice as many go as came since, but none that somebody else is at: so a
        -- tenant's part of the table keeps its size.
        IF are_new[i] AND get_byte(sha256(nonces[i]::bytea), 0) < 4 THEN
            DELETE FROM core.seen_nonces WHERE ctid IN (
                SELECT ctid FROM core.seen_nonces
                WHERE tenant_id = tenants[i] AND seen_at < at - keep_for
                ORDER BY seen_at LIMIT 128 FOR UPDATE SKIP LOCKED);
        END IF;
    END LOOP;
    RETURN are_new;
END $$;
COMMENT ON FUNCTION core.note_nonces IS
    'Remembers nonces, which come in the order of the table''s key, and says which are seen for the first time.';
REVOKE ALL ON FUNCTION core.note_nonces FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.note_nonces TO reli_app;

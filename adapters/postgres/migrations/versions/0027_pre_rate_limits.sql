ALTER TABLE core.tenants ADD COLUMN rate_limits jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN core.tenants.rate_limits IS
    'How often the tenant may call, by cost class; where none is named, what holds for all.';
-- The operator is limited too, but by what no client of its own can reach. The owner of the tables
-- sees no tenant's rows either, but for this statement.
ALTER TABLE core.tenants NO FORCE ROW LEVEL SECURITY;
UPDATE core.tenants SET rate_limits = (
    SELECT jsonb_object_agg(cost_class, '{"per_second": 100000, "burst": 1000000,
        "key_percent": 100}'::jsonb)
    FROM unnest(ARRAY['read', 'quote', 'execute', 'bulk']) AS cost_class)
WHERE tenant_id = (SELECT house_id FROM core.environment);
ALTER TABLE core.tenants FORCE ROW LEVEL SECURITY;

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

-- Unlogged: what a crash of the server forgets is a bucket that is full again.
CREATE UNLOGGED TABLE core.rate_buckets (
    tenant_id uuid NOT NULL REFERENCES core.tenants,
    owner_id uuid NOT NULL,
    cost_class text NOT NULL CHECK (cost_class IN ('read', 'quote', 'execute', 'bulk')),
    level bigint NOT NULL CHECK (level >= 0),
    filled_at timestamptz NOT NULL,
    slot bigint NOT NULL,
    leased_in_slot bigint NOT NULL DEFAULT 0,
    leased_before bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, owner_id, cost_class)
) WITH (fillfactor = 50); -- room for the next version of the row on the same page
COMMENT ON TABLE core.rate_buckets IS
    'The tokens that the calls of a tenant, and of each of its keys, take from. Servers lease some.';
COMMENT ON COLUMN core.rate_buckets.owner_id IS 'The tenant, or the key.';
COMMENT ON COLUMN core.rate_buckets.level IS 'In millionths of a token.';
COMMENT ON COLUMN core.rate_buckets.slot IS
    'A quarter of a second since 1970, in which `leased_in_slot` tokens were leased.';
SELECT core.protect('core.rate_buckets');
GRANT SELECT, INSERT, UPDATE ON core.rate_buckets TO reli_app;

CREATE FUNCTION core.lease_tokens(
    tenant uuid, class text, owners uuid[], per_second bigint[], bursts bigint[], wanted bigint[],
    at timestamptz DEFAULT clock_timestamp(),
    OUT granted bigint, OUT available bigint, OUT wait_us bigint
) RETURNS SETOF record LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    token CONSTANT bigint := 1000000;
    lease_us CONSTANT bigint := 250000;
    bucket core.rate_buckets;
    passed_us bigint;
    leased bigint;
    now_slot bigint := floor(extract(epoch FROM at) * 4);
BEGIN
    PERFORM set_config('app.tenant_id', tenant::text, true);
    FOR i IN 1 .. cardinality(owners) LOOP
        SELECT * INTO bucket FROM core.rate_buckets
            WHERE tenant_id = tenant AND owner_id = owners[i] AND cost_class = class FOR UPDATE;
        IF NOT FOUND THEN
            INSERT INTO core.rate_buckets (tenant_id, owner_id, cost_class, level, filled_at, slot)
                VALUES (tenant, owners[i], class, bursts[i] * token, at, now_slot)
                ON CONFLICT DO NOTHING;
            SELECT * INTO STRICT bucket FROM core.rate_buckets
                WHERE tenant_id = tenant AND owner_id = owners[i] AND cost_class = class FOR UPDATE;
        END IF;
        -- Who waited for the lock may see the bucket as it is later than `at`.
        passed_us := least(greatest(extract(epoch FROM (at - bucket.filled_at)) * 1000000, 0),
            3600 * token);
        -- A lease lasts for the length of a slot: what was leased in the last slot and in the one
        -- before may be in use since. As long as it may, what is leased and what is in the bucket
        -- together are its burst at most.
        leased := bucket.leased_in_slot + bucket.leased_before;
        bucket.level := least((bursts[i] - leased) * token,
            bucket.level + least(passed_us, lease_us) * per_second[i]);
        bucket.level := bucket.level
            + greatest(passed_us - lease_us, 0) * per_second[i];
        IF now_slot > bucket.slot THEN
            bucket.leased_before :=
                CASE WHEN now_slot = bucket.slot + 1 THEN bucket.leased_in_slot ELSE 0 END;
            bucket.leased_in_slot := 0;
            bucket.slot := now_slot;
        END IF;
        leased := bucket.leased_in_slot + bucket.leased_before;
        bucket.level := greatest(least((bursts[i] - leased) * token, bucket.level), 0);
        -- At most half of what there is, so that the other servers find some.
        granted := least(
            wanted[i], (bucket.level / token + 1) / 2, bursts[i]);
        bucket.level := bucket.level - granted * token;
        bucket.leased_in_slot := bucket.leased_in_slot + granted;
        UPDATE core.rate_buckets SET level = bucket.level,
                filled_at = greatest(at, bucket.filled_at), slot = bucket.slot,
                leased_in_slot = bucket.leased_in_slot, leased_before = bucket.leased_before
            WHERE tenant_id = tenant AND owner_id = owners[i] AND cost_class = class;
        available := bucket.level / token;
        wait_us := CASE WHEN granted > 0 THEN 0
            ELSE (token - bucket.level + per_second[i] - 1) / per_second[i] END;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION core.lease_tokens IS
    'Takes tokens of some buckets of one class, at most as many as wanted, and says how many are '
    'left and how long to wait for one. What is not used within a quarter of a second is lost.';
REVOKE ALL ON FUNCTION core.lease_tokens FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.lease_tokens TO reli_app;

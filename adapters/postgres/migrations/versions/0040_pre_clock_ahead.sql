CREATE OR REPLACE FUNCTION core.lease_tokens(
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
        -- Who waited for the lock may see the bucket as it is later than `at`. What is later than
        -- anybody waits was written by a clock that was ahead: it counts from now on.
        IF bucket.filled_at > at + interval '5 seconds' THEN
            bucket.filled_at := at;
            bucket.slot := now_slot;
        END IF;
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

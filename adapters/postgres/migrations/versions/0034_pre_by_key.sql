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

CREATE OR REPLACE FUNCTION core.make_partitions(months_ahead integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parent text;
    month timestamptz;
    name text;
    made integer := 0;
BEGIN
    IF months_ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'months_ahead must be 0 to 24';
    END IF;
    -- One maker at a time; the others wait here and then find the work done.
    PERFORM pg_advisory_xact_lock(hashtext('core.make_partitions'));
    FOREACH parent IN ARRAY ARRAY['entries', 'transfers', 'resolutions', 'quotes', 'lp_answers',
        'outbox'] LOOP
        FOR month IN SELECT m AT TIME ZONE 'UTC' FROM generate_series(
            date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') - interval '1 month',
            date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')
                + make_interval(months => months_ahead), interval '1 month') AS m
        LOOP
            name := parent || to_char(month AT TIME ZONE 'UTC', '"_"YYYY"_"MM');
            CONTINUE WHEN to_regclass('core.' || name) IS NOT NULL;
            EXECUTE format('CREATE TABLE core.%I PARTITION OF core.%I FOR VALUES FROM (%L) TO (%L)',
                name, parent, core.uuid_at(month),
                core.uuid_at((month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'));
            -- Reached through its parent only: forced row security without a policy lets nobody in.
            EXECUTE format('ALTER TABLE core.%I ENABLE ROW LEVEL SECURITY', name);
            EXECUTE format('ALTER TABLE core.%I FORCE ROW LEVEL SECURITY', name);
            EXECUTE format('REVOKE ALL ON core.%I FROM PUBLIC', name);
            EXECUTE format('ALTER TABLE core.%I ALTER COLUMN tenant_id SET (n_distinct = -0.01)', name);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
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

-- In a table that nobody has analyzed yet, a tenant seems to have a handful too. That versions only
-- grow makes few accounts of an array that seems to have ten, for which keys are cheaper than that.
CREATE OR REPLACE FUNCTION core.write_entries(
    in_tenant uuid,
    account_ids uuid[], versions_before bigint[], new_versions bigint[],
    new_debits_pending numeric[], new_debits_posted numeric[],
    new_credits_pending numeric[], new_credits_posted numeric[],
    entry_ids uuid[], sources text[], reference_texts text[], descriptions text[],
    effective_times timestamptz[],
    transfer_ids uuid[], transfer_entry_ids uuid[], ordinals smallint[], kinds text[],
    debit_ids uuid[], credit_ids uuid[], assets text[], amounts numeric[],
    pending_ids uuid[], expiries timestamptz[], purposes text[], debits_held numeric[],
    debit_versions bigint[], debit_balances numeric[],
    credit_versions bigint[], credit_balances numeric[],
    in_recorded_at timestamptz
) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    UPDATE core.accounts AS a SET debits_pending = v.debits_pending,
        debits_posted = v.debits_posted, credits_pending = v.credits_pending,
        credits_posted = v.credits_posted, version = v.version, recorded_at = in_recorded_at
    FROM (
        SELECT id, coalesce(version_before, versions_before[1]) AS version_before,
            coalesce(u.version, new_versions[1]) AS version,
            coalesce(u.debits_pending, new_debits_pending[1]) AS debits_pending,
            coalesce(u.debits_posted, new_debits_posted[1]) AS debits_posted,
            coalesce(u.credits_pending, new_credits_pending[1]) AS credits_pending,
            coalesce(u.credits_posted, new_credits_posted[1]) AS credits_posted
        FROM (
            SELECT unnest(account_ids) AS id, unnest(versions_before) AS version_before,
                unnest(new_versions) AS version, unnest(new_debits_pending) AS debits_pending,
                unnest(new_debits_posted) AS debits_posted,
                unnest(new_credits_pending) AS credits_pending,
                unnest(new_credits_posted) AS credits_posted
        ) AS u
    ) AS v
    WHERE a.tenant_id = in_tenant AND a.id = v.id AND a.version = v.version_before
        AND v.version_before >= 0 AND v.version > v.version_before;
    GET DIAGNOSTICS found = ROW_COUNT;
    IF found <> cardinality(account_ids) THEN
        RAISE EXCEPTION 'an account is not as it was when the entries were decided'
            USING ERRCODE = 'serialization_failure';
    END IF;
    IF cardinality(entry_ids) = cardinality(transfer_ids) THEN
        -- One transfer each, as nearly all have, and both in the same order.
        INSERT INTO core.entries (tenant_id, id, source, reference, description, effective_at,
            recorded_at, transfer_ids)
        SELECT in_tenant, id, coalesce(source, sources[1]),
            coalesce(reference, reference_texts[1]), coalesce(description, descriptions[1]),
            coalesce(effective_at, in_recorded_at), in_recorded_at, ARRAY[transfer_id]
        FROM (
            SELECT unnest(entry_ids) AS id, unnest(sources) AS source,
                unnest(reference_texts) AS reference, unnest(descriptions) AS description,
                unnest(effective_times) AS effective_at, unnest(transfer_ids) AS transfer_id
        ) AS e;
    ELSE
        INSERT INTO core.entries (tenant_id, id, source, reference, description, effective_at,
            recorded_at, transfer_ids)
        SELECT in_tenant, entry_id, coalesce(sources[n], sources[1]),
            coalesce(reference_texts[n], reference_texts[1]),
            coalesce(descriptions[n], descriptions[1]),
            coalesce(effective_times[n], in_recorded_at), in_recorded_at, ids
        FROM (
            SELECT entry_id, array_agg(id ORDER BY place) AS ids,
                row_number() OVER (ORDER BY min(place)) AS n
            FROM unnest(transfer_ids, transfer_entry_ids)
                WITH ORDINALITY AS t (id, entry_id, place)
            GROUP BY entry_id
        ) AS e;
    END IF;
    INSERT INTO core.transfers (tenant_id, recorded_at, id, entry_id, ordinal, kind,
        debit_account_id, credit_account_id, asset, units, pending_id, expires_at, purpose,
        debit_held, debit_version, debit_balance_after, credit_version, credit_balance_after)
    SELECT in_tenant, in_recorded_at, id, entry_id, coalesce(ordinal, ordinals[1]),
        coalesce(kind, kinds[1]), debit_account_id, credit_account_id,
        coalesce(asset, assets[1]), coalesce(units, amounts[1]), pending_id, expires_at,
        coalesce(purpose, purposes[1]), coalesce(debit_held, debits_held[1]),
        coalesce(debit_version, debit_versions[1]), coalesce(debit_balance, debit_balances[1]),
        coalesce(credit_version, credit_versions[1]),
        coalesce(credit_balance, credit_balances[1])
    FROM (
        SELECT unnest(transfer_ids) AS id, unnest(transfer_entry_ids) AS entry_id,
            unnest(ordinals) AS ordinal, unnest(kinds) AS kind,
            unnest(debit_ids) AS debit_account_id, unnest(credit_ids) AS credit_account_id,
            unnest(assets) AS asset, unnest(amounts) AS units, unnest(pending_ids) AS pending_id,
            unnest(expiries) AS expires_at, unnest(purposes) AS purpose,
            unnest(debits_held) AS debit_held, unnest(debit_versions) AS debit_version,
            unnest(debit_balances) AS debit_balance, unnest(credit_versions) AS credit_version,
            unnest(credit_balances) AS credit_balance
    ) AS t;
    IF cardinality(pending_ids) > 0 THEN
        INSERT INTO core.resolutions (tenant_id, recorded_at, pending_id, kind, transfer_id)
        SELECT in_tenant, in_recorded_at, pending_id, coalesce(kind, kinds[1]), id
        FROM (
            SELECT unnest(transfer_ids) AS id, unnest(pending_ids) AS pending_id,
                unnest(kinds) AS kind
        ) AS r
        WHERE pending_id IS NOT NULL;
    END IF;
    INSERT INTO core.unlisted_lines (tenant_id, recorded_at, transfers, transfer_ids,
        debit_account_ids, debit_versions, credit_account_ids, credit_versions)
    VALUES (in_tenant, in_recorded_at, cardinality(transfer_ids), transfer_ids, debit_ids,
        debit_versions, credit_ids, credit_versions);
    RETURN in_recorded_at;
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

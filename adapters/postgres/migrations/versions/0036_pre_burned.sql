-- An entry is written or its ids are burned, never both.
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
    -- Versions only grow. Saying so tells the planner, which takes each array for ten elements, that
    -- there are few: then keys are asked for, also where nobody has counted a tenant's accounts yet.
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
    -- Whoever burns ids has the accounts locked, as this has from here on: what was burned while we
    -- waited for them is seen.
    IF EXISTS (SELECT FROM core.burned_ids WHERE tenant_id = in_tenant
            AND id = ANY (entry_ids || transfer_ids)) THEN
        RAISE EXCEPTION 'an id failed before'
            USING ERRCODE = 'unique_violation', TABLE = 'burned_ids';
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

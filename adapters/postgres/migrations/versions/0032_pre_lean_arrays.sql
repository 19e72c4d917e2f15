-- Arrays are taken apart beside each other in a SELECT list, in step and padded with NULL as unnest()
-- of many would, but without keeping each of them in a store of its own first.
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
    WHERE a.tenant_id = in_tenant AND a.id = v.id AND a.version = v.version_before;
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

CREATE OR REPLACE FUNCTION core.list_lines(at_most bigint) RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY INVOKER
    SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET enable_seqscan = off AS $$
    WITH next AS (
        -- An account's lines are recorded in the order of their versions, so those that come first
        -- are there before those that follow; what was recorded at one time is taken together.
        SELECT place FROM (
            SELECT place, sum(transfers) OVER (ORDER BY tenant_id, recorded_at)
                - sum(transfers) OVER (PARTITION BY tenant_id, recorded_at) AS before
            FROM (
                SELECT ctid AS place, tenant_id, recorded_at, transfers FROM core.unlisted_lines
                ORDER BY tenant_id, recorded_at FETCH FIRST 10000 ROWS WITH TIES
            ) AS oldest
        ) AS summed
        WHERE before < at_most
    ), locked AS MATERIALIZED (
        -- Somebody else may be listing them: then they are gone when this goes on.
        SELECT u.ctid AS place, u.* FROM core.unlisted_lines AS u
        WHERE u.ctid = ANY (ARRAY(SELECT place FROM next))
        ORDER BY u.tenant_id, u.recorded_at, u.id FOR UPDATE
    ), dropped AS (
        DELETE FROM core.unlisted_lines WHERE ctid = ANY (ARRAY(SELECT place FROM locked))
    ), lines AS (
        SELECT tenant_id, account_id, coalesce(version, versions[1]) AS version, transfer_id
        FROM (
            SELECT tenant_id, unnest(transfer_ids) AS transfer_id,
                unnest(debit_account_ids) AS account_id, unnest(debit_versions) AS version,
                debit_versions AS versions
            FROM locked
            UNION ALL
            SELECT tenant_id, unnest(transfer_ids), unnest(credit_account_ids),
                unnest(credit_versions), credit_versions
            FROM locked
        ) AS l
    ), listed AS (
        -- Sorted by what differs first: most lines are of few tenants.
        INSERT INTO core.account_lines (tenant_id, account_id, last_version, transfer_ids)
        SELECT tenant_id, account_id, max(version), array_agg(transfer_id ORDER BY version)
        FROM lines GROUP BY account_id, (version - 1) / 100, tenant_id
    )
    SELECT coalesce(sum(transfers), 0)::bigint FROM locked;
$$;

-- The texts of a large batch are more than the default, and went by way of a file.
ALTER FUNCTION core.unchained_pages(integer) SET work_mem = '64MB';

-- Accounts, then entries, then transfers, all in arrays of one kind each. A column that says the
-- same everywhere comes as one value; one that says nothing comes empty.
CREATE FUNCTION core.write_entries(
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
        FROM unnest(account_ids, versions_before, new_versions, new_debits_pending,
            new_debits_posted, new_credits_pending, new_credits_posted)
            AS u (id, version_before, version, debits_pending, debits_posted, credits_pending,
                credits_posted)
    ) AS v
    WHERE a.tenant_id = in_tenant AND a.id = v.id AND a.version = v.version_before;
    GET DIAGNOSTICS found = ROW_COUNT;
    IF found <> cardinality(account_ids) THEN
        RAISE EXCEPTION 'an account is not as it was when the entries were decided'
            USING ERRCODE = 'serialization_failure';
    END IF;
    INSERT INTO core.entries (tenant_id, id, source, reference, description, effective_at,
        recorded_at)
    SELECT in_tenant, id, coalesce(source, sources[1]), coalesce(reference, reference_texts[1]),
        coalesce(description, descriptions[1]), coalesce(effective_at, in_recorded_at),
        in_recorded_at
    FROM unnest(entry_ids, sources, reference_texts, descriptions, effective_times)
        AS e (id, source, reference, description, effective_at);
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
    FROM unnest(transfer_ids, transfer_entry_ids, ordinals, kinds, debit_ids, credit_ids,
        assets, amounts, pending_ids, expiries, purposes, debits_held, debit_versions,
        debit_balances, credit_versions, credit_balances)
        AS t (id, entry_id, ordinal, kind, debit_account_id, credit_account_id, asset, units,
            pending_id, expires_at, purpose, debit_held, debit_version, debit_balance,
            credit_version, credit_balance);
    IF cardinality(pending_ids) > 0 THEN
        INSERT INTO core.resolutions (tenant_id, recorded_at, pending_id, kind, transfer_id)
        SELECT in_tenant, in_recorded_at, pending_id, coalesce(kind, kinds[1]), id
        FROM unnest(transfer_ids, pending_ids, kinds) AS r (id, pending_id, kind)
        WHERE pending_id IS NOT NULL;
    END IF;
    RETURN in_recorded_at;
END $$;
COMMENT ON FUNCTION core.write_entries IS
    'The one way by which entries get into the books: decided elsewhere, on the versions named.';

-- The clock is read under a lock that whoever asks for a balance as of now takes too, so that
-- nothing is recorded by an instant that somebody was told about. What was decided on is held by
-- the versions of the accounts and by the keys of the ids.
CREATE FUNCTION core.open_journal(
    in_tenant uuid, entry_ids uuid[], transfer_ids uuid[], tenant_lock bigint, journal_lock bigint,
    decided_at timestamptz, latest_record timestamptz
) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    recorded timestamptz;
BEGIN
    PERFORM set_config('app.tenant_id', in_tenant::text, true);
    PERFORM pg_advisory_xact_lock_shared(tenant_lock);
    PERFORM pg_advisory_xact_lock(journal_lock);
    recorded := greatest(core.now(), latest_record);
    IF recorded NOT BETWEEN decided_at - interval '1 second' AND decided_at + interval '1 second'
    THEN
        RAISE EXCEPTION 'the entries were decided at another time'
            USING ERRCODE = 'serialization_failure';
    END IF;
    IF EXISTS (SELECT FROM core.burned_ids WHERE tenant_id = in_tenant
            AND id = ANY (entry_ids || transfer_ids)) THEN
        RAISE EXCEPTION 'an id failed before' USING ERRCODE = 'unique_violation';
    END IF;
    RETURN recorded;
END $$;
COMMENT ON FUNCTION core.open_journal IS
    'When entries that were decided without locking the books are recorded; an argument of '
    'core.write_entries, so that it is called first and in the same statement.';

REVOKE ALL ON FUNCTION core.write_entries, core.open_journal FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.write_entries, core.open_journal TO reli_app, reli_work;

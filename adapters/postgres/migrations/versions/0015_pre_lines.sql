-- An entry names its transfers, in their order: who has the entry has them by their keys.
ALTER TABLE core.entries ADD COLUMN transfer_ids uuid[];
COMMENT ON COLUMN core.entries.transfer_ids IS 'Its transfers, in the order of their ordinals.';

-- An account's lines were found by two indexes of the transfers, each entry of which went to
-- another place: a third of what a transfer cost. Now who writes only says what is to be listed,
-- and many lines of an account are listed together.
CREATE TABLE core.account_lines (
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    last_version bigint NOT NULL,
    transfer_ids uuid[] NOT NULL CHECK (cardinality(transfer_ids) BETWEEN 1 AND 100),
    PRIMARY KEY (tenant_id, account_id, last_version),
    CHECK (last_version >= cardinality(transfer_ids))
);
COMMENT ON TABLE core.account_lines IS
    'The transfers that are an account''s lines, up to 100 in a row: the last of them made the '
    'version named, the one before it the version before.';
SELECT core.protect('core.account_lines');

CREATE TABLE core.unlisted_lines (
    tenant_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    transfers integer NOT NULL,
    transfer_ids uuid[] STORAGE EXTERNAL NOT NULL,
    debit_account_ids uuid[] STORAGE EXTERNAL NOT NULL,
    debit_versions bigint[] STORAGE EXTERNAL NOT NULL,
    credit_account_ids uuid[] STORAGE EXTERNAL NOT NULL,
    credit_versions bigint[] STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (tenant_id, recorded_at, id)
);
COMMENT ON TABLE core.unlisted_lines IS
    'What is to be added to core.account_lines, a row for each statement that wrote transfers. A '
    'version that is the same everywhere comes as one.';
SELECT core.protect('core.unlisted_lines');
CREATE POLICY lister ON core.unlisted_lines FOR ALL TO reli_work USING (true) WITH CHECK (true);
CREATE POLICY lister ON core.account_lines FOR ALL TO reli_work USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON core.account_lines TO reli_app, reli_work;
GRANT SELECT, INSERT, UPDATE (transfers), DELETE ON core.unlisted_lines TO reli_app, reli_work;

-- Rows are found by where they are: the queue is mostly empty, and a plan made for that would look at
-- all of a long one for each of its rows.
CREATE FUNCTION core.list_lines(at_most bigint) RETURNS bigint
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
            SELECT tenant_id, transfer_ids, debit_account_ids, debit_versions FROM locked
            UNION ALL
            SELECT tenant_id, transfer_ids, credit_account_ids, credit_versions FROM locked
        ) AS l (tenant_id, transfer_ids, account_ids, versions)
        CROSS JOIN LATERAL unnest(transfer_ids, account_ids, versions)
            AS line (transfer_id, account_id, version)
    ), listed AS (
        INSERT INTO core.account_lines (tenant_id, account_id, last_version, transfer_ids)
        SELECT tenant_id, account_id, max(version), array_agg(transfer_id ORDER BY version)
        FROM lines GROUP BY tenant_id, account_id, (version - 1) / 100
    )
    SELECT coalesce(sum(transfers), 0)::bigint FROM locked;
$$;
COMMENT ON FUNCTION core.list_lines(bigint) IS
    'Lists lines that wait for it, of about so many transfers, and returns of how many.';

CREATE FUNCTION core.line_at(tenant uuid, account uuid, version bigint) RETURNS uuid
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.transfer_ids[cardinality(l.transfer_ids) - (l.last_version - version)]
    FROM core.account_lines AS l
    WHERE l.tenant_id = tenant AND l.account_id = account AND l.last_version >= version
    ORDER BY l.last_version LIMIT 1;
$$;
COMMENT ON FUNCTION core.line_at(uuid, uuid, bigint) IS
    'The transfer that made a version of an account. What row security hides does not exist here.';

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
    IF cardinality(entry_ids) = cardinality(transfer_ids) THEN
        -- One transfer each, as nearly all have, and both in the same order.
        INSERT INTO core.entries (tenant_id, id, source, reference, description, effective_at,
            recorded_at, transfer_ids)
        SELECT in_tenant, id, coalesce(source, sources[1]),
            coalesce(reference, reference_texts[1]), coalesce(description, descriptions[1]),
            coalesce(effective_at, in_recorded_at), in_recorded_at, ARRAY[transfer_id]
        FROM unnest(entry_ids, sources, reference_texts, descriptions, effective_times,
            transfer_ids)
            AS e (id, source, reference, description, effective_at, transfer_id);
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
    INSERT INTO core.unlisted_lines (tenant_id, recorded_at, transfers, transfer_ids,
        debit_account_ids, debit_versions, credit_account_ids, credit_versions)
    VALUES (in_tenant, in_recorded_at, cardinality(transfer_ids), transfer_ids, debit_ids,
        debit_versions, credit_ids, credit_versions);
    RETURN in_recorded_at;
END $$;

-- A large batch takes a while from its decision to here, on a busy machine more than a second. What
-- the time decides about plain entries is how old an id may be, a day.
CREATE OR REPLACE FUNCTION core.open_journal(
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
    IF recorded NOT BETWEEN decided_at - interval '5 seconds'
            AND decided_at + interval '5 seconds' THEN
        RAISE EXCEPTION 'the entries were decided at another time'
            USING ERRCODE = 'serialization_failure';
    END IF;
    IF EXISTS (SELECT FROM core.burned_ids WHERE tenant_id = in_tenant
            AND id = ANY (entry_ids || transfer_ids)) THEN
        RAISE EXCEPTION 'an id failed before' USING ERRCODE = 'unique_violation';
    END IF;
    RETURN recorded;
END $$;
CREATE OR REPLACE FUNCTION core.version_at(tenant uuid, account uuid, instant timestamptz)
    RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    lowest bigint := 0;
    highest bigint := coalesce((
        SELECT last_version FROM core.account_lines WHERE tenant_id = tenant
            AND account_id = account ORDER BY last_version DESC LIMIT 1), 0);
    middle bigint;
    recorded timestamptz;
BEGIN
    WHILE lowest < highest LOOP
        middle := (lowest + highest + 1) / 2;
        recorded := (SELECT t.recorded_at FROM core.transfers AS t
            WHERE t.tenant_id = tenant AND t.id = core.line_at(tenant, account, middle));
        IF recorded <= instant THEN
            lowest := middle;
        ELSE
            highest := middle - 1;
        END IF;
    END LOOP;
    RETURN lowest;
END $$;
COMMENT ON FUNCTION core.version_at(uuid, uuid, timestamptz) IS
    'The version of an account at an instant by the time of record, among the lines that are '
    'listed, found by halving: lines are in the order of their times. What row security hides does '
    'not exist here either.';

REVOKE ALL ON FUNCTION core.list_lines, core.line_at FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.list_lines, core.line_at TO reli_app, reli_work;

CREATE POLICY migration ON core.entries FOR ALL TO reli_owner USING (true);
CREATE POLICY migration ON core.transfers FOR SELECT TO reli_owner USING (true);
CREATE POLICY migration ON core.account_lines FOR INSERT TO reli_owner WITH CHECK (true);
UPDATE core.entries AS e SET transfer_ids = t.ids
FROM (
    SELECT tenant_id, entry_id, array_agg(id ORDER BY ordinal) AS ids
    FROM core.transfers GROUP BY tenant_id, entry_id
) AS t
WHERE t.tenant_id = e.tenant_id AND t.entry_id = e.id;
INSERT INTO core.account_lines (tenant_id, account_id, last_version, transfer_ids)
SELECT tenant_id, account_id, max(version), array_agg(id ORDER BY version)
FROM (
    SELECT tenant_id, debit_account_id, debit_version, id FROM core.transfers
    UNION ALL
    SELECT tenant_id, credit_account_id, credit_version, id FROM core.transfers
) AS l (tenant_id, account_id, version, id)
GROUP BY tenant_id, account_id, (version - 1) / 100;
DROP POLICY migration ON core.account_lines;
DROP POLICY migration ON core.transfers;
DROP POLICY migration ON core.entries;
ALTER TABLE core.entries ALTER COLUMN transfer_ids SET NOT NULL,
    ADD CHECK (cardinality(transfer_ids) > 0);

DROP INDEX core.transfers_debit, core.transfers_credit, core.transfers_entry;

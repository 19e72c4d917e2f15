CREATE OR REPLACE FUNCTION core.version_at(tenant uuid, account uuid, instant timestamptz)
    RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Lines that are looked through on either side of where the instant seems to be: more than one
    -- batch can have recorded together.
    reach CONSTANT bigint := 10000;
    rests bigint;
    rested_at timestamptz;
    by_then bigint := 0;
    later bigint;
    lowest bigint;
    highest bigint;
    middle bigint;
    line uuid;
    recorded timestamptz;
    last_by_then bigint;
    first_later bigint;
BEGIN
    SELECT version, recorded_at INTO rests, rested_at FROM core.accounts
    WHERE tenant_id = tenant AND id = account;
    IF rested_at <= instant THEN
        RETURN rests;
    END IF;
    later := coalesce((
        SELECT last_version FROM core.account_lines WHERE tenant_id = tenant
            AND account_id = account ORDER BY first_version DESC LIMIT 1), 0) + 1;
    later := least(later, rests);
    LOOP
        -- The version is one of those from `by_then` on and before `later`. A line that is not there
        -- is taken for recorded when its id was made, to know where to look, and for nothing else.
        lowest := by_then;
        highest := later;
        WHILE highest - lowest > 1 LOOP
            middle := (lowest + highest) / 2;
            line := core.line_at(tenant, account, middle);
            recorded := (SELECT t.recorded_at FROM core.transfers AS t
                WHERE t.tenant_id = tenant AND t.id = line);
            IF recorded <= instant THEN
                by_then := middle;
                lowest := middle;
            ELSIF recorded > instant THEN
                later := middle;
                highest := middle;
            ELSIF uuid_extract_timestamp(line) <= instant THEN
                lowest := middle;
            ELSE
                highest := middle;
            END IF;
        END LOOP;
        IF by_then = lowest AND later = highest THEN
            RETURN by_then;
        END IF;
        SELECT max(l.version) FILTER (WHERE t.recorded_at <= instant),
            min(l.version) FILTER (WHERE t.recorded_at > instant)
        INTO last_by_then, first_later
        FROM (
            SELECT first_version - 1 + place AS version, transfer_id
            FROM core.account_lines
            CROSS JOIN LATERAL unnest(transfer_ids) WITH ORDINALITY AS ids (transfer_id, place)
            WHERE tenant_id = tenant AND account_id = account
                AND first_version > lowest - reach - 100 AND first_version < highest + reach
        ) AS l
        CROSS JOIN LATERAL (
            SELECT recorded_at FROM core.transfers
            WHERE tenant_id = tenant AND id = l.transfer_id OFFSET 0
        ) AS t
        WHERE l.version > greatest(by_then, lowest - reach)
            AND l.version < least(later, highest + reach);
        by_then := coalesce(last_by_then, by_then);
        later := coalesce(first_later, later);
        IF by_then < highest AND later > lowest THEN
            RETURN NULL;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION core.version_at(uuid, uuid, timestamptz) IS
    'The version of an account at an instant by the time of record, among the lines that are '
    'listed, found by halving: lines are in the order of their times. Of a line that is not there, '
    'as its partition was detached, its neighbors say when it was recorded; where they do not say '
    'on which side of the instant, the version is NULL. What row security hides does not exist here '
    'either.';

CREATE OR REPLACE FUNCTION core.balance_after(tenant uuid, account uuid, version bigint)
    RETURNS numeric
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN version = 0 THEN 0 ELSE coalesce(
        (SELECT CASE WHEN t.debit_account_id = account THEN t.debit_balance_after
                ELSE t.credit_balance_after END
            FROM core.transfers AS t
            WHERE t.tenant_id = tenant AND t.id = core.line_at(tenant, account, version)),
        (SELECT a.credits_posted - a.debits_posted FROM core.accounts AS a
            WHERE a.tenant_id = tenant AND a.id = account AND a.version = balance_after.version),
        (SELECT CASE WHEN t.debit_account_id = account THEN t.debit_balance_after + m.units
                ELSE t.credit_balance_after - m.units END
            FROM core.transfers AS t
            CROSS JOIN LATERAL (
                SELECT CASE WHEN t.kind IN ('regular', 'post') THEN t.units ELSE 0 END AS units
            ) AS m
            WHERE t.tenant_id = tenant AND t.id = core.line_at(tenant, account, version + 1))
    ) END;
$$;
COMMENT ON FUNCTION core.balance_after(uuid, uuid, bigint) IS
    'The posted balance of an account at a version: of its line, or where that is not there, as its '
    'partition was detached, of the account if it is at that version, or of what the next line '
    'began with; NULL if none of them is there. What row security hides does not exist here.';

CREATE FUNCTION core.settled_record(tenant uuid, account uuid, journal_lock bigint)
    RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    latest timestamptz;
    settled timestamptz;
BEGIN
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(journal_lock);
        SELECT recorded_at INTO latest FROM core.accounts
        WHERE tenant_id = tenant AND id = account FOR NO KEY UPDATE;
        -- The clock is read under the locks: whoever takes them next reads it after this.
        settled := CASE WHEN FOUND THEN greatest(core.now(), latest) END;
        -- Locks are given back at the end of what took them, and they have done all that they are
        -- for: the others may go on while the lines are read.
        RAISE EXCEPTION 'the locks are given back';
    EXCEPTION WHEN raise_exception THEN
    END;
    RETURN settled;
END $$;
COMMENT ON FUNCTION core.settled_record(uuid, uuid, bigint) IS
    'Waits for those who are writing to an account, and for the journal, then keeps neither waiting, '
    'and returns the instant by which nothing of the account is recorded any more: now, or the time '
    'of its latest line where the clock was set back since. NULL if there is no such account.';
REVOKE ALL ON FUNCTION core.settled_record FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.settled_record TO reli_app, reli_work;

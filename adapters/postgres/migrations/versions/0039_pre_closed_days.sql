-- The database's clock may step back, as on a standby that takes over. A day that was closed has been
-- signed: nothing is recorded in it any more. Days that were closed by a clock far ahead do not count:
-- all would be recorded then, and ids be judged, days from now.
CREATE FUNCTION core.closed_until(tenant uuid) RETURNS timestamptz LANGUAGE sql VOLATILE
    RETURN (SELECT (max(day) + 1)::timestamp AT TIME ZONE 'UTC' FROM core.daily_closes
        WHERE tenant_id = tenant
            AND day < ((core.now() + interval '1 hour') AT TIME ZONE 'UTC')::date);
COMMENT ON FUNCTION core.closed_until(uuid) IS
    'The end of the last day that was closed and ends within an hour, in UTC, or NULL. What row '
    'security hides does not exist here.';
REVOKE ALL ON FUNCTION core.closed_until(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.closed_until(uuid) TO reli_app, reli_work;

-- Whether an id failed before is asked by core.write_entries, once the accounts are locked.
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
    recorded := greatest(core.now(), latest_record, core.closed_until(in_tenant));
    IF recorded NOT BETWEEN decided_at - interval '5 seconds'
            AND decided_at + interval '5 seconds' THEN
        RAISE EXCEPTION 'the entries were decided at another time'
            USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN recorded;
END $$;

-- A partition that is made in its table takes the table from everybody. Who has written to one table
-- and is about to write to the next waits for it then, while the maker waits for him. A table that is
-- attached leaves its parent to all who read and write; and one partition is one transaction, so
-- nothing that was taken for it is held for the next.

CREATE OR REPLACE FUNCTION core.make_partitions(months_ahead integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parent text;
    month timestamp;
    name text;
BEGIN
    IF months_ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'months_ahead must be 0 to 24';
    END IF;
    -- One maker at a time; the others wait here and then find the work done.
    PERFORM pg_advisory_xact_lock(hashtext('core.make_partitions'));
    SELECT p.name, m.month, p.name || to_char(m.month, '"_"YYYY"_"MM')
    INTO parent, month, name
    FROM unnest(ARRAY['entries', 'transfers', 'resolutions', 'quotes', 'lp_answers', 'outbox'])
            WITH ORDINALITY AS p (name, place),
        generate_series(
            date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') - interval '1 month',
            date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')
                + make_interval(months => months_ahead), interval '1 month') AS m (month)
    WHERE NOT EXISTS (
        SELECT FROM pg_class AS c WHERE c.relnamespace = 'core'::regnamespace
            AND c.relname = p.name || to_char(m.month, '"_"YYYY"_"MM'))
    ORDER BY m.month, p.place LIMIT 1;
    IF name IS NULL THEN
        RETURN 0;
    END IF;
    -- Indexes, foreign keys and their triggers come with being attached.
    EXECUTE format('CREATE TABLE core.%I (LIKE core.%I INCLUDING DEFAULTS INCLUDING GENERATED '
        'INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION)', name, parent);
    -- Reached through its parent only: forced row security without a policy lets nobody in.
    EXECUTE format('ALTER TABLE core.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE core.%I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('REVOKE ALL ON core.%I FROM PUBLIC', name);
    EXECUTE format('ALTER TABLE core.%I ALTER COLUMN tenant_id SET (n_distinct = -0.01)', name);
    EXECUTE format('ALTER TABLE core.%I ATTACH PARTITION core.%I FOR VALUES FROM (%L) TO (%L)',
        parent, name, core.uuid_at(month AT TIME ZONE 'UTC'),
        core.uuid_at((month + interval '1 month') AT TIME ZONE 'UTC'));
    RETURN 1;
END $$;
COMMENT ON FUNCTION core.make_partitions(integer) IS
    'Makes the first partition that is missing; returns how many it made: none once all are there.';

-- What a statement adds to the books is a page. A trigger makes it and not the function that writes
-- entries, so that no way into the books leads past it. Nobody who writes waits for a counter: a
-- page gets its place in the chain once it is committed.
CREATE TABLE core.entry_pages (
    tenant_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    id uuid NOT NULL DEFAULT uuidv7(),
    entry_ids uuid[] STORAGE EXTERNAL NOT NULL CHECK (cardinality(entry_ids) > 0),
    first_position bigint CHECK (first_position > 0),
    leaves bytea STORAGE EXTERNAL,
    hash_before bytea CHECK (length(hash_before) = 32),
    PRIMARY KEY (tenant_id, recorded_at, id),
    CHECK ((leaves IS NULL) = (first_position IS NULL)),
    CHECK ((hash_before IS NULL) = (first_position IS NULL)),
    CHECK (length(leaves) = 32 * cardinality(entry_ids))
);
COMMENT ON TABLE core.entry_pages IS
    'The entries that one statement wrote, and their place in the chain of their tenant.';
COMMENT ON COLUMN core.entry_pages.recorded_at IS
    'That of each of its entries: by it the page of an entry is found.';
COMMENT ON COLUMN core.entry_pages.first_position IS
    'Position of the first entry in the chain, from 1 without gaps; absent until it is chained.';
COMMENT ON COLUMN core.entry_pages.leaves IS 'The leaf hash of each entry, 32 bytes each.';
COMMENT ON COLUMN core.entry_pages.hash_before IS
    'The chain hash of the entry before; 32 zero bytes before the first.';
CREATE INDEX entry_pages_unchained ON core.entry_pages (recorded_at, id)
    WHERE first_position IS NULL;
COMMENT ON INDEX core.entry_pages_unchained IS
    'What waits for its place, in the order of one clock: empty but for a moment.';
CREATE UNIQUE INDEX entry_pages_position ON core.entry_pages (tenant_id, first_position)
    WHERE first_position IS NOT NULL;
COMMENT ON INDEX core.entry_pages_position IS 'A tenant''s chain in order, and one page a position.';
SELECT core.protect('core.entry_pages');

CREATE TABLE core.chain_heads (
    tenant_id uuid PRIMARY KEY,
    entries bigint NOT NULL CHECK (entries > 0),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    peaks bytea NOT NULL CHECK (length(peaks) = 32 * bit_count(int8send(entries))),
    checkpoints bigint NOT NULL DEFAULT 0 CHECK (checkpoints >= 0),
    checkpointed bigint NOT NULL DEFAULT 0 CHECK (checkpointed BETWEEN 0 AND entries),
    checkpointed_at timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE core.chain_heads IS 'Where the chain of each tenant ends.';
COMMENT ON COLUMN core.chain_heads.peaks IS
    'The roots of the perfect trees that the leaves make up, the largest first, 32 bytes each.';
COMMENT ON COLUMN core.chain_heads.checkpointed IS 'How many entries the last checkpoint covers.';
CREATE INDEX chain_heads_behind ON core.chain_heads (checkpointed_at)
    WHERE checkpointed < entries;
COMMENT ON INDEX core.chain_heads_behind IS 'Whose chain went on after its last checkpoint.';
SELECT core.protect('core.chain_heads');

CREATE TABLE core.chain_tiles (
    tenant_id uuid NOT NULL,
    level smallint NOT NULL CHECK (level BETWEEN 1 AND 7),
    number bigint NOT NULL CHECK (number >= 0),
    hashes bytea STORAGE EXTERNAL NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192),
    PRIMARY KEY (tenant_id, level, number)
);
COMMENT ON TABLE core.chain_tiles IS
    'Inner nodes of the Merkle tree: those at height 8 x level, 256 in a row but in the last one.';
SELECT core.protect('core.chain_tiles');

CREATE TABLE core.signing_keys (
    id text PRIMARY KEY CHECK (length(id) = 43),
    public_key bytea NOT NULL UNIQUE CHECK (length(public_key) = 32),
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE core.signing_keys IS
    'Ed25519 keys that signed checkpoints, by their thumbprint (RFC 7638); none is ever removed.';

CREATE TABLE core.checkpoints (
    tenant_id uuid NOT NULL,
    number bigint NOT NULL CHECK (number > 0),
    entries bigint NOT NULL CHECK (entries > 0),
    chain_hash bytea NOT NULL CHECK (length(chain_hash) = 32),
    root bytea NOT NULL CHECK (length(root) = 32),
    previous bytea NOT NULL CHECK (length(previous) = 32),
    made_at timestamptz NOT NULL,
    key_id text NOT NULL REFERENCES core.signing_keys,
    signature bytea NOT NULL CHECK (length(signature) = 64),
    PRIMARY KEY (tenant_id, number)
);
COMMENT ON TABLE core.checkpoints IS 'What the chain of a tenant was, signed.';
COMMENT ON COLUMN core.checkpoints.previous IS
    'SHA-256 of the checkpoint before as it was signed; 32 zero bytes before the first.';
CREATE UNIQUE INDEX checkpoints_entries ON core.checkpoints (tenant_id, entries);
COMMENT ON INDEX core.checkpoints_entries IS 'Checkpoints by what they cover; each covers more.';
SELECT core.protect('core.checkpoints');

INSERT INTO core.leases (name) VALUES ('chainer');

GRANT INSERT ON core.entry_pages TO reli_app;
GRANT SELECT ON core.entry_pages, core.chain_heads, core.chain_tiles, core.checkpoints,
    core.signing_keys TO reli_app;
GRANT SELECT, INSERT ON core.entry_pages, core.chain_heads, core.chain_tiles, core.checkpoints,
    core.signing_keys TO reli_work;
GRANT UPDATE (first_position, leaves, hash_before) ON core.entry_pages TO reli_work;
GRANT UPDATE (entries, hash, peaks, checkpoints, checkpointed, checkpointed_at)
    ON core.chain_heads TO reli_work;
GRANT UPDATE (hashes) ON core.chain_tiles TO reli_work;
CREATE POLICY chainer ON core.entry_pages FOR ALL TO reli_work USING (true) WITH CHECK (true);
CREATE POLICY chainer ON core.chain_heads FOR ALL TO reli_work USING (true) WITH CHECK (true);
CREATE POLICY chainer ON core.chain_tiles FOR ALL TO reli_work USING (true) WITH CHECK (true);
CREATE POLICY chainer ON core.checkpoints FOR ALL TO reli_work USING (true) WITH CHECK (true);

CREATE FUNCTION core.page_entries() RETURNS trigger
    LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO core.entry_pages (tenant_id, recorded_at, entry_ids)
    SELECT tenant_id, recorded_at, array_agg(id) FROM added GROUP BY tenant_id, recorded_at;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION core.page_entries() IS 'Makes a page of what a statement added to the books.';
REVOKE ALL ON FUNCTION core.page_entries() FROM PUBLIC;

-- The canonical text of an entry is RFC 8785, as docs/books.md has it. The text of a string is what
-- to_json() makes of it: it escapes what RFC 8785 escapes, in the same way, and nothing else. An
-- entry mostly counts when it is recorded, and to write an instant is dear.
CREATE FUNCTION core.instant_text(instant timestamptz) RETURNS text LANGUAGE sql STABLE
    RETURN to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
COMMENT ON FUNCTION core.instant_text(timestamptz) IS 'RFC 3339, UTC, six digits of a second.';

CREATE FUNCTION core.entry_texts(of_tenant uuid, ids uuid[]) RETURNS bytea
    LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
    SET enable_hashjoin = on SET enable_incremental_sort = off SET enable_mergejoin = off
    SET enable_nestloop = off SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN (
        WITH known AS (
            SELECT e.id, e.source, e.reference, e.description,
                CASE WHEN e.effective_at <> e.recorded_at THEN core.instant_text(e.effective_at) END
                    AS effective,
                core.instant_text(e.recorded_at) AS recorded
            FROM core.entries AS e WHERE e.tenant_id = of_tenant AND e.id = ANY (ids)
            OFFSET 0
        ), moved AS (
            SELECT t.entry_id AS id, string_agg(
                concat('{"asset":', to_json(t.asset), ',"credit_account_id":"', t.credit_account_id,
                    '","debit_account_id":"', t.debit_account_id, '","expires_at":',
                    coalesce('"' || core.instant_text(t.expires_at) || '"', 'null'), ',"id":"',
                    t.id, '","kind":"', t.kind, '","ordinal":', t.ordinal, ',"pending_id":',
                    coalesce('"' || t.pending_id::text || '"', 'null'), ',"purpose":',
                    to_json(t.purpose), ',"units":"', t.units, '"}'),
                ',' ORDER BY t.ordinal) AS transfers
            FROM core.transfers AS t
            WHERE t.tenant_id = of_tenant
                AND t.id = ANY (ARRAY(
                    SELECT unnest(e.transfer_ids) FROM core.entries AS e
                    WHERE e.tenant_id = of_tenant AND e.id = ANY (ids)))
            GROUP BY t.entry_id
        ), taken_back AS (
            SELECT r.reversal_id AS id, r.entry_id AS reverses
            FROM core.reversals AS r WHERE r.tenant_id = of_tenant AND r.reversal_id = ANY (ids)
        )
        SELECT convert_to(string_agg(CASE WHEN k.id IS NULL THEN '' ELSE
            concat('{"description":', to_json(k.description), ',"effective_at":"',
                coalesce(k.effective, k.recorded), '","id":"', k.id, '","recorded_at":"',
                k.recorded, '","reference":', to_json(k.reference), ',"reverses":',
                coalesce('"' || r.reverses::text || '"', 'null'), ',"source":"', k.source,
                '","transfers":[', m.transfers, ']}') END,
            E'\n' ORDER BY n.place), 'UTF8')
        FROM unnest(ids) WITH ORDINALITY AS n (id, place)
        LEFT JOIN known AS k ON k.id = n.id
        LEFT JOIN moved AS m ON m.id = n.id
        LEFT JOIN taken_back AS r ON r.id = n.id
    );
END $$;
COMMENT ON FUNCTION core.entry_texts(uuid, uuid[]) IS
    'The canonical texts of entries of the tenant in scope, one a line in the order of the ids; an '
    'empty line where there is no such entry.';

CREATE FUNCTION core.unchained_pages(entries_wanted integer)
    RETURNS TABLE (tenant_id uuid, times timestamptz[], ids uuid[], entries integer[],
        texts bytea)
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    waiting record;
BEGIN
    FOR waiting IN
        SELECT w.tenant_id,
            array_agg(w.recorded_at ORDER BY w.recorded_at, w.id) AS times,
            array_agg(w.id ORDER BY w.recorded_at, w.id) AS ids,
            array_agg(w.entries ORDER BY w.recorded_at, w.id) AS entries
        FROM (
            SELECT o.*, sum(o.entries) OVER (ORDER BY o.recorded_at, o.id) - o.entries AS before
            FROM (
                SELECT p.tenant_id, p.recorded_at, p.id, cardinality(p.entry_ids) AS entries
                FROM core.entry_pages AS p WHERE p.first_position IS NULL
                ORDER BY p.recorded_at, p.id LIMIT entries_wanted
            ) AS o
        ) AS w
        WHERE w.before < entries_wanted GROUP BY w.tenant_id
    LOOP
        PERFORM set_config('app.tenant_id', waiting.tenant_id::text, true);
        RETURN QUERY SELECT waiting.tenant_id, waiting.times, waiting.ids, waiting.entries,
            core.entry_texts(waiting.tenant_id, ARRAY(
                SELECT n.id
                FROM unnest(waiting.times, waiting.ids) AS w (recorded_at, id)
                JOIN core.entry_pages AS p ON p.tenant_id = waiting.tenant_id
                    AND p.recorded_at = w.recorded_at AND p.id = w.id
                CROSS JOIN LATERAL unnest(p.entry_ids) WITH ORDINALITY AS n (id, place)
                ORDER BY w.recorded_at, w.id, n.place));
    END LOOP;
END $$;
COMMENT ON FUNCTION core.unchained_pages(integer) IS
    'The oldest pages that wait for their place, with at least so many entries or all, by tenant, '
    'with how many entries each has and the canonical texts of all. The tenant in scope is the last '
    'one afterwards.';

REVOKE ALL ON FUNCTION core.instant_text(timestamptz), core.entry_texts(uuid, uuid[]),
    core.unchained_pages(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.instant_text(timestamptz), core.entry_texts(uuid, uuid[])
    TO reli_app, reli_work;
GRANT EXECUTE ON FUNCTION core.unchained_pages(integer) TO reli_work;

-- What is in the books already is paged by the time at which it was recorded. Whoever writes now
-- waits, and fires the trigger then. Forced row security shows the owner nothing.
LOCK TABLE core.entries IN SHARE ROW EXCLUSIVE MODE;
CREATE POLICY migration ON core.entries FOR SELECT TO reli_owner USING (true);
CREATE POLICY migration ON core.entry_pages FOR INSERT TO reli_owner WITH CHECK (true);
INSERT INTO core.entry_pages (tenant_id, recorded_at, entry_ids)
    SELECT tenant_id, recorded_at, array_agg(id ORDER BY id) FROM core.entries
    GROUP BY tenant_id, recorded_at ORDER BY recorded_at, tenant_id;
DROP POLICY migration ON core.entry_pages;
DROP POLICY migration ON core.entries;
CREATE TRIGGER page_entries AFTER INSERT ON core.entries REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION core.page_entries();

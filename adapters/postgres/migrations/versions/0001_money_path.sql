-- Every table of the money path. What holds for all tenant tables:
--   * keys begin with tenant_id, foreign keys too, so no constraint can tell about another tenant;
--   * row security is enabled and forced by core.protect, with one permissive policy whose text is
--     the same everywhere: an unset tenant is an error, not an empty page;
--   * hot tables do not refer to core.tenants: each insert would lock the one row of the tenant,
--     and a tenant's writers would queue there; the scope of the transaction says the same;
--   * text with CHECK instead of enums, because an enum comparison is not leakproof and could not
--     be an index condition under row security.

CREATE FUNCTION core.now() RETURNS timestamptz LANGUAGE sql VOLATILE
    RETURN clock_timestamp();
COMMENT ON FUNCTION core.now() IS
    'The clock that money is judged by. Read it after the lock; tests may pin it.';

CREATE FUNCTION core.protect(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format(
        'CREATE POLICY tenant ON %s FOR ALL TO reli_app, reli_work '
        'USING (tenant_id = current_setting(''app.tenant_id'')::uuid) '
        'WITH CHECK (tenant_id = current_setting(''app.tenant_id'')::uuid)', target);
END $$;
REVOKE ALL ON FUNCTION core.protect(regclass) FROM PUBLIC;

-- Reference data: the same for every tenant.

CREATE TABLE core.environment (
    name text PRIMARY KEY CHECK (name IN ('sandbox', 'live')),
    only_one boolean NOT NULL DEFAULT true UNIQUE CHECK (only_one),
    house_id uuid NOT NULL
);
COMMENT ON TABLE core.environment IS 'What this database is, for ever.';

CREATE TABLE core.assets (
    code text PRIMARY KEY CHECK (code ~ '^[A-Z][A-Z0-9.]{1,15}$'),
    scale smallint NOT NULL CHECK (scale BETWEEN 0 AND 18),
    display_name text NOT NULL
);

CREATE TABLE core.instruments (
    code text PRIMARY KEY CHECK (code = base_asset || '-' || quote_asset),
    base_asset text NOT NULL REFERENCES core.assets,
    quote_asset text NOT NULL REFERENCES core.assets CHECK (quote_asset <> base_asset),
    tolerance_bps integer NOT NULL DEFAULT 10 CHECK (tolerance_bps BETWEEN 0 AND 1000),
    is_open boolean NOT NULL DEFAULT true
);

-- Tenants.

CREATE TABLE core.tenants (
    tenant_id uuid PRIMARY KEY,
    slug text NOT NULL CONSTRAINT tenants_slug_key UNIQUE,
    display_name text NOT NULL,
    branding jsonb NOT NULL DEFAULT '{}',
    quote_ttl_ms integer NOT NULL CHECK (quote_ttl_ms BETWEEN 1000 AND 900000),
    markup_bps jsonb NOT NULL DEFAULT '{}',
    lp_order text[] NOT NULL DEFAULT '{}',
    platform_fee_bps integer NOT NULL CHECK (platform_fee_bps BETWEEN 0 AND 1000),
    state text NOT NULL CHECK (state IN ('active', 'suspended', 'closed')),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL
);

-- The operator is a tenant too. What this database is was said when it was made.
INSERT INTO core.environment (name, house_id)
    VALUES (current_setting('reli.environment'), uuidv7());
INSERT INTO core.tenants (tenant_id, slug, display_name, quote_ttl_ms, platform_fee_bps, state,
        created_at)
    SELECT house_id, 'house', 'House', 30000, 0, 'active', core.now() FROM core.environment;
SELECT core.protect('core.tenants');

CREATE TABLE core.customers (
    tenant_id uuid NOT NULL REFERENCES core.tenants,
    id uuid NOT NULL,
    external_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'suspended', 'closed')),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT customers_external_id_key UNIQUE (tenant_id, external_id)
);
SELECT core.protect('core.customers');

CREATE TABLE core.api_keys (
    tenant_id uuid NOT NULL REFERENCES core.tenants,
    id uuid NOT NULL,
    name text NOT NULL,
    hint text NOT NULL,
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
    scopes text[] NOT NULL CHECK (scopes <@ ARRAY['read', 'customers', 'quotes', 'trades',
        'settings', 'keys', 'sandbox', 'operator'] AND cardinality(scopes) > 0),
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
-- The look-up before the tenant is known. Not unique: a duplicate-key error would be an oracle.
CREATE INDEX api_keys_secret_hash ON core.api_keys (secret_hash);
SELECT core.protect('core.api_keys');

-- Requests: the same request id has one outcome, kept for ever.

CREATE TABLE core.requests (
    tenant_id uuid NOT NULL,
    rpc text NOT NULL,
    request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 64),
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    resource_id uuid,
    refusal jsonb,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, rpc, request_id),
    CHECK ((resource_id IS NULL) <> (refusal IS NULL))
);
SELECT core.protect('core.requests');

-- Ledger.

CREATE TABLE core.accounts (
    tenant_id uuid NOT NULL REFERENCES core.tenants,
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('customer', 'treasury', 'trade_clearing', 'lp',
        'platform_fee', 'tenant_markup', 'slippage', 'external')),
    owner text NOT NULL,
    asset text NOT NULL REFERENCES core.assets,
    debits_pending numeric(38, 0) NOT NULL DEFAULT 0 CHECK (debits_pending >= 0),
    debits_posted numeric(38, 0) NOT NULL DEFAULT 0 CHECK (debits_posted >= 0),
    credits_pending numeric(38, 0) NOT NULL DEFAULT 0 CHECK (credits_pending >= 0),
    credits_posted numeric(38, 0) NOT NULL DEFAULT 0 CHECK (credits_posted >= 0),
    overdraft_limit numeric(38, 0) DEFAULT 0 CHECK (overdraft_limit >= 0),
    version bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT accounts_name_key UNIQUE (tenant_id, kind, owner, asset),
    CONSTRAINT accounts_within_limit CHECK (overdraft_limit IS NULL OR
        credits_posted - debits_posted - debits_pending + overdraft_limit >= 0),
    CONSTRAINT accounts_limit_kind CHECK (
        (overdraft_limit IS NULL) = (kind IN ('lp', 'external', 'slippage'))),
    CONSTRAINT accounts_credit_line CHECK (
        overdraft_limit IS NULL OR overdraft_limit = 0 OR kind = 'treasury')
) WITH (fillfactor = 50); -- room for the next version of the row on the same page
SELECT core.protect('core.accounts');

CREATE TABLE core.entries (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    source text NOT NULL CHECK (source IN ('trade', 'deposit', 'operator', 'expiry')),
    reference text NOT NULL,
    description text NOT NULL DEFAULT '',
    effective_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);
SELECT core.protect('core.entries');

CREATE TABLE core.transfers (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    entry_id uuid NOT NULL,
    ordinal smallint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('regular', 'pending', 'post', 'void', 'expire')),
    debit_account_id uuid NOT NULL,
    credit_account_id uuid NOT NULL CHECK (credit_account_id <> debit_account_id),
    asset text NOT NULL,
    units numeric(38, 0) NOT NULL CHECK (units BETWEEN 1 AND 1e30),
    pending_id uuid,
    expires_at timestamptz CHECK (expires_at IS NULL OR kind = 'pending'),
    purpose text NOT NULL,
    debit_held numeric(38, 0) NOT NULL,
    debit_version bigint NOT NULL,
    debit_balance_after numeric(38, 0) NOT NULL,
    credit_version bigint NOT NULL,
    credit_balance_after numeric(38, 0) NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CHECK ((pending_id IS NULL) = (kind IN ('regular', 'pending'))),
    FOREIGN KEY (tenant_id, entry_id) REFERENCES core.entries,
    FOREIGN KEY (tenant_id, debit_account_id) REFERENCES core.accounts,
    FOREIGN KEY (tenant_id, credit_account_id) REFERENCES core.accounts
) PARTITION BY RANGE (id);
COMMENT ON COLUMN core.transfers.debit_held IS 'Signed change of what the debit account holds.';
-- An account's lines, in the order of its versions.
CREATE INDEX transfers_debit ON core.transfers (tenant_id, debit_account_id, debit_version);
CREATE INDEX transfers_credit ON core.transfers (tenant_id, credit_account_id, credit_version);
-- An entry's transfers.
CREATE INDEX transfers_entry ON core.transfers (tenant_id, entry_id);
SELECT core.protect('core.transfers');

CREATE TABLE core.resolutions (
    tenant_id uuid NOT NULL,
    pending_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('post', 'void', 'expire')),
    transfer_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, pending_id),
    FOREIGN KEY (tenant_id, pending_id) REFERENCES core.transfers,
    FOREIGN KEY (tenant_id, transfer_id) REFERENCES core.transfers
) PARTITION BY RANGE (pending_id);
COMMENT ON TABLE core.resolutions IS
    'The primary key is the pending transfer: it is resolved once, whoever tries.';
SELECT core.protect('core.resolutions');

CREATE TABLE core.expiring_holds (
    tenant_id uuid NOT NULL,
    transfer_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, transfer_id),
    FOREIGN KEY (tenant_id, transfer_id) REFERENCES core.transfers
);
COMMENT ON TABLE core.expiring_holds IS 'Unresolved pending transfers that lapse by themselves.';
-- What lapses next.
CREATE INDEX expiring_holds_due ON core.expiring_holds (expires_at);
SELECT core.protect('core.expiring_holds');

CREATE TABLE core.burned_ids (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    reason text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE core.burned_ids IS 'Ids that failed on balance, and so stay failed.';
SELECT core.protect('core.burned_ids');

CREATE TABLE core.sandbox_deposits (
    tenant_id uuid NOT NULL REFERENCES core.tenants,
    id uuid NOT NULL,
    customer_id uuid,
    asset text NOT NULL REFERENCES core.assets,
    units numeric(38, 0) NOT NULL CHECK (units BETWEEN 1 AND 1e30),
    entry_id uuid NOT NULL,
    environment text NOT NULL DEFAULT 'sandbox' CHECK (environment = 'sandbox')
        CONSTRAINT sandbox_deposits_only_in_sandbox REFERENCES core.environment,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES core.customers,
    FOREIGN KEY (tenant_id, entry_id) REFERENCES core.entries
);
COMMENT ON CONSTRAINT sandbox_deposits_only_in_sandbox ON core.sandbox_deposits IS
    'A live database has no sandbox row to refer to, so it can hold no deposit.';
SELECT core.protect('core.sandbox_deposits');

-- Quotes.

CREATE TABLE core.quotes (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    customer_id uuid,
    side text NOT NULL CHECK (side IN ('buy', 'sell')),
    instrument text NOT NULL REFERENCES core.instruments,
    base_units numeric(38, 0) NOT NULL CHECK (base_units > 0),
    quote_units numeric(38, 0) NOT NULL CHECK (quote_units > 0),
    lp_units numeric(38, 0) NOT NULL CHECK (lp_units > 0),
    fee_units numeric(38, 0) NOT NULL CHECK (fee_units >= 0),
    markup_units numeric(38, 0) NOT NULL CHECK (markup_units >= 0),
    lp text NOT NULL,
    lp_reference text NOT NULL,
    lp_expires_at timestamptz NOT NULL,
    lp_order text[] NOT NULL,
    tolerance_bps integer NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'accepted', 'canceled')),
    trade_id uuid,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES core.customers,
    CHECK ((state = 'accepted') = (trade_id IS NOT NULL)),
    CONSTRAINT quotes_waterfall CHECK (quote_units = lp_units +
        CASE side WHEN 'buy' THEN fee_units + markup_units ELSE -(fee_units + markup_units) END)
) PARTITION BY RANGE (id);
-- A customer's quotes, the newest first.
CREATE INDEX quotes_customer ON core.quotes (tenant_id, customer_id, id);
SELECT core.protect('core.quotes');

CREATE TABLE core.lp_answers (
    tenant_id uuid NOT NULL,
    quote_id uuid NOT NULL,
    id uuid NOT NULL,
    lp text NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('used', 'outbid', 'refused', 'too_late', 'failed',
        'unusable')),
    latency_ms integer NOT NULL,
    reference text NOT NULL DEFAULT '',
    base_units numeric(38, 0),
    quote_units numeric(38, 0),
    expires_at timestamptz,
    reason text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, quote_id, id)
) PARTITION BY RANGE (quote_id);
SELECT core.protect('core.lp_answers');

-- Trades. A trade carries the terms of its quote, so that old quotes can be detached.

CREATE TABLE core.trades (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    source text NOT NULL DEFAULT 'quote' CHECK (source IN ('quote')),
    quote_id uuid NOT NULL,
    customer_id uuid,
    side text NOT NULL CHECK (side IN ('buy', 'sell')),
    instrument text NOT NULL REFERENCES core.instruments,
    base_units numeric(38, 0) NOT NULL CHECK (base_units > 0),
    quote_units numeric(38, 0) NOT NULL CHECK (quote_units > 0),
    lp_units numeric(38, 0) NOT NULL,
    fee_units numeric(38, 0) NOT NULL,
    markup_units numeric(38, 0) NOT NULL,
    lp_order text[] NOT NULL,
    tolerance_bps integer NOT NULL,
    accepted_at timestamptz NOT NULL,
    accepted_by uuid NOT NULL,
    correlation_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'submitted', 'filled', 'settled', 'rejected',
        'outcome_unknown')),
    rejection_reason text NOT NULL DEFAULT '',
    unknown_since timestamptz,
    ended_at timestamptz,
    hold_entry_id uuid NOT NULL,
    hold_id uuid NOT NULL,
    settlement_entry_id uuid NOT NULL,
    settlement_ids uuid[] NOT NULL,
    release_entry_id uuid NOT NULL,
    release_id uuid NOT NULL,
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT trades_quote_key UNIQUE (tenant_id, quote_id),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES core.customers,
    CHECK ((state IN ('settled', 'rejected')) = (ended_at IS NOT NULL)),
    CHECK ((state = 'outcome_unknown') = (unknown_since IS NOT NULL)),
    CHECK ((state = 'rejected') = (rejection_reason <> ''))
);
-- A customer's trades, the newest first.
CREATE INDEX trades_customer ON core.trades (tenant_id, customer_id, id);
SELECT core.protect('core.trades');

CREATE TABLE core.attempts (
    tenant_id uuid NOT NULL,
    trade_id uuid NOT NULL,
    number smallint NOT NULL CHECK (number > 0),
    id uuid NOT NULL,
    lp text NOT NULL,
    state text NOT NULL CHECK (state IN ('prepared', 'sent', 'filled', 'rejected', 'not_sent',
        'absent', 'unknown')),
    lp_reference text NOT NULL,
    lp_units numeric(38, 0),
    lp_expires_at timestamptz,
    sent_at timestamptz,
    venue_order_id text NOT NULL,
    filled_units numeric(38, 0),
    reason text NOT NULL,
    checks integer NOT NULL,
    next_check_at timestamptz,
    PRIMARY KEY (tenant_id, trade_id, number),
    CONSTRAINT attempts_id_key UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, trade_id) REFERENCES core.trades,
    CHECK ((state = 'filled') = (filled_units IS NOT NULL)),
    CHECK (state IN ('prepared', 'not_sent') OR sent_at IS NOT NULL)
);
-- One fill a trade, whatever the code above believes.
CREATE UNIQUE INDEX attempts_one_fill ON core.attempts (tenant_id, trade_id)
    WHERE state = 'filled';
-- One execution of a venue settles one trade.
CREATE UNIQUE INDEX attempts_venue_order ON core.attempts (tenant_id, lp, venue_order_id)
    WHERE venue_order_id <> '';
SELECT core.protect('core.attempts');

CREATE TABLE core.trade_transitions (
    tenant_id uuid NOT NULL,
    trade_id uuid NOT NULL,
    version integer NOT NULL,
    ordinal smallint NOT NULL,
    attempt smallint NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    action text NOT NULL,
    actor text NOT NULL,
    evidence text NOT NULL,
    correlation_id text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, trade_id, version, ordinal),
    FOREIGN KEY (tenant_id, trade_id) REFERENCES core.trades,
    -- Only evidence leads out of not knowing.
    CHECK (from_state NOT IN ('unknown', 'outcome_unknown') OR evidence <> '')
);
SELECT core.protect('core.trade_transitions');

CREATE TABLE core.trade_queue (
    tenant_id uuid NOT NULL,
    trade_id uuid NOT NULL,
    due_at timestamptz NOT NULL,
    leased_until timestamptz NOT NULL,
    token bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, trade_id),
    FOREIGN KEY (tenant_id, trade_id) REFERENCES core.trades
);
-- What is due next.
CREATE INDEX trade_queue_due ON core.trade_queue (due_at);
SELECT core.protect('core.trade_queue');

CREATE TABLE core.breaks (
    tenant_id uuid NOT NULL REFERENCES core.tenants,
    id uuid NOT NULL,
    kind text NOT NULL,
    trade_id uuid NOT NULL,
    asset text NOT NULL REFERENCES core.assets,
    units numeric(38, 0) NOT NULL,
    detail text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, trade_id) REFERENCES core.trades
);
SELECT core.protect('core.breaks');

CREATE TABLE core.outbox (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    type text NOT NULL,
    subject text NOT NULL,
    payload bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    published_at timestamptz,
    PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);
-- What waits for the relay.
CREATE INDEX outbox_unpublished ON core.outbox (id) WHERE published_at IS NULL;
SELECT core.protect('core.outbox');

-- Partitions by month of the UUIDv7 key, made ahead.

CREATE FUNCTION core.uuid_at(instant timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN (lpad(to_hex((extract(epoch FROM instant) * 1000)::bigint), 12, '0')
        || repeat('0', 20))::uuid;
COMMENT ON FUNCTION core.uuid_at(timestamptz) IS 'The lowest UUIDv7 of an instant.';

CREATE FUNCTION core.make_partitions(months_ahead integer) RETURNS integer
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
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
REVOKE ALL ON FUNCTION core.make_partitions(integer) FROM PUBLIC;
SELECT core.make_partitions(3);

-- What is asked across tenants, each by one function of a role that can do nothing else.

CREATE POLICY directory ON core.api_keys FOR SELECT TO reli_directory USING (true);
CREATE POLICY directory ON core.tenants FOR SELECT TO reli_directory USING (true);
GRANT SELECT ON core.api_keys, core.tenants, core.environment TO reli_directory;

CREATE FUNCTION core.find_api_key(wanted bytea)
    RETURNS TABLE (tenant_id uuid, api_key_id uuid, scopes text[], is_revoked boolean,
        tenant_state text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT k.tenant_id, k.id, k.scopes, k.revoked_at IS NOT NULL, t.state
        FROM core.api_keys AS k JOIN core.tenants AS t USING (tenant_id)
        WHERE k.secret_hash = wanted;
    END;
COMMENT ON FUNCTION core.find_api_key(bytea) IS
    'The one look-up before the tenant is known: who shows a secret learns what it stands for.';
REVOKE ALL ON FUNCTION core.find_api_key(bytea) FROM PUBLIC;

CREATE FUNCTION core.list_tenants(before uuid, page_size integer)
    RETURNS SETOF core.tenants
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT t.* FROM core.tenants AS t
        WHERE (before IS NULL OR t.tenant_id < before)
            AND current_setting('app.tenant_id')::uuid = (SELECT house_id FROM core.environment)
        ORDER BY t.tenant_id DESC LIMIT least(page_size, 201);
    END;
COMMENT ON FUNCTION core.list_tenants(uuid, integer) IS
    'All tenants, for a unit of work of the house and for nobody else.';
REVOKE ALL ON FUNCTION core.list_tenants(uuid, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION core.find_api_key(bytea), core.list_tenants(uuid, integer) TO reli_app;
GRANT CREATE, USAGE ON SCHEMA core TO reli_directory;
ALTER FUNCTION core.find_api_key(bytea) OWNER TO reli_directory;
ALTER FUNCTION core.list_tenants(uuid, integer) OWNER TO reli_directory;
REVOKE CREATE ON SCHEMA core FROM reli_directory;

-- Rights: rows that never change cannot be updated, and nothing can be deleted but queue rows.

GRANT USAGE ON SCHEMA core TO reli_app, reli_work;
GRANT EXECUTE ON FUNCTION core.make_partitions(integer) TO reli_work;
GRANT SELECT ON core.environment, core.assets, core.instruments TO reli_app, reli_work;
GRANT SELECT, INSERT ON core.requests, core.entries, core.transfers, core.resolutions,
    core.burned_ids, core.sandbox_deposits, core.lp_answers, core.trade_transitions, core.breaks
    TO reli_app, reli_work;
GRANT SELECT, INSERT, UPDATE ON core.tenants, core.customers, core.api_keys, core.accounts,
    core.quotes, core.trades, core.attempts TO reli_app, reli_work;
GRANT SELECT, INSERT, UPDATE, DELETE ON core.trade_queue TO reli_app, reli_work;
GRANT SELECT, INSERT, DELETE ON core.expiring_holds TO reli_app, reli_work;
GRANT INSERT ON core.outbox TO reli_app, reli_work;
GRANT SELECT, UPDATE (published_at) ON core.outbox TO reli_work;
CREATE POLICY queue ON core.trade_queue FOR ALL TO reli_work USING (true) WITH CHECK (true);
CREATE POLICY queue ON core.expiring_holds FOR ALL TO reli_work
    USING (true) WITH CHECK (true);
CREATE POLICY relay ON core.outbox FOR ALL TO reli_work USING (true) WITH CHECK (true);

-- Reference data that every installation starts with.

INSERT INTO core.assets (code, scale, display_name) VALUES
    ('BTC', 8, 'Bitcoin'), ('ETH', 18, 'Ether'), ('USDT', 6, 'Tether USD'),
    ('NGN', 2, 'Nigerian naira'), ('KES', 2, 'Kenyan shilling'), ('ZAR', 2, 'South African rand'),
    ('USD', 2, 'US dollar');
INSERT INTO core.instruments (code, base_asset, quote_asset)
    SELECT base || '-' || quote, base, quote
    FROM unnest(ARRAY['BTC', 'ETH', 'USDT']) AS base,
        unnest(ARRAY['NGN', 'KES', 'ZAR', 'USD', 'USDT']) AS quote
    WHERE base <> quote;

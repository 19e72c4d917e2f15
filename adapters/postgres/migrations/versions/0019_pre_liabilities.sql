CREATE TABLE core.liability_sheets (
    tenant_id uuid NOT NULL,
    asset text NOT NULL REFERENCES core.assets,
    number bigint NOT NULL CHECK (number > 0),
    as_of timestamptz NOT NULL,
    checkpoint bigint NOT NULL CHECK (checkpoint > 0),
    customers bigint NOT NULL CHECK (customers > 0),
    total numeric(39, 0) NOT NULL CHECK (total >= 0),
    root bytea NOT NULL CHECK (length(root) = 32),
    key_id text NOT NULL REFERENCES core.signing_keys,
    signature bytea NOT NULL CHECK (length(signature) = 64),
    secret bytea NOT NULL CHECK (length(secret) = 32),
    postings numeric(38, 0) NOT NULL CHECK (postings >= 0),
    PRIMARY KEY (tenant_id, asset, number)
);
COMMENT ON TABLE core.liability_sheets IS
    'What a tenant owed its customers in an asset, signed; the latest few of each.';
COMMENT ON COLUMN core.liability_sheets.as_of IS
    'The instant of the one snapshot in which all balances were read.';
COMMENT ON COLUMN core.liability_sheets.checkpoint IS
    'The newest checkpoint of the tenant in that snapshot.';
COMMENT ON COLUMN core.liability_sheets.secret IS 'What the salts of the leaves are made of.';
COMMENT ON COLUMN core.liability_sheets.postings IS
    'How many postings the accounts had had: while they have no more, the sheet is true.';
SELECT core.protect('core.liability_sheets');

CREATE TABLE core.liability_blocks (
    tenant_id uuid NOT NULL,
    asset text NOT NULL,
    number bigint NOT NULL,
    block integer NOT NULL CHECK (block >= 0),
    first_customer text COLLATE "C" NOT NULL,
    customers text[] NOT NULL CHECK (cardinality(customers) BETWEEN 1 AND 256),
    units numeric(38, 0)[] NOT NULL CHECK (cardinality(units) = cardinality(customers)),
    root bytea NOT NULL CHECK (length(root) = 32),
    total numeric(39, 0) NOT NULL CHECK (total >= 0),
    PRIMARY KEY (tenant_id, asset, number, block),
    FOREIGN KEY (tenant_id, asset, number) REFERENCES core.liability_sheets
);
COMMENT ON TABLE core.liability_blocks IS
    'The leaves of a sheet in the order of the customers'' ids, 256 in a row but in the last one.';
COMMENT ON COLUMN core.liability_blocks.root IS 'The hash of the root over the leaves of the row.';
COMMENT ON COLUMN core.liability_blocks.total IS 'The sum of the balances in the row.';
SELECT core.protect('core.liability_blocks');

CREATE TABLE core.liability_heads (
    tenant_id uuid PRIMARY KEY,
    checkpoint bigint NOT NULL CHECK (checkpoint > 0),
    looked_at timestamptz NOT NULL
);
COMMENT ON TABLE core.liability_heads IS
    'When each tenant''s customers were last looked at, and at which checkpoint.';
SELECT core.protect('core.liability_heads');

INSERT INTO core.leases (name) VALUES ('liabilities');

GRANT SELECT ON core.liability_sheets, core.liability_blocks TO reli_app;
GRANT SELECT, INSERT, DELETE ON core.liability_sheets, core.liability_blocks TO reli_work;
GRANT SELECT, INSERT ON core.liability_heads TO reli_work;
GRANT UPDATE (checkpoint, looked_at) ON core.liability_heads TO reli_work;
CREATE POLICY keeper ON core.liability_heads FOR ALL TO reli_work USING (true) WITH CHECK (true);

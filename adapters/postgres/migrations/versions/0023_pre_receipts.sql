CREATE TABLE core.receipts (
    tenant_id uuid NOT NULL,
    trade_id uuid NOT NULL,
    content bytea NOT NULL,
    evidence bytea NOT NULL,
    signature bytea NOT NULL CHECK (length(signature) = 64),
    key_id text NOT NULL REFERENCES core.signing_keys,
    made_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, trade_id),
    FOREIGN KEY (tenant_id, trade_id) REFERENCES core.trades
);
COMMENT ON TABLE core.receipts IS
    'What each trade that ended came to, signed; made once, and never changed.';
COMMENT ON COLUMN core.receipts.content IS 'Canonical JSON (RFC 8785); what is signed.';
COMMENT ON COLUMN core.receipts.evidence IS
    'Canonical JSON (RFC 8785) whose SHA-256 the content names; it outlives the quote''s partition.';
SELECT core.protect('core.receipts');

GRANT SELECT ON core.receipts TO reli_app;
GRANT SELECT, INSERT ON core.receipts TO reli_work;

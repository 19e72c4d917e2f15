-- Statements of sources, their lines beside what the book has, and what explains the rest.

CREATE TABLE core.statements (
    tenant_id uuid NOT NULL REFERENCES core.tenants,
    id uuid NOT NULL,
    source_kind text NOT NULL CHECK (source_kind IN ('lp', 'rail')),
    source text NOT NULL CHECK (source <> ''),
    format text NOT NULL CHECK (format IN ('json', 'csv', 'camt053')),
    content_hash bytea NOT NULL CHECK (length(content_hash) = 32),
    lines_hash bytea NOT NULL CHECK (length(lines_hash) = 32),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at >= starts_at),
    position text NOT NULL DEFAULT '',
    imported_by text NOT NULL,
    imported_at timestamptz NOT NULL,
    lines integer NOT NULL CHECK (lines >= 0),
    known integer NOT NULL CHECK (known >= 0),
    matched integer NOT NULL CHECK (matched >= 0),
    waiting integer NOT NULL CHECK (waiting >= 0),
    breaks_raised integer NOT NULL CHECK (breaks_raised >= 0),
    breaks_resolved integer NOT NULL CHECK (breaks_resolved >= 0),
    PRIMARY KEY (tenant_id, id),
    -- The same file twice changes nothing.
    CONSTRAINT statements_content_key UNIQUE (tenant_id, source_kind, source, content_hash)
);
COMMENT ON TABLE core.statements IS 'Files in which a source told what we have there.';
COMMENT ON COLUMN core.statements.lines_hash IS
    'SHA-256 over the lines that were new, in their order; an audit makes it again.';
COMMENT ON COLUMN core.statements.position IS
    'Where the numbering of the source stood at the end; empty where it has none.';
-- How far a source has told.
CREATE INDEX statements_latest ON core.statements (tenant_id, source_kind, source, ends_at);
COMMENT ON INDEX core.statements_latest IS 'How far a source has told.';
SELECT core.protect('core.statements');
GRANT SELECT, INSERT ON core.statements TO reli_app, reli_work;

CREATE TABLE core.statement_balances (
    tenant_id uuid NOT NULL,
    statement_id uuid NOT NULL,
    asset text NOT NULL REFERENCES core.assets,
    told numeric(38, 0) NOT NULL,
    PRIMARY KEY (tenant_id, statement_id, asset),
    FOREIGN KEY (tenant_id, statement_id) REFERENCES core.statements
);
COMMENT ON TABLE core.statement_balances IS
    'What all lines that a source had told by a statement add up to.';
SELECT core.protect('core.statement_balances');
GRANT SELECT, INSERT ON core.statement_balances TO reli_app, reli_work;

CREATE TABLE core.reconciled_accounts (
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    source_kind text NOT NULL CHECK (source_kind IN ('lp', 'rail')),
    source text NOT NULL,
    asset text NOT NULL REFERENCES core.assets,
    units_before numeric(38, 0) NOT NULL,
    version bigint NOT NULL CHECK (version >= 0),
    PRIMARY KEY (tenant_id, account_id),
    FOREIGN KEY (tenant_id, account_id) REFERENCES core.accounts,
    CONSTRAINT reconciled_accounts_asset_key UNIQUE (tenant_id, source_kind, source, asset)
);
COMMENT ON TABLE core.reconciled_accounts IS
    'Accounts that are compared with a source, and up to which of their lines that was done.';
COMMENT ON COLUMN core.reconciled_accounts.units_before IS
    'What the book had before the first statement, signed as the source has it.';
SELECT core.protect('core.reconciled_accounts');
GRANT SELECT, INSERT, UPDATE (version) ON core.reconciled_accounts TO reli_app, reli_work;

CREATE TABLE core.reconciliation_lines (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    side text NOT NULL CHECK (side IN ('statement', 'book')),
    source_kind text NOT NULL CHECK (source_kind IN ('lp', 'rail')),
    source text NOT NULL,
    kind text NOT NULL
        CHECK (kind IN ('trade', 'payment', 'fee', 'other', 'opening', 'correction')),
    asset text NOT NULL REFERENCES core.assets,
    units numeric(38, 0) NOT NULL CHECK (units <> 0),
    value_at timestamptz NOT NULL,
    reference text NOT NULL CHECK (reference <> ''),
    others text[] NOT NULL DEFAULT '{}',
    statement_id uuid,
    number integer CHECK (number > 0),
    account_id uuid,
    entry_id uuid,
    noted_at timestamptz NOT NULL,
    match_id uuid,
    match_rule text CHECK (match_rule IN ('reference', 'amount', 'sum', 'link', 'adjustment')),
    break_id uuid,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, statement_id) REFERENCES core.statements,
    FOREIGN KEY (tenant_id, account_id) REFERENCES core.accounts,
    FOREIGN KEY (tenant_id, break_id) REFERENCES core.breaks,
    CONSTRAINT reconciliation_lines_origin CHECK (CASE side
        WHEN 'statement' THEN statement_id IS NOT NULL AND number IS NOT NULL
            AND account_id IS NULL AND entry_id IS NULL
        ELSE statement_id IS NULL AND number IS NULL
            AND account_id IS NOT NULL AND entry_id IS NOT NULL END),
    CHECK ((match_id IS NULL) = (match_rule IS NULL))
);
COMMENT ON TABLE core.reconciliation_lines IS
    'What a source told and what the book has, line by line: matched, a break, or waiting.';
COMMENT ON COLUMN core.reconciliation_lines.units IS 'Signed as the source has it for us.';
COMMENT ON COLUMN core.reconciliation_lines.match_id IS
    'The same for all lines that are the same money.';
COMMENT ON COLUMN core.reconciliation_lines.break_id IS
    'The break that was raised for it; it stays when a match explains that later.';
-- What a source told of a reference before.
CREATE INDEX reconciliation_lines_reference
    ON core.reconciliation_lines (tenant_id, source_kind, source, reference)
    WHERE side = 'statement';
COMMENT ON INDEX core.reconciliation_lines_reference IS 'What a source told of a reference before.';
-- An entry is noted once for each account.
CREATE UNIQUE INDEX reconciliation_lines_entry
    ON core.reconciliation_lines (tenant_id, account_id, entry_id) WHERE side = 'book';
COMMENT ON INDEX core.reconciliation_lines_entry IS 'An entry is noted once for each account.';
-- What still needs its counterpart.
CREATE INDEX reconciliation_lines_open
    ON core.reconciliation_lines (tenant_id, source_kind, source) WHERE match_id IS NULL;
COMMENT ON INDEX core.reconciliation_lines_open IS 'What still needs its counterpart.';
-- The lines of a break.
CREATE INDEX reconciliation_lines_break
    ON core.reconciliation_lines (tenant_id, break_id) WHERE break_id IS NOT NULL;
COMMENT ON INDEX core.reconciliation_lines_break IS 'The lines of a break.';
SELECT core.protect('core.reconciliation_lines');
GRANT SELECT, INSERT, UPDATE (match_id, match_rule, break_id) ON core.reconciliation_lines
    TO reli_app, reli_work;

-- A break of a source is about no trade, and every break has somebody to explain it.
ALTER TABLE core.breaks
    ALTER COLUMN trade_id DROP NOT NULL,
    ADD COLUMN source_kind text CHECK (source_kind IN ('lp', 'rail')),
    ADD COLUMN source text,
    ADD COLUMN owner text NOT NULL DEFAULT 'operations' CHECK (owner <> ''),
    ADD COLUMN note text NOT NULL DEFAULT '',
    ADD CONSTRAINT breaks_source_is_whole CHECK ((source_kind IS NULL) = (source IS NULL)),
    ADD CONSTRAINT breaks_about CHECK ((trade_id IS NULL) = (source IS NOT NULL)
        AND (trade_id IS NOT NULL) = (kind IN ('FILL_BEYOND_TOLERANCE', 'LATE_FILL')));
GRANT UPDATE (owner, note) ON core.breaks TO reli_app;

CREATE TABLE core.break_resolutions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    break_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('match', 'link', 'adjustment')),
    note text NOT NULL DEFAULT '',
    linked_entry_id uuid,
    linked_break_id uuid,
    counter_account_id uuid,
    entry_id uuid,
    transfer_id uuid,
    proposed_by uuid,
    proposed_at timestamptz NOT NULL,
    approved_by uuid,
    approved_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, break_id) REFERENCES core.breaks,
    FOREIGN KEY (tenant_id, linked_break_id) REFERENCES core.breaks,
    FOREIGN KEY (tenant_id, counter_account_id) REFERENCES core.accounts,
    CHECK ((kind = 'match') = (proposed_by IS NULL)),
    CHECK ((kind = 'link') = (num_nonnulls(linked_entry_id, linked_break_id) = 1)),
    CHECK (num_nonnulls(counter_account_id, entry_id, transfer_id)
        = CASE kind WHEN 'adjustment' THEN 3 ELSE 0 END),
    CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    CHECK (approved_by IS NULL OR kind = 'adjustment'),
    CONSTRAINT break_resolutions_two_keys CHECK (approved_by <> proposed_by)
);
COMMENT ON TABLE core.break_resolutions IS
    'What explains a break, and what was proposed to; an adjustment needs a second key.';
-- A break is resolved once, however much was proposed.
CREATE UNIQUE INDEX break_resolutions_effective ON core.break_resolutions (tenant_id, break_id)
    WHERE kind <> 'adjustment' OR approved_by IS NOT NULL;
COMMENT ON INDEX core.break_resolutions_effective IS
    'A break is resolved once, however much was proposed.';
-- What was proposed for a break.
CREATE INDEX break_resolutions_break ON core.break_resolutions (tenant_id, break_id, id);
COMMENT ON INDEX core.break_resolutions_break IS 'What was proposed for a break.';
SELECT core.protect('core.break_resolutions');
GRANT SELECT, INSERT ON core.break_resolutions TO reli_app, reli_work;
GRANT UPDATE (approved_by, approved_at) ON core.break_resolutions TO reli_app;

INSERT INTO core.leases (name) VALUES ('reconciler');

-- Late fills: an attempt that was concluded absent is looked at again, and what the venue did
-- execute after all is a break of the tenant and inventory of the house.

CREATE TABLE core.late_checks (
    tenant_id uuid NOT NULL,
    trade_id uuid NOT NULL,
    attempt smallint NOT NULL,
    concluded_at timestamptz NOT NULL,
    due_at timestamptz,
    looks integer NOT NULL DEFAULT 0 CHECK (looks >= 0),
    unanswered integer NOT NULL DEFAULT 0 CHECK (unanswered >= 0),
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    token bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, trade_id, attempt),
    FOREIGN KEY (tenant_id, trade_id, attempt) REFERENCES core.attempts,
    -- Nobody is done who has not looked.
    CHECK (due_at IS NOT NULL OR looks > 0)
);
COMMENT ON TABLE core.late_checks IS
    'Attempts concluded absent, written with that conclusion: the venue is asked about them again.';
COMMENT ON COLUMN core.late_checks.due_at IS 'When it is asked next; absent once all is known.';
COMMENT ON COLUMN core.late_checks.looks IS 'How often the venue has answered.';
COMMENT ON COLUMN core.late_checks.unanswered IS 'How often in a row it has not, since then.';
-- What is due next.
CREATE INDEX late_checks_due ON core.late_checks (due_at) WHERE due_at IS NOT NULL;
SELECT core.protect('core.late_checks');

GRANT SELECT, INSERT ON core.late_checks TO reli_app, reli_work;
GRANT UPDATE (due_at, looks, unanswered, leased_until, token) ON core.late_checks TO reli_work;
CREATE POLICY queue ON core.late_checks FOR ALL TO reli_work USING (true) WITH CHECK (true);

-- What was concluded before there were late looks is looked at as well. Forced row security shows
-- the owner nothing.
CREATE POLICY migration ON core.attempts FOR SELECT TO reli_owner USING (true);
CREATE POLICY migration ON core.late_checks FOR INSERT TO reli_owner WITH CHECK (true);
INSERT INTO core.late_checks (tenant_id, trade_id, attempt, concluded_at, due_at)
    SELECT tenant_id, trade_id, number, core.now(), core.now() FROM core.attempts
    WHERE state = 'absent';
DROP POLICY migration ON core.late_checks;
DROP POLICY migration ON core.attempts;

ALTER TABLE core.breaks
    ADD COLUMN attempt smallint,
    ADD COLUMN venue_order_id text NOT NULL DEFAULT '',
    ADD COLUMN base_units numeric(38, 0),
    ADD FOREIGN KEY (tenant_id, trade_id, attempt) REFERENCES core.attempts,
    ADD CONSTRAINT breaks_late_fill_is_whole CHECK (kind <> 'LATE_FILL'
        OR (attempt IS NOT NULL AND venue_order_id <> '' AND base_units > 0 AND units > 0));
COMMENT ON COLUMN core.breaks.units IS
    'How much is to be explained; of a late fill, what the LP took or paid in the quote asset.';
COMMENT ON COLUMN core.breaks.attempt IS 'Number of the attempt that was filled late.';
COMMENT ON COLUMN core.breaks.base_units IS 'What was executed of the base asset.';
-- An attempt is filled late once, whoever finds that out and however often.
CREATE UNIQUE INDEX breaks_late_fill ON core.breaks (tenant_id, trade_id, attempt)
    WHERE kind = 'LATE_FILL';

-- What the house has of an LP, or owes it, that no tenant's trade accounts for.
ALTER TABLE core.accounts
    DROP CONSTRAINT accounts_kind_check,
    ADD CONSTRAINT accounts_kind_check CHECK (kind IN ('customer', 'treasury', 'trade_clearing',
        'lp', 'platform_fee', 'tenant_markup', 'slippage', 'external', 'inventory')),
    DROP CONSTRAINT accounts_limit_kind,
    ADD CONSTRAINT accounts_limit_kind CHECK (
        (overdraft_limit IS NULL) = (kind IN ('lp', 'external', 'slippage', 'inventory')));

ALTER TABLE core.entries
    DROP CONSTRAINT entries_source_check,
    ADD CONSTRAINT entries_source_check CHECK (
        source IN ('trade', 'deposit', 'operator', 'expiry', 'break'));

-- What the house and an LP owe each other as of an instant, and how it was paid.

CREATE TABLE core.lp_settlements (
    tenant_id uuid NOT NULL REFERENCES core.tenants,
    id uuid NOT NULL,
    lp text NOT NULL CHECK (lp <> ''),
    rail text NOT NULL CHECK (rail <> ''),
    as_of timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('proposed', 'approved', 'settled', 'canceled')),
    note text NOT NULL DEFAULT '',
    proposed_by uuid NOT NULL,
    proposed_at timestamptz NOT NULL,
    approved_by uuid,
    approved_at timestamptz,
    reference text NOT NULL DEFAULT '',
    evidence text NOT NULL DEFAULT '',
    ended_by uuid,
    ended_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    CHECK ((ended_by IS NULL) = (ended_at IS NULL)),
    CONSTRAINT lp_settlements_two_keys CHECK (approved_by <> proposed_by),
    CONSTRAINT lp_settlements_steps CHECK (CASE state
        WHEN 'proposed' THEN approved_by IS NULL AND ended_by IS NULL
        WHEN 'approved' THEN approved_by IS NOT NULL AND ended_by IS NULL
        WHEN 'settled' THEN approved_by IS NOT NULL AND ended_by IS NOT NULL
        ELSE ended_by IS NOT NULL END),
    CHECK ((state = 'settled') = (reference <> '' AND evidence <> ''))
);
COMMENT ON TABLE core.lp_settlements IS
    'Payments of all positions at an LP as of an instant; of the house alone.';
COMMENT ON COLUMN core.lp_settlements.ended_at IS
    'When it was canceled or, of a settled one, when its entries were recorded.';
-- An LP has one open settlement at a time.
CREATE UNIQUE INDEX lp_settlements_open ON core.lp_settlements (tenant_id, lp)
    WHERE state IN ('proposed', 'approved');
COMMENT ON INDEX core.lp_settlements_open IS 'An LP has one open settlement at a time.';
-- When the latest settlement of an LP was booked.
CREATE INDEX lp_settlements_settled ON core.lp_settlements (tenant_id, lp, ended_at)
    WHERE state = 'settled';
COMMENT ON INDEX core.lp_settlements_settled IS 'When the latest settlement of an LP was booked.';
SELECT core.protect('core.lp_settlements');
GRANT SELECT, INSERT ON core.lp_settlements TO reli_app;
GRANT UPDATE (state, approved_by, approved_at, reference, evidence, ended_by, ended_at)
    ON core.lp_settlements TO reli_app;

CREATE TABLE core.lp_settlement_legs (
    tenant_id uuid NOT NULL,
    settlement_id uuid NOT NULL,
    asset text NOT NULL REFERENCES core.assets,
    units numeric(38, 0) NOT NULL CHECK (units <> 0),
    entry_id uuid,
    PRIMARY KEY (tenant_id, settlement_id, asset),
    FOREIGN KEY (tenant_id, settlement_id) REFERENCES core.lp_settlements
);
COMMENT ON TABLE core.lp_settlement_legs IS
    'What a settlement pays in each asset, and the entry that booked it.';
COMMENT ON COLUMN core.lp_settlement_legs.units IS 'Positive where the LP pays us.';
SELECT core.protect('core.lp_settlement_legs');
GRANT SELECT, INSERT, UPDATE (entry_id) ON core.lp_settlement_legs TO reli_app;

-- Trades whose outcome no venue will tell: two operators decide on evidence.

CREATE TABLE core.trade_resolutions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    trade_id uuid NOT NULL,
    attempt smallint NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('filled', 'not_filled')),
    venue_order_id text NOT NULL,
    filled_units numeric(38, 0),
    evidence text NOT NULL CHECK (evidence <> ''),
    proposed_by uuid NOT NULL,
    proposed_at timestamptz NOT NULL,
    approved_by uuid,
    approved_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, trade_id, attempt) REFERENCES core.attempts,
    CHECK ((verdict = 'filled') = (filled_units IS NOT NULL)),
    CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    CONSTRAINT trade_resolutions_two_keys CHECK (approved_by <> proposed_by)
);
-- One decision an attempt, however many were proposed.
CREATE UNIQUE INDEX trade_resolutions_approved
    ON core.trade_resolutions (tenant_id, trade_id, attempt) WHERE approved_by IS NOT NULL;
SELECT core.protect('core.trade_resolutions');
GRANT SELECT, INSERT, UPDATE (approved_by, approved_at) ON core.trade_resolutions TO reli_app;
GRANT SELECT ON core.trade_resolutions TO reli_work;

-- What the operator looks for, the oldest first.
CREATE INDEX trades_unknown ON core.trades (unknown_since, id) WHERE unknown_since IS NOT NULL;

CREATE POLICY directory ON core.trades FOR SELECT TO reli_directory USING (true);
GRANT SELECT (tenant_id, id, unknown_since) ON core.trades TO reli_directory;

CREATE FUNCTION core.list_stuck_trades(of_tenant uuid, skip integer, page_size integer)
    RETURNS TABLE (tenant_id uuid, trade_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT t.tenant_id, t.id FROM core.trades AS t
        WHERE t.unknown_since IS NOT NULL
            AND (of_tenant IS NULL OR t.tenant_id = of_tenant)
            AND current_setting('app.tenant_id')::uuid = (SELECT house_id FROM core.environment)
        ORDER BY t.unknown_since, t.id OFFSET skip LIMIT least(page_size, 201);
    END;
COMMENT ON FUNCTION core.list_stuck_trades(uuid, integer, integer) IS
    'Trades of all tenants whose outcome is unknown, for a unit of work of the house.';
REVOKE ALL ON FUNCTION core.list_stuck_trades(uuid, integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.list_stuck_trades(uuid, integer, integer) TO reli_app;
GRANT CREATE ON SCHEMA core TO reli_directory;
ALTER FUNCTION core.list_stuck_trades(uuid, integer, integer) OWNER TO reli_directory;
REVOKE CREATE ON SCHEMA core FROM reli_directory;

CREATE INDEX dated_lines_effective
    ON core.dated_lines (tenant_id, account_id, effective_at, version);
COMMENT ON INDEX core.dated_lines_effective IS
    'The dated lines that a statement takes in, in its order.';

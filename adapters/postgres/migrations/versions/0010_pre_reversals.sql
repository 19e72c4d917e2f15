CREATE TABLE core.reversals (
    tenant_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    reversal_id uuid NOT NULL CHECK (reversal_id <> entry_id),
    PRIMARY KEY (tenant_id, entry_id)
);
COMMENT ON TABLE core.reversals IS
    'The primary key is the entry that was taken back: that happens once, whoever tries.';
CREATE UNIQUE INDEX reversals_reversal ON core.reversals (tenant_id, reversal_id);
COMMENT ON INDEX core.reversals_reversal IS 'What an entry takes back.';
SELECT core.protect('core.reversals');
GRANT SELECT, INSERT ON core.reversals TO reli_app, reli_work;

CREATE TABLE core.audit_records (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    sequence bigint CHECK (sequence > 0),
    api_key_id uuid NOT NULL,
    is_operator boolean NOT NULL,
    method text NOT NULL,
    request_id text NOT NULL,
    correlation_id text NOT NULL,
    subject text NOT NULL,
    before_hash bytea NOT NULL CHECK (length(before_hash) IN (0, 32)),
    after_hash bytea NOT NULL CHECK (length(after_hash) IN (0, 32)),
    refusal_reason text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT audit_records_outcome CHECK (
        (refusal_reason = '') = (subject <> '') AND (subject <> '') = (length(after_hash) = 32))
);
COMMENT ON TABLE core.audit_records IS
    'Who did what, written in the transaction of its effect and never changed. Hot, so that it does '
    'not refer to core.tenants.';
COMMENT ON COLUMN core.audit_records.sequence IS
    'Position among the records of the tenant, without gaps; absent until numbered.';
COMMENT ON COLUMN core.audit_records.api_key_id IS
    'Of the tenant, or where is_operator of the house.';
CREATE INDEX audit_records_unnumbered ON core.audit_records (recorded_at, id)
    WHERE sequence IS NULL;
COMMENT ON INDEX core.audit_records_unnumbered IS 'What waits for its number.';
CREATE INDEX audit_records_subject ON core.audit_records (tenant_id, subject, id);
COMMENT ON INDEX core.audit_records_subject IS 'What was done to one thing, the newest first.';
CREATE INDEX audit_records_api_key ON core.audit_records (tenant_id, api_key_id, id);
COMMENT ON INDEX core.audit_records_api_key IS 'What one key did, the newest first.';
SELECT core.protect('core.audit_records');

CREATE FUNCTION core.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of core.% are never changed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
REVOKE ALL ON FUNCTION core.refuse_change() FROM PUBLIC;
COMMENT ON FUNCTION core.refuse_change() IS
    'Holds for the owner of the table too, whom no grant keeps from anything.';

-- A record is given its number once; that is all that ever happens to it.
CREATE TRIGGER audit_records_numbered BEFORE UPDATE ON core.audit_records FOR EACH ROW
    WHEN (OLD.sequence IS NOT NULL OR NEW.sequence IS NULL OR
        (OLD.tenant_id, OLD.id, OLD.api_key_id, OLD.is_operator, OLD.method, OLD.request_id,
            OLD.correlation_id, OLD.subject, OLD.before_hash, OLD.after_hash, OLD.refusal_reason,
            OLD.recorded_at)
        IS DISTINCT FROM
        (NEW.tenant_id, NEW.id, NEW.api_key_id, NEW.is_operator, NEW.method, NEW.request_id,
            NEW.correlation_id, NEW.subject, NEW.before_hash, NEW.after_hash, NEW.refusal_reason,
            NEW.recorded_at))
    EXECUTE FUNCTION core.refuse_change();
CREATE TRIGGER audit_records_kept BEFORE DELETE ON core.audit_records FOR EACH ROW
    EXECUTE FUNCTION core.refuse_change();
CREATE TRIGGER audit_records_never_emptied BEFORE TRUNCATE ON core.audit_records
    FOR EACH STATEMENT EXECUTE FUNCTION core.refuse_change();

CREATE TABLE core.audit_heads (
    tenant_id uuid PRIMARY KEY REFERENCES core.tenants,
    last bigint NOT NULL CHECK (last > 0)
);
COMMENT ON TABLE core.audit_heads IS 'The latest number in the audit log of each tenant.';
SELECT core.protect('core.audit_heads');

INSERT INTO core.leases (name) VALUES ('audit log');

GRANT SELECT, INSERT ON core.audit_records TO reli_app, reli_work;
GRANT UPDATE (sequence) ON core.audit_records TO reli_work;
GRANT SELECT, INSERT, UPDATE ON core.audit_heads TO reli_work;
CREATE POLICY numberer ON core.audit_records FOR ALL TO reli_work USING (true) WITH CHECK (true);
CREATE POLICY numberer ON core.audit_heads FOR ALL TO reli_work USING (true) WITH CHECK (true);

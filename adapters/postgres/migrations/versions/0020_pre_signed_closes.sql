ALTER TABLE core.daily_closes
    ADD COLUMN key_id text REFERENCES core.signing_keys,
    ADD COLUMN signature bytea CHECK (length(signature) = 64),
    ADD CHECK ((key_id IS NULL) = (signature IS NULL));
COMMENT ON COLUMN core.daily_closes.content IS 'Canonical JSON (RFC 8785); what is signed.';
COMMENT ON COLUMN core.daily_closes.key_id IS
    'The key that signed, or null where nothing is signed.';

-- A request signing key is a public key of the tenant's, or a secret that it shares with us.
ALTER TABLE core.request_signing_keys
    ADD COLUMN secret bytea,
    ALTER COLUMN public_key DROP NOT NULL,
    DROP CONSTRAINT request_signing_keys_algorithm_check,
    ADD CONSTRAINT request_signing_keys_algorithm_check
        CHECK (algorithm IN ('ed25519', 'hmac-sha256')),
    ADD CONSTRAINT request_signing_keys_material_check CHECK (
        (algorithm = 'ed25519') = (public_key IS NOT NULL)
        AND (algorithm = 'hmac-sha256') = (secret IS NOT NULL));
COMMENT ON TABLE core.request_signing_keys IS 'Keys that tenants sign their requests with.';
COMMENT ON COLUMN core.request_signing_keys.secret IS
    'What is shared with the tenant, sealed with a key that the database does not have.';

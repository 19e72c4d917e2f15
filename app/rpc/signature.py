"""Whether a call is signed as its tenant wants it, over the bytes that it was sent in."""

from collections.abc import Mapping

from adapters.wire.signature import read_signature, require_digest
from domain.errors import InvalidId
from domain.ids import RequestSigningKeyId, TenantId
from domain.tenant.request_signing import (
    RequestSignature,
    SignatureInvalid,
    SignatureKeyUnknown,
    SignatureMissing,
    SignatureReplayed,
    SignedMessage,
)
from ports.clock import Clock
from ports.request_signing import RequestVerifier, RequestVerifierStore, SeenNonces
from ports.tenant import SettingsStore


class RequestSignatures:
    """Checks every signature that there is, and asks for one where the tenant requires it."""

    def __init__(
        self,
        verifiers: RequestVerifierStore,
        nonces: SeenNonces,
        settings: SettingsStore,
        clock: Clock,
    ) -> None:
        self._verifiers = verifiers
        self._nonces = nonces
        self._settings = settings
        self._clock = clock

    async def require(
        self,
        tenant_id: TenantId,
        headers: Mapping[str, str],
        derived: Mapping[str, str],
        body: bytes | None,
    ) -> None:
        """Let a call in if its signature is good, or not needed; `derived` are the components that
        are no headers, and a stream of messages has no body.

        Raises `SignatureMissing`, `SignatureInvalid`, `SignatureExpired`, `SignatureKeyUnknown` or
        `SignatureReplayed`.
        """
        signature = read_signature(headers)
        if signature is None:
            if (await self._settings.get(tenant_id)).settings.signing_required:
                raise SignatureMissing("the tenant requires that every call is signed")
            return
        if body is None:
            raise SignatureInvalid("a stream of messages cannot be signed")
        signature.require_fresh(self._clock.now())
        base = signature.base(SignedMessage.of(derived, headers, body))
        if "content-digest" in headers:
            require_digest(headers["content-digest"], body)
        verifier = await self._verifier_of(tenant_id, signature)
        if not verifier.is_signed(base, signature.value):
            raise SignatureInvalid("the signature is not that of what came")
        # The last of all, so that nobody can use up a nonce who cannot sign.
        if not await self._nonces.note(verifier.key, signature.nonce):
            raise SignatureReplayed("a request with that nonce came before")

    async def drain(self) -> None:
        """Wait until nothing is under way, before the server's connections are closed."""
        await self._nonces.drain()

    async def _verifier_of(
        self, tenant_id: TenantId, signature: RequestSignature
    ) -> RequestVerifier:
        try:
            key_id = RequestSigningKeyId.parse(signature.key_id, field="keyid")
        except InvalidId:
            verifier = None
        else:
            verifier = await self._verifiers.find(tenant_id, key_id)
        if verifier is None:
            raise SignatureKeyUnknown("keyid names no live key of the tenant", field="keyid")
        if signature.algorithm not in ("", verifier.key.algorithm):
            raise SignatureInvalid(f"the key signs with {verifier.key.algorithm}", field="alg")
        return verifier

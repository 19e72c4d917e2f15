"""Signatures as RFC 9421 has them: its own examples, and those of others."""

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver
from http_message_signatures.algorithms import ED25519
from hypothesis import event, given, settings
from hypothesis import strategies as st

from adapters.system.request_verifier import RequestVerifiers
from adapters.system.secret_box import AesSecretBox
from adapters.wire.signature import (
    parsed_signature,
    plain_signature,
    read_signature,
    require_digest,
)
from domain.ids import RequestSigningKeyId, TenantId
from domain.tenant.request_signing import (
    RequestSignature,
    RequestSigningKey,
    SharedSecretsNotConfigured,
    SignatureAlgorithm,
    SignatureExpired,
    SignatureInvalid,
    SignedMessage,
)
from ports.request_signing import RequestVerifier
from tests.support.builders import an_id
from tests.support.golden import ROOT

SEALING_KEY: Final = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
VECTORS: Final[Any] = json.loads((ROOT / "docs" / "signing-vectors.json").read_text())

each = pytest.mark.parametrize


def test_the_example_in_the_documentation_is_one_of_them() -> None:
    lines = (ROOT / "docs" / "signing.md").read_text().splitlines()
    told = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    (vector,) = (one for one in VECTORS["good"] if one["name"] == "a post that moves money")

    assert f"{vector['method']} {vector['path']} HTTP/1.1" in lines
    assert {name: told[name] for name in vector["headers"]} == vector["headers"]


def test_the_ed25519_example_of_the_rfc_is_signed() -> None:
    """RFC 9421, appendix B.2.6, with the key of B.1.4."""
    public_key = b64decode("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")
    base = (
        '"date": Tue, 20 Apr 2021 02:07:55 GMT\n'
        '"@method": POST\n'
        '"@path": /foo\n'
        '"@authority": example.com\n'
        '"content-type": application/json\n'
        '"content-length": 18\n'
        '"@signature-params": ("date" "@method" "@path" "@authority" "content-type"'
        ' "content-length");created=1618884473;keyid="test-key-ed25519"'
    )
    made = b64decode(
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
    )

    is_signed = a_verifier(SignatureAlgorithm.ED25519, public_key=public_key).is_signed

    assert is_signed(base.encode(), made)
    assert not is_signed(base.encode() + b" ", made)
    for other in (made[:-1], made + b"\0", b"", bytes(64)):
        assert not is_signed(base.encode(), other)


def test_a_public_key_that_signs_everything_signs_nothing() -> None:
    """With the neutral element for a key, some checks take one signature for that of anything."""
    neutral = bytes([1]) + bytes(31)

    verifier = a_verifier(SignatureAlgorithm.ED25519, public_key=neutral)

    assert not verifier.is_signed(b"anything", neutral + bytes(32))


def test_the_digests_of_rfc_9530_are_those_of_its_body() -> None:
    body = b'{"hello": "world"}\n'
    require_digest("sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", body)

    for field_value in (
        "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDk=:",
        "md5=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
        "sha-256=1",
        "",
        "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:, sha-256=:AA==:",
    ):
        with pytest.raises(SignatureInvalid):
            require_digest(field_value, body)


def test_the_hmac_example_of_the_rfc_is_signed() -> None:
    """RFC 9421, appendix B.2.5, with the shared secret of B.1.5."""
    secret = (
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
    )
    base = (
        '"date": Tue, 20 Apr 2021 02:07:55 GMT\n'
        '"@authority": example.com\n'
        '"content-type": application/json\n'
        '"@signature-params": ("date" "@authority" "content-type")'
        ';created=1618884473;keyid="test-shared-secret"'
    )
    made = b64decode("pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=")

    is_signed = a_verifier(SignatureAlgorithm.HMAC_SHA256, secret="reqsec_" + secret).is_signed

    assert is_signed(base.encode(), made)
    assert not is_signed(base.encode(), made[:-1])
    assert not is_signed(base.encode() + b" ", made)
    assert not is_signed(base.encode(), b"")


def a_verifier(
    algorithm: SignatureAlgorithm, *, public_key: bytes = b"", secret: str = ""
) -> RequestVerifier:
    box = AesSecretBox([SEALING_KEY], SharedSecretsNotConfigured)
    key = RequestSigningKey(
        id=an_id(RequestSigningKeyId),
        tenant_id=an_id(TenantId),
        name="backend",
        algorithm=algorithm,
        public_key=public_key,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    sealed = box.seal(secret, owner=key.id) if secret else None
    return RequestVerifiers(box).make(key, sealed)


@dataclass
class Sent:
    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


def test_what_another_implementation_signs_is_signed() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

    class Resolver(HTTPSignatureKeyResolver):
        def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:
            return key

    sent = Sent("POST", "https://api.example.com/v1/quotes?a=1&b=%20", {"Idempotency-Key": "one"})
    body = b'{"customer_id": "customer_1"}'
    HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=Resolver()).sign(
        sent,
        key_id="requestsigningkey_1",
        nonce="0123456789abcdef",
        covered_component_ids=("@method", "@authority", "@path", "@query", "idempotency-key"),
        body=body,
    )
    headers = {name.lower(): value for name, value in sent.headers.items()}

    signature = read_signature(headers)
    assert signature is not None
    derived = {
        "@method": "POST",
        "@authority": "api.example.com",
        "@path": "/v1/quotes",
        "@query": "?a=1&b=%20",
    }
    base = signature.base(SignedMessage.of(derived, headers, body))
    require_digest(headers["content-digest"], body)
    public_key = key.public_key().public_bytes_raw()
    verifier = a_verifier(SignatureAlgorithm.ED25519, public_key=public_key)
    assert verifier.is_signed(base, signature.value)


GOOD: Final = '("@method" "@path");created=1700000000;keyid="k";nonce="0123456789abcdef"'


@each(
    ("said", "made"),
    [
        (None, "a=:AA==:"),
        (f"a={GOOD}", None),
        ("", ""),
        (f"a={GOOD}", "b=:AA==:"),
        (f"a={GOOD}, b={GOOD}", "a=:AA==:, b=:AA==:"),
        (f"a={GOOD}, a={GOOD}", "a=:AA==:"),
        (f"a={GOOD}", "a=1"),
        ("a=1", "a=:AA==:"),
        ('a=("@method";req "@path");created=1;keyid="k";nonce="0123456789abcdef"', "a=:AA==:"),
        ('a=(1 2);created=1;keyid="k";nonce="0123456789abcdef"', "a=:AA==:"),
        ('a=("@method");created="1";keyid="k";nonce="0123456789abcdef"', "a=:AA==:"),
        ('a=("@method");created=1.5;keyid="k";nonce="0123456789abcdef"', "a=:AA==:"),
        ('a=("@method");keyid="k";nonce="0123456789abcdef"', "a=:AA==:"),
        ('a=("@method");created=1;nonce="0123456789abcdef"', "a=:AA==:"),
        ('a=("@method");created=1;keyid="k"', "a=:AA==:"),
        ('a=("@method");created=1;keyid="k";nonce="short"', "a=:AA==:"),
        (f'a=("@method");created=1;keyid="k";nonce="{"n" * 65}"', "a=:AA==:"),
        (f'a=("@method");created=1;keyid="{"k" * 2_048}";nonce="0123456789abcdef"', "a=:AA==:"),
        ("a=(((", "a=:AA==:"),
        ("ä=1", "a=:AA==:"),
    ],
)
def test_what_is_no_signature_is_refused(said: str | None, made: str | None) -> None:
    sent = {"signature-input": said, "signature": made}

    with pytest.raises(SignatureInvalid):
        read_signature({name: value for name, value in sent.items() if value is not None})


AS_WRITTEN: Final = [
    (f"sig1={GOOD}", "sig1=:AA==:"),
    (f'a.b-c_d*={GOOD};expires=1;alg="ed25519"', "a.b-c_d*=:AAAA:"),
    ('*=("@query");nonce="0123456789abcdef";keyid="";created=0', "*=::"),
    (
        'a=("" "a b" "a(:;,=)");keyid="k";created=999999999999999;nonce="0123456789abcdef"',
        "a=:AAA=:",
    ),
    *(
        (f'a=("@path");nonce="0123456789abcdef";keyid="k";{more}', made)
        for more, made in (
            ("created=007", "a=:AA==:"),
            ("created=-0", "a=:AA==:"),
            ("created=1000000000000000", "a=:AA==:"),
            ("created=1.0", "a=:AA==:"),
            ("created=1;created=2", "a=:AA==:"),
            ('created=1;keyid="l"', "a=:AA==:"),
            ("created=1;expires=01", "a=:AA==:"),
            ('created=1;tag="a"', "a=:AA==:"),
            ('created=1;alg="a\\"b"', "a=:AA==:"),
            (r'created=1;alg="a\\b"', "a=:AA==:"),
            ("created=1; expires=2", "a=:AA==:"),
            ("created=1;alg=ed25519", "a=:AA==:"),
            ("created=1", "a=:AA:"),
            ("created=1", "a=:AB==:"),
            ("created=1", "a=:A:"),
            ("created=1", "a=:====:"),
            ("created=1", "b=:AA==:"),
        )
    ),
]
EDIT: Final = st.tuples(
    st.integers(0, 200),
    st.integers(0, 2),
    st.sampled_from(
        ["", *' \t"\\;=:,()?*09-.aZ~\x7fä', ";a", ";created=1", ';nonce="b"', '" "', "=="]
    ),
)


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str]:
    """Return two fields as clients write them, or nearly so: with a few characters in the way."""
    fields = list(draw(st.sampled_from(AS_WRITTEN)))
    for which in draw(st.lists(st.integers(0, 1), max_size=2)):
        field = fields[which]
        at, gone, come = draw(EDIT)
        at %= len(field) + 1
        fields[which] = field[:at] + come + field[at + gone :]
    return fields[0], fields[1]


def outcome_of(
    read: Callable[[str, str], RequestSignature | None], said: str, made: str
) -> RequestSignature | str | None:
    try:
        return read(said, made)
    except SignatureInvalid as refusal:
        return refusal.message


@settings(max_examples=1_000, deadline=None)
@given(written())
def test_what_is_written_plainly_means_what_the_parser_reads(fields: tuple[str, str]) -> None:
    plain = outcome_of(plain_signature, *fields)

    event("plain" if plain else "not plain")
    if plain is not None:
        assert plain == outcome_of(parsed_signature, *fields)


@each("vector", VECTORS["good"] + VECTORS["grpc"], ids=lambda one: one["name"])
def test_what_clients_send_is_written_plainly(vector: Any) -> None:
    headers = vector["headers"]

    assert plain_signature(headers["signature-input"], headers["signature"]) is not None


def test_where_there_is_no_signature_there_is_none_to_read() -> None:
    assert read_signature({"authorization": "Bearer key"}) is None


@each("seconds", [-61, 61, 3_600])
def test_a_signature_of_another_minute_is_refused(seconds: int) -> None:
    signature = _a_signature()

    signature.require_fresh(datetime.fromtimestamp(1_700_000_059, UTC))
    signature.require_fresh(datetime.fromtimestamp(1_699_999_941, UTC))
    with pytest.raises(SignatureExpired):
        signature.require_fresh(datetime.fromtimestamp(1_700_000_000 + seconds, UTC))


def test_a_signature_may_end_sooner() -> None:
    signature = _a_signature(";expires=1700000010")

    signature.require_fresh(datetime.fromtimestamp(1_700_000_010, UTC))
    with pytest.raises(SignatureExpired):
        signature.require_fresh(datetime.fromtimestamp(1_700_000_011, UTC))


@each(
    "covered",
    [
        '("@method")',
        '("@method" "@path" "@path")',
        '("@method" "@path" "content-type")',
        '("@method" "@path" "@authority")',
        "()",
    ],
)
def test_a_signature_must_cover_what_there_is_and_nothing_else(covered: str) -> None:
    parameters = ';created=1700000000;keyid="k";nonce="0123456789abcdef"'
    signature = read_signature(
        {"signature-input": f"a={covered}{parameters}", "signature": "a=:AA==:"}
    )
    assert signature is not None
    message = SignedMessage.of(
        {"@method": "GET", "@path": "/v1/assets"}, {"content-type": "application/json"}, b""
    )

    with pytest.raises(SignatureInvalid):
        signature.base(message)


def _a_signature(more: str = "") -> RequestSignature:
    signature = read_signature({"signature-input": f"a={GOOD}{more}", "signature": "a=:AA==:"})
    assert signature is not None
    return signature

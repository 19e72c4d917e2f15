"""Signatures of requests as HTTP carries them: RFC 9421, and the digests of RFC 9530."""

import hashlib
import hmac
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

import http_sf

from domain.tenant.request_signing import RequestSignature, SignatureInvalid

MAX_FIELD: Final = 2_048
"""How long a field may be."""

_KEY: Final = r"([a-z*][a-z0-9_.*-]*)"
_TEXT: Final = r'"[ !#-\[\]-~]*"'
_PARAMETER: Final = rf";(created|expires)=(0|[1-9][0-9]{{0,14}})|;(keyid|nonce|alg)=({_TEXT})"
_EACH_PARAMETER: Final = re.compile(_PARAMETER, re.ASCII)
_PLAIN_INPUT: Final = re.compile(
    rf"{_KEY}=(\(({_TEXT}(?: {_TEXT})*)\)((?:{_PARAMETER})*))", re.ASCII
)
_PLAIN_BYTES: Final = re.compile(
    rf"{_KEY}=:((?:[A-Za-z0-9+/]{{4}})*(?:[A-Za-z0-9+/]{{2}}==|[A-Za-z0-9+/]{{3}}=)?):", re.ASCII
)

_HASHES: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}


def read_signature(headers: Mapping[str, str]) -> RequestSignature | None:
    """Return the one signature of a request, nothing where there is none, or raise
    `SignatureInvalid`."""
    said, made = headers.get("signature-input"), headers.get("signature")
    if said is None and made is None:
        return None
    return plain_signature(said or "", made or "") or parsed_signature(said, made)


def plain_signature(said: str, made: str) -> RequestSignature | None:
    """Return a signature that is written as a serializer writes it, in a sixth of the time.

    Nothing for what is written otherwise, which the parser judges.
    """
    if len(said) > MAX_FIELD or len(made) > MAX_FIELD:
        return None
    input, signature = _PLAIN_INPUT.fullmatch(said), _PLAIN_BYTES.fullmatch(made)
    if input is None or signature is None or input[1] != signature[1]:
        return None
    found = _EACH_PARAMETER.findall(input[4])
    numbers = {name: int(number) for name, number, _, _ in found if name}
    texts = {name: text[1:-1] for _, _, name, text in found if name}
    if len(numbers) + len(texts) < len(found) or not (
        "created" in numbers and "keyid" in texts and "nonce" in texts
    ):
        return None
    return RequestSignature(
        components=tuple(input[3][1:-1].split('" "')),
        parameters=input[2],
        created=numbers["created"],
        expires=numbers.get("expires"),
        key_id=texts["keyid"],
        nonce=texts["nonce"],
        algorithm=texts.get("alg", ""),
        value=b64decode(signature[2]),
    )


def parsed_signature(said: str | None, made: str | None) -> RequestSignature:
    """Return the signature that two fields say, however they are written, or raise
    `SignatureInvalid`."""
    inputs, signatures = _dictionary(said, "signature-input"), _dictionary(made, "signature")
    if len(inputs) != 1 or inputs.keys() != signatures.keys():
        raise SignatureInvalid("there must be one signature", field="signature-input")
    ((label, covered),) = inputs.items()
    value = signatures[label][0]
    if not isinstance(covered[0], list) or not isinstance(value, bytes):
        raise SignatureInvalid("a list of components and bytes are expected", field="signature")
    parameters = covered[1]
    return RequestSignature(
        components=tuple(_component(item) for item in covered[0]),
        parameters=http_sf.ser([covered]),
        created=_parameter(parameters, "created", int),
        expires=_parameter(parameters, "expires", int) if "expires" in parameters else None,
        key_id=_parameter(parameters, "keyid", str),
        nonce=_parameter(parameters, "nonce", str),
        algorithm=_parameter(parameters, "alg", str) if "alg" in parameters else "",
        value=value,
    )


def require_digest(field: str, body: bytes) -> None:
    """Raise `SignatureInvalid` unless every digest in `Content-Digest` is that of the body."""
    digests = _dictionary(field, "content-digest")
    if not digests:
        raise SignatureInvalid("a digest is missing", field="content-digest")
    for name, (value, _) in digests.items():
        hash = _HASHES.get(name)
        if hash is None or not isinstance(value, bytes):
            raise SignatureInvalid("digests must be sha-256 or sha-512", field="content-digest")
        if not hmac.compare_digest(hash(body).digest(), value):
            raise SignatureInvalid("the digest is not that of the body", field="content-digest")


def _component(item: Any) -> str:
    name, parameters = item
    if not isinstance(name, str) or parameters:
        raise SignatureInvalid("components have no parameters here", field="signature-input")
    return name


def _parameter(parameters: Mapping[str, Any], name: str, kind: type) -> Any:
    value = parameters.get(name)
    if type(value) is not kind:
        raise SignatureInvalid(f"{name} is missing or of a wrong kind", field=name)
    return value


def _dictionary(field: str | None, name: str) -> dict[str, Any]:
    if field is None:
        raise SignatureInvalid(f"{name} is missing", field=name)
    if len(field) > MAX_FIELD:
        raise SignatureInvalid(f"{name} is longer than {MAX_FIELD} characters", field=name)
    try:
        parsed: Any = http_sf.parse(
            field.encode("ascii"), tltype="dictionary", on_duplicate_key=_refuse_duplicate
        )
    except (ValueError, TypeError):
        raise SignatureInvalid(f"{name} is no dictionary of RFC 9651", field=name) from None
    return dict(parsed)


def _refuse_duplicate(key: str, _context: str) -> None:
    raise ValueError(f"{key} is there twice")

"""Logging in and out, and the key that signs a profile's calls."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import typer
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from app.partner.api import MOVING_TIMEOUT_S, Api, new_request_id, open_api, pages
from app.partner.outcome import UsageProblem
from app.partner.profile import (
    Profile,
    ProfileFile,
    SigningKey,
    checked_key,
    checked_name,
    checked_url,
    encoded_seed,
    profile_file,
    read_ca,
)
from app.partner.screen import BAD, GOOD, Screen, as_dict, bold, dim, printable
from reli.auth.v1.access_pb2 import Scope
from reli.market.v1.market_service_pb2 import ListInstrumentsRequest
from reli.tenant.v1.tenant_pb2 import SIGNATURE_ALGORITHM_ED25519, Tenant
from reli.tenant.v1.tenant_service_pb2 import (
    CreateRequestSigningKeyRequest,
    CreateTenantApiKeyRequest,
    CreateTenantRequest,
    GetCurrentTenantRequest,
    ListApiKeysRequest,
)
from reli_client import Refusal

_LOCAL_TENANT: Final = "Local sandbox"
_THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_LOOKED_AT: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was typed; what is missing is asked for."""

    profile: str
    url: str
    ca: Path | None
    key_stdin: bool
    ready_file: Path | None
    signing_key_id: str
    signing_key_file: Path | None

    def __post_init__(self) -> None:
        if bool(self.signing_key_id) != bool(self.signing_key_file):
            raise UsageProblem("--signing-key-id and --signing-key-file are said together")
        if self.ready_file and (self.url or self.ca or self.key_stdin or self.signing_key_id):
            raise UsageProblem("--ready-file says where and as whom: leave the others out")


def log_in(screen: Screen, asked: Asked, *, sign: bool) -> None:
    """Check the key, keep it, and make it the current profile."""
    name = checked_name(asked.profile)
    profile = _of_ready_file(name, asked.ready_file) if asked.ready_file else _typed(name, asked)
    file = profile_file(os.environ)
    kept = file.read().by_name.get(name)
    if kept and (kept.url, kept.api_key) == (profile.url, profile.api_key):
        # Who logs in again must not lose the key without which his calls may be refused.
        profile = replace(profile, signing_key=profile.signing_key or kept.signing_key)
    with open_api(profile) as api:
        tenant = api.tenant.GetCurrentTenant(GetCurrentTenantRequest()).tenant
        listed = pages(
            api.market.ListInstruments, ListInstrumentsRequest(), "instruments", _LOOKED_AT
        )
        profile = replace(
            profile,
            tenant=tenant.display_name,
            tenant_id=tenant.id,
            instruments=tuple(one.code for one in listed),
        )
        scopes = _scopes(api)
        with file.changing() as change:
            change.profiles = change.profiles.put(profile)
        if sign and not profile.signing_key:
            profile = _with_signing_key(api, file, name)
    _show_login(screen, profile, tenant, scopes)


def log_out(screen: Screen, name: str | None, *, everywhere: bool) -> None:
    if name and everywhere:
        raise UsageProblem("say --profile or --all")
    with profile_file(os.environ).changing() as change:
        before = change.profiles
        names = list(before.by_name) if everywhere else [name or before.current]
        if names == [""]:
            raise UsageProblem("no profile is the current one: say --profile or --all")
        for one in names:
            change.profiles = change.profiles.remove(one)
    if screen.as_json:
        screen.document({"removed": names})
        return
    for one in names:
        screen.say(GOOD, f"{one} is forgotten; its API key stays valid until it is revoked")


def list_profiles(screen: Screen) -> None:
    profiles = profile_file(os.environ).read()
    if screen.as_json:
        found = [_shown(one) for one in profiles.by_name.values()]
        screen.document({"current": profiles.current, "profiles": found})
        return
    rows = [
        (
            "*" if one.name == profiles.current else "",
            bold(one.name),
            one.url,
            printable(one.tenant),
            dim("signs" if one.signing_key else ""),
        )
        for one in profiles.by_name.values()
    ]
    screen.table(rows)
    if not rows:
        screen.note("no profile yet: reli login")


def use_profile(screen: Screen, name: str) -> None:
    with profile_file(os.environ).changing() as change:
        change.profiles = change.profiles.use(name)
        chosen = change.profiles.get(name)
    if screen.as_json:
        screen.document({"current": name})
        return
    screen.say(GOOD, bold(name), f"  {printable(chosen.tenant)}  ", dim(chosen.url))


def create_signing_key(api: Api, screen: Screen, name: str) -> None:
    if not api.profile.name:
        raise UsageProblem("a key is kept in a profile: `reli login` makes one")
    profile = _with_signing_key(api, profile_file(os.environ), name or api.profile.name)
    assert profile.signing_key is not None
    if screen.as_json:
        screen.document({"profile": profile.name, "request_signing_key_id": profile.signing_key.id})
        return
    screen.say(GOOD, f"every call of {profile.name} is signed with ", bold(profile.signing_key.id))


def _with_signing_key(api: Api, file: ProfileFile, name: str) -> Profile:
    """Make a pair, register its public half, and keep the private one in the profile."""
    private = Ed25519PrivateKey.generate()
    request = CreateRequestSigningKeyRequest(
        name=name,
        algorithm=SIGNATURE_ALGORITHM_ED25519,
        public_key=private.public_key().public_bytes_raw(),
        request_id=new_request_id(),
    )
    answer = api.request_signing_keys.CreateRequestSigningKey(request, timeout=MOVING_TIMEOUT_S)
    seed = encoded_seed(private.private_bytes_raw())
    key = SigningKey(id=answer.request_signing_key.id, seed=seed)
    with file.changing() as change:
        profile = replace(change.profiles.get(api.profile.name), signing_key=key)
        change.profiles = change.profiles.replace(profile)
    return profile


def _typed(name: str, asked: Asked) -> Profile:
    url = checked_url(asked.url or _answered("URL", is_secret=False))
    ca = read_ca(asked.ca) if asked.ca else ""
    key = sys.stdin.readline().strip() if asked.key_stdin else _answered("API key", is_secret=True)
    return Profile(name=name, url=url, api_key=checked_key(key), ca=ca, signing_key=_given(asked))


def _given(asked: Asked) -> SigningKey | None:
    """Return the signing key that was made elsewhere, if there is one."""
    if asked.signing_key_file is None:
        return None
    path = asked.signing_key_file
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as e:
        raise UsageProblem(f"{path}: {e.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageProblem(f"{path} holds no Ed25519 key in PEM without a password")
    return SigningKey(id=asked.signing_key_id, seed=encoded_seed(private.private_bytes_raw()))


def _answered(question: str, *, is_secret: bool) -> str:
    if not sys.stdin.isatty():
        option = "--key-stdin" if is_secret else "--url"
        raise UsageProblem(f"there is nobody to ask: say {option}")
    answer: str = typer.prompt(question, hide_input=is_secret, err=True)
    return answer.strip()


def _of_ready_file(name: str, path: Path) -> Profile:
    """Make a tenant of the local stack, as its operator, and return a login as that tenant."""
    try:
        ready: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        operator = Profile(
            name="",
            url=checked_url(str(ready["tls_url"])),
            api_key=checked_key(str(ready["operator_key"])),
            ca=read_ca(Path(str(ready["tls_certificate"]))),
        )
    except OSError as e:
        raise UsageProblem(f"{path}: {e.strerror}: is `reli up` running?") from None
    except (ValueError, LookupError, TypeError):
        raise UsageProblem(f"{path} is not what `reli up --ready-file` writes") from None
    unique = uuid4().hex
    with open_api(operator) as api:
        tenant = api.tenants.CreateTenant(
            CreateTenantRequest(
                slug=f"local-{unique[:12]}", display_name=_LOCAL_TENANT, request_id=unique
            )
        ).tenant
        # Without a request id, and so sent once: a repetition would not tell the secret.
        secret = api.tenants.CreateTenantApiKey(
            CreateTenantApiKeyRequest(tenant_id=tenant.id, name="reli login")
        ).secret
    return replace(operator, name=name, api_key=secret)


def _scopes(api: Api) -> Sequence[str] | None:
    """Return what the key may do, or None: only a key that may see keys can tell."""
    request = ListApiKeysRequest()
    try:
        for one in pages(api.api_keys.ListApiKeys, request, "api_keys", _LOOKED_AT):
            if api.profile.api_key.startswith(one.hint) and not one.HasField("revoke_time"):
                return [Scope.Name(scope) for scope in one.scopes]
    except Refusal as e:
        if e.reason != "SCOPE_MISSING":
            raise
    return None


def _show_login(
    screen: Screen, profile: Profile, tenant: Tenant, scopes: Sequence[str] | None
) -> None:
    if screen.as_json:
        told = {"scopes": list(scopes)} if scopes is not None else {}
        screen.document({"profile": _shown(profile), "tenant": as_dict(tenant), **told})
        return
    screen.say(GOOD, "logged in as ", bold(printable(profile.tenant)), f"  {tenant.id}")
    rows = [("profile", profile.name), ("at", profile.url)]
    if scopes is not None:
        rows.append(("may", ", ".join(scope.removeprefix("SCOPE_").lower() for scope in scopes)))
    if profile.signing_key:
        rows.append(("signs with", profile.signing_key.id))
    screen.table([(dim(head), text) for head, text in rows], indent=2)
    address = urlsplit(profile.url)
    if address.scheme == "http" and address.hostname not in _THIS_MACHINE:
        screen.note(BAD, "the key goes over the network in the open: https hides it")


def _shown(profile: Profile) -> Mapping[str, Any]:
    """Return what of a profile is no secret."""
    return {
        "name": profile.name,
        "url": profile.url,
        "tenant": profile.tenant,
        "tenant_id": profile.tenant_id,
        "request_signing_key_id": profile.signing_key.id if profile.signing_key else "",
    }

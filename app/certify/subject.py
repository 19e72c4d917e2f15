"""What can be certified: each adapter, with the wire format of its local venue."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from adapters.lp.http import LpSessions
from adapters.lp.okx.config import OkxLpConfig
from adapters.lp.okx.provider import OkxLp
from adapters.lp.sandbox.config import SandboxLpConfig
from adapters.lp.sandbox.face import okx
from adapters.lp.sandbox.provider import SandboxLp
from domain.ids import AttemptId
from ports.clock import Clock
from ports.liquidity import LiquidityProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Attributes:
    face: the wire format of the local venue.
    deduplicates: whether the local venue does.
    connect: makes a provider; what is named in `changed` replaces what its configuration says.
    order_key: what the venue knows an attempt by.
    secrets: what is sent along with a call.
    wrong_secret: a change of the configuration by which the venue must not know us.
    tells_price: whether its answers say a price beside the amounts.
    tells_expiry: whether an order on an expired quote gets a documented verdict.
    """

    name: str
    face: str
    deduplicates: bool
    connect: Callable[..., LiquidityProvider]
    order_key: Callable[[AttemptId], str]
    secrets: tuple[str, ...] = ()
    wrong_secret: Mapping[str, str] = field(default_factory=dict)
    tells_price: bool = False
    tells_expiry: bool = False


def _sandbox(
    url: str, sessions: LpSessions, clock: Clock, *, is_trusted: bool = True, **changed: Any
) -> LiquidityProvider:
    known: dict[str, Any] = {
        "name": "sandbox",
        "url": url,
        "deduplicates_client_order_id": is_trusted,
        "status_is_authoritative": is_trusted,
    }
    return SandboxLp(SandboxLpConfig(**(known | changed)), sessions)


def _untrusted(url: str, sessions: LpSessions, clock: Clock, **changed: Any) -> LiquidityProvider:
    return _sandbox(url, sessions, clock, is_trusted=False, **changed)


def _okx(url: str, sessions: LpSessions, clock: Clock, **changed: Any) -> LiquidityProvider:
    known: dict[str, Any] = {
        "name": "okx",
        "url": url,
        "api_key": okx.API_KEY,
        "passphrase": okx.PASSPHRASE,
        "secret": okx.SECRET,
    }
    return OkxLp(OkxLpConfig(**(known | changed)), sessions, clock)


SUBJECTS: Final[Mapping[str, Subject]] = {
    subject.name: subject
    for subject in (
        Subject(
            name="sandbox",
            face="sandbox",
            deduplicates=True,
            connect=_sandbox,
            order_key=str,
            tells_expiry=True,
        ),
        Subject(
            name="sandbox-untrusted",
            face="sandbox",
            deduplicates=False,
            connect=_untrusted,
            order_key=str,
            tells_expiry=True,
        ),
        Subject(
            name="okx",
            face="okx",
            deduplicates=False,
            connect=_okx,
            order_key=lambda attempt: attempt.uuid.hex,
            secrets=(okx.API_KEY, okx.PASSPHRASE, okx.SECRET),
            wrong_secret={"secret": "another"},
            tells_price=True,
        ),
    )
}
"""By name; `sandbox-untrusted` neither de-duplicates nor has authority."""

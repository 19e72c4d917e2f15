"""What can be certified: each adapter, with the wire format of its local venue."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any, Final, TypeVar

from adapters.lp.b2c2.config import B2c2LpConfig
from adapters.lp.b2c2.listing import B2c2Listing
from adapters.lp.b2c2.provider import B2c2Lp
from adapters.lp.binance.config import BinanceLpConfig
from adapters.lp.binance.listing import BinanceListing
from adapters.lp.binance.provider import BinanceLp
from adapters.lp.bybit.config import BybitLpConfig
from adapters.lp.bybit.listing import BybitListing
from adapters.lp.bybit.provider import BybitLp
from adapters.lp.http import LpSessions
from adapters.lp.okx.config import OkxLpConfig
from adapters.lp.okx.listing import OkxListing
from adapters.lp.okx.provider import OkxLp
from adapters.lp.sandbox.config import SandboxLpConfig
from adapters.lp.sandbox.face import b2c2, binance, bybit, okx, valr, zero_hash
from adapters.lp.sandbox.listing import SandboxListing
from adapters.lp.sandbox.provider import SandboxLp
from adapters.lp.valr.config import ValrLpConfig
from adapters.lp.valr.listing import ValrListing
from adapters.lp.valr.provider import ValrLp
from adapters.lp.zero_hash.config import ZeroHashLpConfig
from adapters.lp.zero_hash.listing import ZeroHashListing
from adapters.lp.zero_hash.provider import ZeroHashLp
from domain.ids import AttemptId
from domain.side import Side
from ports.clock import Clock
from ports.liquidity import LiquidityProvider
from ports.reconciliation import StatementListing

Made = TypeVar("Made")
Connect = Callable[..., Made]
"""Makes something of a URL, sessions, a clock, and what replaces parts of its configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Attributes:
    face: the wire format of the local venue.
    deduplicates: whether the local venue does.
    order_key: what the venue knows an order by, of its attempt and the reference of its quote.
    secrets: what is sent along with a call.
    wrong_secret: a change of the configuration by which the venue must not know us.
    dates_calls: whether a call says when it was made.
    tells_price: whether its answers say a price beside the amounts.
    repeats_question: whether an answer with a price says what it is a price of.
    base_sides, quote_sides: on which sides it prices an amount of the base, and of the quote
        asset.
    is_firm: whether the venue holds its prices.
    has_step: whether it trades amounts of the base only that have fewer digits than the asset.
    acknowledges: whether the venue takes an order first, and tells what became of it when asked.
    tells_working: whether its local venue tells that it is at work on an order.
    tells_rejection, tells_expiry: whether an order that is refused, or is refused because its
        quote is over, gets a documented verdict.
    list_by: makes what lists its executions, if the venue does.
    page: how many executions fit on a page of that listing.
    lists_our_id: whether the listing knows an order by our own id, and not only by the venue's.
    """

    name: str
    face: str
    deduplicates: bool
    connect: Connect[LiquidityProvider]
    order_key: Callable[[AttemptId, str], str]
    secrets: tuple[str, ...] = ()
    wrong_secret: Mapping[str, str] = field(default_factory=dict)
    dates_calls: bool = True
    tells_price: bool = False
    base_sides: tuple[Side, ...] = tuple(Side)
    quote_sides: tuple[Side, ...] = tuple(Side)
    is_firm: bool = True
    has_step: bool = False
    repeats_question: bool = True
    acknowledges: bool = False
    tells_working: bool = False
    tells_rejection: bool = True
    tells_expiry: bool = False
    list_by: Connect[StatementListing] | None = None
    page: int = 0
    lists_our_id: bool = False


def _to(
    make: Callable[[Any, LpSessions, Clock], Made], config: Callable[..., Any]
) -> Connect[Made]:
    """Return how to make something of that kind, of what its configuration always says."""

    def connect(url: str, sessions: LpSessions, clock: Clock, **changed: object) -> Made:
        return make(config(**{"url": url, **changed}), sessions, clock)

    return connect


def _by_our_id(attempt: AttemptId, reference: str) -> str:
    return str(attempt)


def _by_quote(attempt: AttemptId, reference: str) -> str:
    return reference


_SANDBOX: Final = partial(
    SandboxLpConfig,
    name="sandbox",
    deduplicates_client_order_id=True,
    status_is_authoritative=True,
)
_UNTRUSTED: Final = partial(
    SandboxLpConfig,
    name="sandbox",
    deduplicates_client_order_id=False,
    status_is_authoritative=False,
)
_OKX: Final = partial(
    OkxLpConfig,
    name="okx",
    api_key=okx.API_KEY,
    passphrase=okx.PASSPHRASE,
    secret=okx.SECRET,
)
_ZERO_HASH: Final = partial(
    ZeroHashLpConfig,
    name="zero-hash",
    api_key=zero_hash.API_KEY,
    passphrase=zero_hash.PASSPHRASE,
    secret=zero_hash.SECRET,
    participant_code=zero_hash.PARTICIPANT,
)
_VALR: Final = partial(
    ValrLpConfig,
    name="valr",
    api_key=valr.API_KEY,
    secret=valr.SECRET,
    tick_sizes={"BTC-NGN": Fraction(1)},
    price_risk_bps=20,
    taker_fee_bps=0,
)
_BINANCE: Final = partial(
    BinanceLpConfig,
    name="binance",
    api_key=binance.API_KEY,
    secret=binance.SECRET,
)
_BYBIT: Final = partial(
    BybitLpConfig,
    name="bybit",
    api_key=bybit.API_KEY,
    secret=bybit.SECRET,
)
_B2C2: Final = partial(
    B2c2LpConfig,
    name="b2c2",
    token=b2c2.TOKEN,
)

SUBJECTS: Final[Mapping[str, Subject]] = {
    subject.name: subject
    for subject in (
        Subject(
            name="sandbox",
            face="sandbox",
            deduplicates=True,
            tells_working=True,
            connect=_to(lambda config, sessions, _: SandboxLp(config, sessions), _SANDBOX),
            list_by=_to(lambda config, sessions, _: SandboxListing(config, sessions), _SANDBOX),
            page=100,
            lists_our_id=True,
            order_key=_by_our_id,
            tells_expiry=True,
        ),
        Subject(
            name="sandbox-untrusted",
            face="sandbox",
            deduplicates=False,
            tells_working=True,
            connect=_to(lambda config, sessions, _: SandboxLp(config, sessions), _UNTRUSTED),
            order_key=_by_our_id,
            tells_expiry=True,
        ),
        Subject(
            name="okx",
            face="okx",
            deduplicates=False,
            connect=_to(OkxLp, _OKX),
            list_by=_to(OkxListing, _OKX),
            page=100,
            lists_our_id=True,
            order_key=lambda attempt, _: attempt.uuid.hex,
            secrets=(okx.API_KEY, okx.PASSPHRASE, okx.SECRET),
            wrong_secret={"secret": "another"},
            tells_price=True,
        ),
        Subject(
            name="zero-hash",
            face="zero-hash",
            deduplicates=False,
            connect=_to(ZeroHashLp, _ZERO_HASH),
            list_by=_to(ZeroHashListing, _ZERO_HASH),
            page=100,
            order_key=_by_quote,
            secrets=(zero_hash.API_KEY, zero_hash.PASSPHRASE, zero_hash.SECRET),
            wrong_secret={"secret": base64.b64encode(b"another").decode()},
            tells_price=True,
            tells_rejection=False,
        ),
        Subject(
            name="valr",
            face="valr",
            deduplicates=False,
            acknowledges=True,
            connect=_to(ValrLp, _VALR),
            list_by=_to(ValrListing, _VALR),
            page=100,
            lists_our_id=True,
            order_key=lambda attempt, _: str(attempt.uuid),
            secrets=(valr.API_KEY, valr.SECRET),
            wrong_secret={"secret": "another"},
            tells_price=True,
            quote_sides=(),
            is_firm=False,
        ),
        Subject(
            name="binance",
            face="binance",
            deduplicates=False,
            acknowledges=True,
            connect=_to(BinanceLp, _BINANCE),
            list_by=_to(BinanceListing, _BINANCE),
            page=1_000,
            order_key=_by_quote,
            secrets=(binance.API_KEY, binance.SECRET),
            wrong_secret={"secret": "another"},
            tells_price=True,
            repeats_question=False,
        ),
        Subject(
            name="bybit",
            face="bybit",
            deduplicates=False,
            acknowledges=True,
            connect=_to(BybitLp, _BYBIT),
            list_by=_to(BybitListing, _BYBIT),
            page=100,
            order_key=_by_quote,
            secrets=(bybit.API_KEY, bybit.SECRET),
            wrong_secret={"secret": "another"},
            tells_price=True,
            tells_expiry=True,
            base_sides=(Side.SELL,),
            quote_sides=(Side.BUY,),
        ),
        Subject(
            name="b2c2",
            face="b2c2",
            deduplicates=False,
            connect=_to(lambda config, sessions, _: B2c2Lp(config, sessions), _B2C2),
            list_by=_to(lambda config, sessions, _: B2c2Listing(config, sessions), _B2C2),
            page=100,
            lists_our_id=True,
            order_key=lambda attempt, _: str(attempt.uuid),
            secrets=(b2c2.TOKEN,),
            wrong_secret={"token": "another"},
            dates_calls=False,
            quote_sides=(),
            has_step=True,
        ),
    )
}
"""By name; `sandbox-untrusted` neither de-duplicates nor has authority."""

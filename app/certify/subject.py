"""What can be certified: each adapter, with the wire format of its local venue."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from adapters.lp.b2c2.config import B2c2LpConfig
from adapters.lp.b2c2.provider import B2c2Lp
from adapters.lp.binance.config import BinanceLpConfig
from adapters.lp.binance.provider import BinanceLp
from adapters.lp.bybit.config import BybitLpConfig
from adapters.lp.bybit.provider import BybitLp
from adapters.lp.http import LpSessions
from adapters.lp.okx.config import OkxLpConfig
from adapters.lp.okx.provider import OkxLp
from adapters.lp.sandbox.config import SandboxLpConfig
from adapters.lp.sandbox.face import b2c2, binance, bybit, okx, valr, zero_hash
from adapters.lp.sandbox.provider import SandboxLp
from adapters.lp.valr.config import ValrLpConfig
from adapters.lp.valr.provider import ValrLp
from adapters.lp.zero_hash.config import ZeroHashLpConfig
from adapters.lp.zero_hash.provider import ZeroHashLp
from domain.ids import AttemptId
from domain.side import Side
from ports.clock import Clock
from ports.liquidity import LiquidityProvider

Connect = Callable[..., LiquidityProvider]
"""Makes a provider of a URL, sessions, a clock, and what replaces parts of its configuration."""


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
    tells_rejection, tells_expiry: whether an order that is refused, or is refused because its
        quote is over, gets a documented verdict.
    """

    name: str
    face: str
    deduplicates: bool
    connect: Connect
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
    tells_rejection: bool = True
    tells_expiry: bool = False


def _to(
    provider: Callable[[Any, LpSessions, Clock], LiquidityProvider],
    config: Callable[..., Any],
    **known: object,
) -> Connect:
    """Return how to make a provider of that kind, with what its configuration always says."""

    def connect(
        url: str, sessions: LpSessions, clock: Clock, **changed: object
    ) -> LiquidityProvider:
        return provider(config(**{**known, "url": url, **changed}), sessions, clock)

    return connect


def _to_sandbox(*, is_trusted: bool) -> Connect:
    return _to(
        lambda config, sessions, _: SandboxLp(config, sessions),
        SandboxLpConfig,
        name="sandbox",
        deduplicates_client_order_id=is_trusted,
        status_is_authoritative=is_trusted,
    )


def _by_our_id(attempt: AttemptId, reference: str) -> str:
    return str(attempt)


def _by_quote(attempt: AttemptId, reference: str) -> str:
    return reference


SUBJECTS: Final[Mapping[str, Subject]] = {
    subject.name: subject
    for subject in (
        Subject(
            name="sandbox",
            face="sandbox",
            deduplicates=True,
            connect=_to_sandbox(is_trusted=True),
            order_key=_by_our_id,
            tells_expiry=True,
        ),
        Subject(
            name="sandbox-untrusted",
            face="sandbox",
            deduplicates=False,
            connect=_to_sandbox(is_trusted=False),
            order_key=_by_our_id,
            tells_expiry=True,
        ),
        Subject(
            name="okx",
            face="okx",
            deduplicates=False,
            connect=_to(
                OkxLp,
                OkxLpConfig,
                name="okx",
                api_key=okx.API_KEY,
                passphrase=okx.PASSPHRASE,
                secret=okx.SECRET,
            ),
            order_key=lambda attempt, _: attempt.uuid.hex,
            secrets=(okx.API_KEY, okx.PASSPHRASE, okx.SECRET),
            wrong_secret={"secret": "another"},
            tells_price=True,
        ),
        Subject(
            name="zero-hash",
            face="zero-hash",
            deduplicates=False,
            connect=_to(
                ZeroHashLp,
                ZeroHashLpConfig,
                name="zero-hash",
                api_key=zero_hash.API_KEY,
                passphrase=zero_hash.PASSPHRASE,
                secret=zero_hash.SECRET,
                participant_code=zero_hash.PARTICIPANT,
            ),
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
            connect=_to(
                ValrLp,
                ValrLpConfig,
                name="valr",
                api_key=valr.API_KEY,
                secret=valr.SECRET,
                tick_sizes={"BTC-NGN": Fraction(1)},
                price_risk_bps=20,
                taker_fee_bps=0,
            ),
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
            connect=_to(
                BinanceLp,
                BinanceLpConfig,
                name="binance",
                api_key=binance.API_KEY,
                secret=binance.SECRET,
            ),
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
            connect=_to(
                BybitLp,
                BybitLpConfig,
                name="bybit",
                api_key=bybit.API_KEY,
                secret=bybit.SECRET,
            ),
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
            connect=_to(
                lambda config, sessions, _: B2c2Lp(config, sessions),
                B2c2LpConfig,
                name="b2c2",
                token=b2c2.TOKEN,
            ),
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

"""Connecting liquidity providers: from what a process is told of one to the adapter that trades."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any, assert_never

from adapters.ccxt.prices import CcxtConfig
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
from adapters.lp.sandbox.listing import SandboxListing
from adapters.lp.sandbox.provider import SandboxLp
from adapters.lp.sandbox.statement import SandboxStatements
from adapters.lp.valr.config import ValrLpConfig
from adapters.lp.valr.listing import ValrListing
from adapters.lp.valr.provider import ValrLp
from adapters.lp.zero_hash.config import ZeroHashLpConfig
from adapters.lp.zero_hash.listing import ZeroHashListing
from adapters.lp.zero_hash.provider import ZeroHashLp
from app.settings import (
    B2c2LpSettings,
    BaseLpSettings,
    BinanceLpSettings,
    BybitLpSettings,
    LpSettings,
    OkxLpSettings,
    PriceSourceSettings,
    SandboxLpSettings,
    ValrLpSettings,
    VenueSettings,
    ZeroHashLpSettings,
)
from ports.clock import Clock
from ports.liquidity import LiquidityProvider
from ports.reconciliation import StatementFeed, StatementListing

_Config = (
    SandboxLpConfig
    | OkxLpConfig
    | ZeroHashLpConfig
    | ValrLpConfig
    | BinanceLpConfig
    | BybitLpConfig
    | B2c2LpConfig
)


def connect_lps(
    lps: tuple[LpSettings, ...], sessions: LpSessions, clock: Clock
) -> Mapping[str, LiquidityProvider]:
    """Return every LP of the settings by name, in their order."""
    return {lp.name: connect_lp(lp, sessions, clock) for lp in lps}


def connect_lp(lp: LpSettings, sessions: LpSessions, clock: Clock) -> LiquidityProvider:
    """Return the adapter that the settings name."""
    match config := _config(lp):
        case SandboxLpConfig():
            return SandboxLp(config, sessions)
        case OkxLpConfig():
            return OkxLp(config, sessions, clock)
        case ZeroHashLpConfig():
            return ZeroHashLp(config, sessions, clock)
        case ValrLpConfig():
            return ValrLp(config, sessions, clock)
        case BinanceLpConfig():
            return BinanceLp(config, sessions, clock)
        case BybitLpConfig():
            return BybitLp(config, sessions, clock)
        case B2c2LpConfig():
            return B2c2Lp(config, sessions)
        case other:
            assert_never(other)


def connect_feeds(lps: tuple[LpSettings, ...], sessions: LpSessions) -> tuple[StatementFeed, ...]:
    """Return the LPs that number what they execute."""
    return tuple(
        SandboxStatements(config, sessions)
        for config in map(_config, lps)
        if isinstance(config, SandboxLpConfig)
    )


def connect_listings(
    lps: tuple[LpSettings, ...], sessions: LpSessions, clock: Clock
) -> Mapping[str, StatementListing]:
    """Return what lists the executions of every LP, by name."""
    return {lp.name: connect_listing(lp, sessions, clock) for lp in lps}


def connect_listing(lp: LpSettings, sessions: LpSessions, clock: Clock) -> StatementListing:
    """Return what lists the executions of the LP that the settings name."""
    match config := _config(lp):
        case SandboxLpConfig():
            return SandboxListing(config, sessions)
        case OkxLpConfig():
            return OkxListing(config, sessions, clock)
        case ZeroHashLpConfig():
            return ZeroHashListing(config, sessions, clock)
        case ValrLpConfig():
            return ValrListing(config, sessions, clock)
        case BinanceLpConfig():
            return BinanceListing(config, sessions, clock)
        case BybitLpConfig():
            return BybitListing(config, sessions, clock)
        case B2c2LpConfig():
            return B2c2Listing(config, sessions)
        case other:
            assert_never(other)


def ccxt_configs(sources: tuple[PriceSourceSettings, ...]) -> Sequence[CcxtConfig]:
    """Return what the settings say of price sources."""
    return [
        CcxtConfig(
            name=source.name,
            exchange=source.exchange,
            symbols=source.symbols,
            margin_bps=source.margin_bps,
            max_age=timedelta(milliseconds=source.max_age_ms),
        )
        for source in sources
    ]


def _config(lp: LpSettings) -> _Config:
    match lp:
        case SandboxLpSettings():
            return SandboxLpConfig(
                **_common(lp), deduplicates_client_order_id=lp.deduplicates_client_order_id
            )
        case OkxLpSettings():
            return OkxLpConfig(**_venue(lp))
        case ZeroHashLpSettings():
            return ZeroHashLpConfig(**_venue(lp))
        case ValrLpSettings():
            ticks = {code: Fraction(tick) for code, tick in lp.tick_sizes.items()}
            return ValrLpConfig(**{**_venue(lp), "tick_sizes": ticks})
        case BinanceLpSettings():
            return BinanceLpConfig(**_venue(lp))
        case BybitLpSettings():
            return BybitLpConfig(**_venue(lp))
        case B2c2LpSettings():
            return B2c2LpConfig(**_venue(lp))
        case other:
            assert_never(other)


def _venue(lp: VenueSettings) -> dict[str, Any]:
    """Return what an adapter's configuration is made of; its own fields are named as there."""
    own = lp.model_dump(exclude={*BaseLpSettings.model_fields, "adapter"})
    return {**_common(lp), **own}


def _common(lp: BaseLpSettings) -> dict[str, Any]:
    return {
        "name": lp.name,
        "url": lp.url,
        "status_is_authoritative": lp.status_is_authoritative,
        "visibility_window": timedelta(milliseconds=lp.visibility_window_ms),
        "quote_safety_margin": timedelta(milliseconds=lp.quote_safety_margin_ms),
    }

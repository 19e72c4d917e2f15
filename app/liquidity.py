"""Connecting liquidity providers: from what a process is told of one to the adapter that trades."""

from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Any, assert_never

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
from adapters.lp.sandbox.provider import SandboxLp
from adapters.lp.sandbox.statement import SandboxStatements
from adapters.lp.valr.config import ValrLpConfig
from adapters.lp.valr.provider import ValrLp
from adapters.lp.zero_hash.config import ZeroHashLpConfig
from adapters.lp.zero_hash.provider import ZeroHashLp
from app.settings import (
    B2c2LpSettings,
    BaseLpSettings,
    BinanceLpSettings,
    BybitLpSettings,
    LpSettings,
    OkxLpSettings,
    SandboxLpSettings,
    ValrLpSettings,
    VenueSettings,
    ZeroHashLpSettings,
)
from ports.clock import Clock
from ports.liquidity import LiquidityProvider
from ports.reconciliation import StatementFeed


def connect_lps(
    lps: tuple[LpSettings, ...], sessions: LpSessions, clock: Clock
) -> Mapping[str, LiquidityProvider]:
    """Return every LP of the settings by name, in their order."""
    return {lp.name: connect_lp(lp, sessions, clock) for lp in lps}


def connect_lp(lp: LpSettings, sessions: LpSessions, clock: Clock) -> LiquidityProvider:
    """Return the adapter that the settings name."""
    match lp:
        case SandboxLpSettings():
            return SandboxLp(_sandbox_config(lp), sessions)
        case OkxLpSettings():
            return OkxLp(OkxLpConfig(**_venue(lp)), sessions, clock)
        case ZeroHashLpSettings():
            return ZeroHashLp(ZeroHashLpConfig(**_venue(lp)), sessions, clock)
        case ValrLpSettings():
            ticks = {code: Fraction(tick) for code, tick in lp.tick_sizes.items()}
            config = ValrLpConfig(**{**_venue(lp), "tick_sizes": ticks})
            return ValrLp(config, sessions, clock)
        case BinanceLpSettings():
            return BinanceLp(BinanceLpConfig(**_venue(lp)), sessions, clock)
        case BybitLpSettings():
            return BybitLp(BybitLpConfig(**_venue(lp)), sessions, clock)
        case B2c2LpSettings():
            return B2c2Lp(B2c2LpConfig(**_venue(lp)), sessions)
        case other:
            assert_never(other)


def connect_feeds(lps: tuple[LpSettings, ...], sessions: LpSessions) -> tuple[StatementFeed, ...]:
    """Return where statements can be fetched; those of other LPs are imported by operators."""
    return tuple(
        SandboxStatements(_sandbox_config(lp), sessions)
        for lp in lps
        if isinstance(lp, SandboxLpSettings)
    )


def _sandbox_config(lp: SandboxLpSettings) -> SandboxLpConfig:
    return SandboxLpConfig(
        **_common(lp), deduplicates_client_order_id=lp.deduplicates_client_order_id
    )


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

"""What a process is told of its liquidity providers, and the adapters that it gets."""

import json
from datetime import timedelta
from typing import Any, Final

import pytest
from pydantic import ValidationError

from adapters.lp.b2c2.provider import B2c2Lp
from adapters.lp.binance.provider import BinanceLp
from adapters.lp.bybit.provider import BybitLp
from adapters.lp.http import open_lp_sessions
from adapters.lp.okx.provider import OkxLp
from adapters.lp.sandbox.provider import SandboxLp
from adapters.lp.valr.provider import ValrLp
from adapters.lp.zero_hash.provider import ZeroHashLp
from adapters.system.clock import SystemClock
from app.liquidity import ccxt_configs, connect_feeds, connect_listings, connect_lps
from app.settings import Settings

COMMON: Final = {
    "url": "http://127.0.0.1:7101",
    "status_is_authoritative": True,
    "visibility_window_ms": 500,
    "quote_safety_margin_ms": 250,
}
SANDBOX: Final = {**COMMON, "name": "alpha", "deduplicates_client_order_id": True}
KEYS: Final = {"api_key": "the-key", "passphrase": "the-phrase", "secret": "c2VjcmV0"}
OKX: Final = {**COMMON, "name": "okx-main", "adapter": "okx", **KEYS}
ZERO_HASH: Final = {
    **COMMON,
    "name": "zh",
    "adapter": "zero-hash",
    "participant_code": "CUST01",
    "asset_codes": {"USDC": "USDC.ETH"},
    **KEYS,
}
VALR: Final = {
    **COMMON,
    "name": "valr-main",
    "adapter": "valr",
    "api_key": "the-key",
    "secret": "the-secret",
    "tick_sizes": {"BTC-ZAR": "1", "USDT-ZAR": "0.01"},
    "price_risk_bps": 20,
    "taker_fee_bps": 10,
}
BINANCE: Final = {
    **COMMON,
    "name": "binance",
    "adapter": "binance",
    "api_key": "the-key",
    "secret": "the-secret",
}
BYBIT: Final = {**BINANCE, "name": "bybit", "adapter": "bybit"}
B2C2: Final = {
    **COMMON,
    "name": "b2c2",
    "adapter": "b2c2",
    "token": "the-token",
    "asset_codes": {"USDT": "UST"},
    "instruments": {"BTC-ZAR": "BTCZAR.SPOT"},
}


def told(monkeypatch: pytest.MonkeyPatch, *lps: dict[str, Any]) -> Settings:
    monkeypatch.setenv("RELI_LPS", json.dumps(lps))
    return Settings()


async def test_each_provider_gets_the_adapter_that_its_settings_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = told(monkeypatch, SANDBOX, OKX, ZERO_HASH, VALR, BINANCE, BYBIT, B2C2)

    async with open_lp_sessions() as sessions:
        lps = connect_lps(settings.lps, sessions, SystemClock())
        feeds = connect_feeds(settings.lps, sessions)
        listings = connect_listings(settings.lps, sessions, SystemClock())

    kinds = {name: type(lp) for name, lp in lps.items()}
    assert kinds == {
        "alpha": SandboxLp,
        "okx-main": OkxLp,
        "zh": ZeroHashLp,
        "valr-main": ValrLp,
        "binance": BinanceLp,
        "bybit": BybitLp,
        "b2c2": B2c2Lp,
    }
    assert {name for name, lp in lps.items() if not lp.capabilities.is_firm} == {"valr-main"}
    assert [feed.source.name for feed in feeds] == ["alpha"]
    assert {name: listing.source.name for name, listing in listings.items()} == {
        name: name for name in lps
    }


def test_no_text_of_the_settings_shows_a_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = told(monkeypatch, OKX, ZERO_HASH, B2C2)

    assert not any(value in repr(settings) for value in [*KEYS.values(), "the-token"])


PRICES: Final = {
    "name": "luno",
    "exchange": "luno",
    "symbols": {"BTC-ZAR": "BTC/ZAR"},
    "margin_bps": 50,
}


def test_a_price_source_is_no_liquidity_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELI_PRICE_SOURCES", json.dumps([PRICES]))

    settings = told(monkeypatch, SANDBOX)

    assert [lp.name for lp in settings.lps] == ["alpha"]
    (config,) = ccxt_configs(settings.price_sources)
    assert (config.name, config.symbols) == ("luno", {"BTC-ZAR": "BTC/ZAR"})
    assert config.max_age == timedelta(seconds=5)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "alpha"},
        {"exchange": "../luno"},
        {"symbols": {}},
        {"symbols": {"BTCZAR": "BTC/ZAR"}},
        {"symbols": {"BTC-ZAR": "BTC/USDT:USDT"}},
        {"margin_bps": -1},
        {"max_age_ms": 0},
        {"api_key": "k"},
    ],
)
def test_a_price_source_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    monkeypatch.setenv("RELI_PRICE_SOURCES", json.dumps([{**PRICES, **change}]))

    with pytest.raises(ValidationError):
        told(monkeypatch, SANDBOX)


@pytest.mark.parametrize(
    "lp",
    [
        {**SANDBOX, "adapter": "nasdaq"},
        {**SANDBOX, "api_key": "k"},
        {**OKX, "secret": ""},
        {**OKX, "deduplicates_client_order_id": True},
        {**OKX, "url": "http://www.okx.com"},
        {**OKX, "url": "http://127.0.0.1.evil.example"},
        {**ZERO_HASH, "secret": "not base64!"},
        {**ZERO_HASH, "secret": "abc"},
        {**ZERO_HASH, "participant_code": ""},
        {**VALR, "tick_sizes": {"BTC-ZAR": "0"}},
        {**VALR, "tick_sizes": {"BTCZAR": "1"}},
        {**VALR, "price_risk_bps": -1},
        {**B2C2, "token": ""},
        {**B2C2, "instruments": {"BTCZAR": "BTCZAR.SPOT"}},
        {**B2C2, "instruments": {"BTC-ZAR": "BTC/ZAR"}},
        {name: value for name, value in OKX.items() if name != "status_is_authoritative"},
    ],
)
def test_settings_that_no_adapter_can_use_are_refused(
    monkeypatch: pytest.MonkeyPatch, lp: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        told(monkeypatch, lp)

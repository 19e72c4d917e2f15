"""Everything a Reli process is told from outside, read once from `RELI_…` variables."""

from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    IPvAnyAddress,
    Tag,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.database_url import APP_ROLE, WORK_ROLE, role_url
from domain.trade.late_check import LATE_LOOKS

PostgresUrl = Annotated[str, Field(pattern=r"^(postgresql://.+)?$", repr=False)]
NatsUrl = Annotated[str, Field(pattern=r"^((nats|tls)://.+)?$", repr=False)]
_KEY_OF_32_BYTES: Final = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
Seed = Annotated[str, Field(pattern=rf"^({_KEY_OF_32_BYTES})?$", repr=False)]
SealingKey = Annotated[str, Field(pattern=rf"^{_KEY_OF_32_BYTES}$")]
Milliseconds = Annotated[int, Field(ge=0, le=86_400_000)]
Credential = Annotated[str, Field(min_length=1, max_length=1_000, repr=False)]
Base64 = Annotated[
    str,
    Field(
        pattern=r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        min_length=4,
        max_length=1_000,
        repr=False,
    ),
]
AssetCode = Annotated[str, Field(pattern=r"^[A-Z0-9.]{1,20}$")]
InstrumentCode = Annotated[str, Field(pattern=r"^[A-Z0-9.]{1,20}-[A-Z0-9.]{1,20}$")]
TickSize = Annotated[str, Field(pattern=r"^(0\.[0-9]{0,17}[1-9]|[1-9][0-9]{0,17})$")]
SymbolCode = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,20}/[A-Z0-9]{1,20}$")]
VenueCode = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")]


Origin = Annotated[
    str, Field(pattern=r"^https?://[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?$")
]


class BaseLpSettings(BaseModel):
    """How one liquidity provider is reached, and what its API promises."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    url: Annotated[str, Field(pattern=r"^https?://")]
    status_is_authoritative: bool
    """"Not found" means that the order was never taken, once the window below has passed."""
    visibility_window_ms: Milliseconds
    """How long an accepted order may stay invisible to a status query."""
    quote_safety_margin_ms: Milliseconds
    """What is left of its quote's life when we still dare to execute against it."""


class SandboxLpSettings(BaseLpSettings):
    """A sandbox venue in its own wire format."""

    adapter: Literal["sandbox"] = "sandbox"
    deduplicates_client_order_id: bool
    """A second order with a known client order id returns the first one."""


class VenueSettings(BaseLpSettings):
    """A venue that others run; credentials go to it, so in the open only to this machine."""

    url: Annotated[str, Field(pattern=r"^(https://|http://(127\.0\.0\.1|localhost)(:|/|$))")]
    asset_codes: dict[AssetCode, VenueCode] = Field(default_factory=dict)
    """The venue's code of an asset by ours, where they differ."""


class OkxLpSettings(VenueSettings):
    """OKX Convert."""

    adapter: Literal["okx"]
    api_key: Credential
    passphrase: Credential
    secret: Credential


class ZeroHashLpSettings(VenueSettings):
    """Zero Hash's liquidity."""

    adapter: Literal["zero-hash"]
    api_key: Credential
    passphrase: Credential
    secret: Base64
    """As it is handed out."""
    participant_code: VenueCode
    account_label: VenueCode = "general"


class ValrLpSettings(VenueSettings):
    """VALR's order book."""

    adapter: Literal["valr"]
    api_key: Credential
    secret: Credential
    tick_sizes: dict[InstrumentCode, TickSize]
    """The step of prices by instrument, as the venue lists it; others are not traded there."""
    price_risk_bps: Annotated[int, Field(ge=0, le=1_000)]
    """How much worse than the book we quote, since nobody holds its price for us."""
    taker_fee_bps: Annotated[int, Field(ge=0, le=1_000)]
    """What the venue takes of what we receive."""


class BinanceLpSettings(VenueSettings):
    """Binance Convert."""

    adapter: Literal["binance"]
    api_key: Credential
    secret: Credential
    wallet: VenueCode = "SPOT"


class BybitLpSettings(VenueSettings):
    """Bybit Convert."""

    adapter: Literal["bybit"]
    api_key: Credential
    secret: Credential
    account_type: VenueCode = "eb_convert_uta"


class B2c2LpSettings(VenueSettings):
    """B2C2's prices on request."""

    adapter: Literal["b2c2"]
    token: Credential
    instruments: dict[InstrumentCode, VenueCode] = Field(default_factory=dict)
    """The venue's name by instrument, where it is not the two assets' codes and `.SPOT`."""


class PriceSourceSettings(BaseModel):
    """Where prices are looked up that nobody promises; it needs the extra `reli[ccxt]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    exchange: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,30}$")]
    """ccxt's id of it."""
    symbols: Annotated[dict[InstrumentCode, SymbolCode], Field(min_length=1, max_length=100)]
    """ccxt's symbol by instrument; others are not priced there."""
    margin_bps: Annotated[int, Field(ge=0, le=1_000)]
    """What is put on the book's price, such as the exchange's fee."""
    max_age_ms: Annotated[int, Field(ge=1, le=60_000)] = 5_000
    """How old a book may be, where the exchange says of when it is."""


def _adapter(values: Any) -> Any:
    if isinstance(values, BaseLpSettings):
        return getattr(values, "adapter", None)
    return values.get("adapter", "sandbox") if isinstance(values, dict) else None


LpSettings = Annotated[
    Annotated[SandboxLpSettings, Tag("sandbox")]
    | Annotated[OkxLpSettings, Tag("okx")]
    | Annotated[ZeroHashLpSettings, Tag("zero-hash")]
    | Annotated[ValrLpSettings, Tag("valr")]
    | Annotated[BinanceLpSettings, Tag("binance")]
    | Annotated[BybitLpSettings, Tag("bybit")]
    | Annotated[B2c2LpSettings, Tag("b2c2")],
    Discriminator(_adapter),
]
"""One liquidity provider; `adapter` says which wire format it speaks, the sandbox's unless told."""


class Settings(BaseSettings):
    """The configuration of one process; immutable, and complete before anything starts.

    A URL that nobody set is empty: a process is given only those it needs.
    """

    model_config = SettingsConfigDict(env_prefix="RELI_", frozen=True, env_ignore_empty=True)

    database_url: PostgresUrl = ""
    """The owner's; migrations need it and nothing else should have it."""
    app_database_url: PostgresUrl = ""
    """A tenant's requests; row security holds for it."""
    work_database_url: PostgresUrl = ""
    """Work that crosses tenants."""
    nats_url: NatsUrl = ""

    environment: Literal["sandbox", "live"] = "sandbox"
    """Written into the database when it is made and believed from there ever after."""

    grpc_host: str = "127.0.0.1"
    grpc_port: Annotated[int, Field(ge=0, le=65_535)] = 50_051
    front_doors: tuple[IPvAnyAddress, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
    """Where Envoy runs: from there alone headers of a call are believed about whom Envoy saw and
    what was sent to it; REST requests from elsewhere are refused."""

    cors_origins: Annotated[tuple[Origin, ...], Field(max_length=100)] = ()
    """The pages that may call from a browser; Envoy lets them, so it is `up` that reads this."""

    failed_attempts_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    """How many calls of one address, with keys that are none of ours, are looked into at once; one
    more each second."""

    lps: tuple[LpSettings, ...] = ()
    price_sources: Annotated[tuple[PriceSourceSettings, ...], Field(max_length=10)] = ()
    """Asked by who only wants to look, where no liquidity provider gives a price."""
    late_looks_ms: Annotated[tuple[Milliseconds, ...], Field(min_length=1, max_length=10)] = tuple(
        after // timedelta(milliseconds=1) for after in LATE_LOOKS
    )
    """How long after an execution was concluded absent its LP is asked again; ascending."""
    lp_quote_budget_ms: Annotated[int, Field(ge=1, le=10_000)] = 300

    signing_key: Seed = ""
    """What checkpoints, sheets of liabilities, daily closes and receipts are signed with: the seed
    of an Ed25519 key, base64url as in a JWK's `d` (RFC 8037). Workers need it; without it none is
    signed, and receipts wait."""
    checkpoint_every_ms: Annotated[int, Field(ge=100, le=86_400_000)] = 2_000
    """How long after a checkpoint of a tenant's books the next one is made, if they went on."""
    liabilities_every_ms: Annotated[int, Field(ge=100, le=86_400_000)] = 3_600_000
    """How long after a tenant's sheets of liabilities the next are made, if its books went on."""

    sealing_keys: Annotated[tuple[SealingKey, ...], Field(max_length=8, repr=False)] = ()
    """What secrets of webhooks and of signed requests are sealed with: keys of 32 bytes, base64url
    without padding. The first one seals and each one opens, so a new key goes before the others.
    Servers and workers need the same; without one no webhook endpoint is created and no secret is
    shared."""
    webhook_loopback: bool = False
    """In a sandbox deliveries may be sent to this machine too; outside it has no effect."""

    @model_validator(mode="before")
    @classmethod
    def _derive_role_urls(cls, values: dict[str, Any]) -> dict[str, Any]:
        if owner_url := values.get("database_url"):
            values.setdefault("app_database_url", role_url(owner_url, APP_ROLE))
            values.setdefault("work_database_url", role_url(owner_url, WORK_ROLE))
        return values

    @model_validator(mode="after")
    def _late_looks_ascend(self) -> Self:
        if sorted(set(self.late_looks_ms)) != list(self.late_looks_ms):
            raise ValueError("each late look must come after the one before it")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [one.name for one in (*self.lps, *self.price_sources)]
        if len(names) != len(set(names)):
            raise ValueError("two liquidity providers or price sources share a name")
        return self

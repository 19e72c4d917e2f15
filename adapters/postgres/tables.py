"""The tables that are read and written through SQLAlchemy; the migrations are their source."""

from typing import Final

from sqlalchemy import Boolean, Column, DateTime, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

METADATA: Final = MetaData(schema="core")

ASSETS: Final = Table(
    "assets",
    METADATA,
    Column("code", Text, primary_key=True),
    Column("scale", Integer),
    Column("display_name", Text),
)

INSTRUMENTS: Final = Table(
    "instruments",
    METADATA,
    Column("code", Text, primary_key=True),
    Column("base_asset", Text),
    Column("quote_asset", Text),
    Column("tolerance_bps", Integer),
    Column("trading_state", Text),
)

TENANTS: Final = Table(
    "tenants",
    METADATA,
    Column("tenant_id", UUID(as_uuid=True), primary_key=True),
    Column("slug", Text),
    Column("display_name", Text),
    Column("branding", JSONB),
    Column("quote_ttl_ms", Integer),
    Column("markup_bps", JSONB),
    Column("lp_order", ARRAY(Text)),
    Column("platform_fee_bps", Integer),
    Column("state", Text),
    Column("version", Integer),
    Column("created_at", DateTime(timezone=True)),
    Column("trading_state", Text),
    Column("routing", JSONB),
    Column("rate_limits", JSONB),
    Column("signing_required", Boolean),
)

REQUEST_SIGNING_KEYS: Final = Table(
    "request_signing_keys",
    METADATA,
    Column("tenant_id", UUID(as_uuid=True), primary_key=True),
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("name", Text),
    Column("algorithm", Text),
    Column("public_key", LargeBinary),
    Column("secret", LargeBinary),
    Column("created_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
)

CUSTOMERS: Final = Table(
    "customers",
    METADATA,
    Column("tenant_id", UUID(as_uuid=True), primary_key=True),
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("external_id", Text),
    Column("state", Text),
    Column("version", Integer),
    Column("created_at", DateTime(timezone=True)),
)

API_KEYS: Final = Table(
    "api_keys",
    METADATA,
    Column("tenant_id", UUID(as_uuid=True), primary_key=True),
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("name", Text),
    Column("hint", Text),
    Column("secret_hash", LargeBinary),
    Column("scopes", ARRAY(Text)),
    Column("created_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("expires_at", DateTime(timezone=True)),
    Column("allowed_ip_ranges", ARRAY(Text)),
    Column("last_used_at", DateTime(timezone=True)),
    Column("rotated_from_id", UUID(as_uuid=True)),
    Column("methods", ARRAY(Text)),
)

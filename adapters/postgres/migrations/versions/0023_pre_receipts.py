"""Signed receipts of trades that ended."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    run_sql_beside(__file__)

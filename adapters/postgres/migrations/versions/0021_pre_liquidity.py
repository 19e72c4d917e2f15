"""Liquidity: how LPs stand, who may be traded with, and the rule that chose a quote's LP."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    run_sql_beside(__file__)

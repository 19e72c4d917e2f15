"""Reversals: an entry is taken back at most once."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql_beside(__file__)

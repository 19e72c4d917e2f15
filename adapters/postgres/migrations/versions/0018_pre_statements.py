"""Statements: dated lines are found by when they count, and each day is closed once."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run_sql_beside(__file__)

"""Lean outbox: an event is changed once, by its stamp."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_sql_beside(__file__)

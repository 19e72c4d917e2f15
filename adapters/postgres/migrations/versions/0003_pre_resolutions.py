"""Resolutions of unknown outcomes."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql_beside(__file__)

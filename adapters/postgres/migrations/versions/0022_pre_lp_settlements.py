"""Settlements of what the house and its LPs owe each other."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    run_sql_beside(__file__)

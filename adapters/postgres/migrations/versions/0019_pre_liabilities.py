"""Liabilities: signed sheets of what is owed to customers, with the leaves to prove from."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    run_sql_beside(__file__)

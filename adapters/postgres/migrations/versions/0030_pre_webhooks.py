"""Webhooks: endpoints, what is to be delivered to them, and every attempt."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    run_sql_beside(__file__)

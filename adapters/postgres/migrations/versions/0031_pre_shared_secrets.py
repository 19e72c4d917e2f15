"""Secrets that tenants share with us to sign their requests with."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    run_sql_beside(__file__)

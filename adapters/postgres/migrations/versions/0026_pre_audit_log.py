"""The audit log of each tenant."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    run_sql_beside(__file__)

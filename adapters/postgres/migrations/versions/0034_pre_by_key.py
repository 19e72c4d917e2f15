"""What a statement names is found by key, however few rows statistics give a tenant."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    run_sql_beside(__file__)

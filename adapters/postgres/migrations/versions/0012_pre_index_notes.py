"""Index notes: every index says what it is for."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_sql_beside(__file__)

"""Journal: entries are written by one function, with or without locking the books first."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_sql_beside(__file__)

"""A partition is attached to its table, which nobody has to leave for it."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    run_sql_beside(__file__)

"""An account's next lines join its last row, until that is full."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    run_sql_beside(__file__)

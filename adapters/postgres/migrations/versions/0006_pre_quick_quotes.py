"""Quick quotes: who acts is looked up by one round trip, and no hot row is locked."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql_beside(__file__)

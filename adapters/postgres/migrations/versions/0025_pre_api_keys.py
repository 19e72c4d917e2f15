"""Keys that expire, are rotated and are used from some addresses only."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    run_sql_beside(__file__)

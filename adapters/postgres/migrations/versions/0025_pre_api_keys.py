"""Keys that expire, are rotated, are used from some addresses only, or call some methods only."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    run_sql_beside(__file__)

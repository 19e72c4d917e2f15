"""Past balances: of any account at any instant, by time of effect and by time of record."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql_beside(__file__)

"""Dead letters that can be replayed."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql_beside(__file__)

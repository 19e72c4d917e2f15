"""A bucket that was filled by a clock that was ahead goes on filling when the clock is right."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    run_sql_beside(__file__)

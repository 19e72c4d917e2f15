"""Events are stamped, and audit records numbered, by a function each."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    run_sql_beside(__file__)

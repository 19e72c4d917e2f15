"""Events are stamped, and audit records numbered, by a function each."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0035"
down_revision = "0031"


def upgrade() -> None:
    run_sql_beside(__file__)

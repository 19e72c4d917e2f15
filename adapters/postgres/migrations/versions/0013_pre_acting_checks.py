"""Acting checks: who may not act stops the write of what he does."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_sql_beside(__file__)

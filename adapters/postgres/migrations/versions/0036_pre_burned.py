"""Whether an id failed before is asked once the accounts are locked."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    run_sql_beside(__file__)

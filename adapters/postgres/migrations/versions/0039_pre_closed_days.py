"""Nothing is recorded in a day that was closed, whatever the clock says."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    run_sql_beside(__file__)

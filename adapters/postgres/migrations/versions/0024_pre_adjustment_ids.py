"""The ids of an adjusting entry are made when it is approved."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    run_sql_beside(__file__)

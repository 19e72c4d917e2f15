"""Daily closes are signed."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    run_sql_beside(__file__)

"""Lines: an account's lines are listed after they are written, an entry names its transfers."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_sql_beside(__file__)

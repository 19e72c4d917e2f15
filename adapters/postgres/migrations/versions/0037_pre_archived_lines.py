"""Lines whose partition was detached are not known, and no figure is guessed of them."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    run_sql_beside(__file__)

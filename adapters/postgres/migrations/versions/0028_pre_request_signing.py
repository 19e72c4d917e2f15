"""Keys that tenants sign their requests with, and the nonces that they used."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    run_sql_beside(__file__)

"""How often a tenant may call, and the buckets of tokens that its calls take from."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    run_sql_beside(__file__)

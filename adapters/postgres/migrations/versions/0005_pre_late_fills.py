"""Late fills: looks at attempts that were concluded absent, and what they bring to light."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql_beside(__file__)

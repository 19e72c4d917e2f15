"""Quick books: what is locked and decided on is not looked up once more for each row."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql_beside(__file__)

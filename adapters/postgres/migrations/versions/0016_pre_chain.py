"""Chain: every entry has its place in its tenant's chain of hashes, checkpoints are signed."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_sql_beside(__file__)

"""Reconciliation: statements of LPs and banks, their lines beside the book's, and what resolves
breaks."""

from adapters.postgres.migrations.sql import run_sql_beside

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_sql_beside(__file__)

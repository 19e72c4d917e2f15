"""Migrations are plain SQL: each revision runs the .sql file beside it."""

from pathlib import Path
from typing import Any

from alembic import op


def run_sql_beside(revision_file: str) -> None:
    """Run the SQL file of the same name in the migration's transaction."""
    statements = Path(revision_file).with_suffix(".sql").read_text(encoding="utf-8")
    connection: Any = op.get_bind().connection.dbapi_connection
    # The driver's simple protocol takes a whole file; a prepared statement takes one statement.
    connection.run_async(lambda driver: driver.execute(statements))

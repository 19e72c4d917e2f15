"""Alembic's entry point: `migrate.py` hands over the open connection."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema="core",
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()

"""Foreign errors end here: the driver's become ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ports.errors import DatabaseBusy, DatabaseUnavailable

_BUSY = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.TransactionTimeoutError,
)
_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was cut off while nothing was asked of it
    OSError,
    TimeoutError,
)


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's own error behind SQLAlchemy's."""
    cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
    while isinstance(cause, BaseException) and cause.__cause__ is not None:
        # Below a timeout there is only the cancellation that it was made of.
        if isinstance(cause, asyncpg.PostgresError | asyncpg.InterfaceError | OSError):
            break
        cause = cause.__cause__
    return cause or error


def violated_constraint(error: BaseException) -> str | None:
    """Return the name of the constraint that an error is about."""
    cause = driver_error(error)
    if isinstance(cause, asyncpg.IntegrityConstraintViolationError):
        name = cause.constraint_name
        return name if isinstance(name, str) else None
    return None


@contextmanager
def translated() -> Iterator[None]:
    """Raise `DatabaseBusy` or `DatabaseUnavailable` for what the driver means by it."""
    try:
        yield
    except PoolTimeout as error:
        raise DatabaseBusy("no database connection became free in time") from error
    except (
        DBAPIError,
        AsyncAdapt_asyncpg_dbapi.Error,  # of a connection that is only being made
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
    ) as error:
        cause = driver_error(error)
        if isinstance(cause, _BUSY):
            raise DatabaseBusy("the database was busy; nothing was changed") from error
        if isinstance(cause, _GONE):
            raise DatabaseUnavailable("the database cannot be reached") from error
        raise

"""What errors of the database mean: is the connection gone, was the transaction undone."""

from pg8000.exceptions import DatabaseError, InterfaceError
from sqlalchemy import exc


class Undone(Exception):
    """Postgres undid the transaction for a reason that passes: doing it again is safe, and helps.

    A deadlock, a conflict of serialisation, a table that changed under a plan, or a connection lost
    before the COMMIT was sent; the cause says which.
    """


_AWAY = ("08", "25P03", "57P01", "57P02", "57P03")
"""SQLSTATEs (and classes) after which the connection is gone
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
_ROLLED_BACK = ("40001", "40P01")
_REPLANNING = "RevalidateCachedQuery"
"""The routine of the server that finds a plan's result type changed (as 0A000, as much else)."""


def _said(error: BaseException) -> dict[str, str]:
    """The fields of the server's error message; none when `error` is not one."""
    error = error.orig if isinstance(error, exc.DBAPIError) and error.orig else error
    fields = error.args[0] if isinstance(error, DatabaseError) and error.args else None
    return fields if isinstance(fields, dict) else {}


def sqlstate(error: BaseException) -> str:
    """The SQLSTATE of a server's error, as SQLAlchemy or pg8000 raises it; '' for other errors.

    pg8000 has one exception class for nearly every SQLSTATE.
    """
    return _said(error).get("C", "")


def connection_lost(error: BaseException) -> bool:
    """Whether `error` says that the connection is gone: what it was doing is not known."""
    if isinstance(error, exc.DBAPIError):
        return error.connection_invalidated or (
            error.orig is not None and connection_lost(error.orig)
        )
    return isinstance(error, InterfaceError) or sqlstate(error).startswith(_AWAY)


def replanned(error: BaseException) -> bool:
    """Whether a statement failed because a table changed since it was planned."""
    return _said(error).get("R") == _REPLANNING


def undone(error: Exception, ending: bool) -> bool:
    """Whether the transaction surely has no effect, and would succeed if it were done again.

    `ending` is whether its COMMIT was sent: then only the server's word counts.
    """
    said = sqlstate(error) in _ROLLED_BACK or replanned(error)
    return said or (not ending and connection_lost(error))

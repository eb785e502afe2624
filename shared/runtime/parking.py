"""Which failures are worth another try, and which messages are parked instead."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import exc

from shared.kernel import clock
from shared.kernel.errors import DomainError, VendorError
from shared.platform import outbox
from shared.platform.database_errors import Undone, connection_lost, replanned, sqlstate
from shared.runtime import messages
from shared.runtime.handlers import PERMANENT, TRANSIENT

MOST_ATTEMPTS = 5
"""After so many attempts at an unexpected failure the message is parked, whole, with the reason."""

_PASSING_STATES = ("08", "40", "53", "55P03", "57")
"""SQLSTATE classes: connection, roll-back, resources, lock and statement time-outs, the server's
coming and going (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""


PUBLISHED_ANEW = timedelta(days=1)
"""For so long what Pub/Sub gave up on is published anew; it gives up after a quarter of an hour."""


def published_anew(event_id: str) -> bool:
    """Whether an event that Pub/Sub gave up on is published once more instead of being parked."""
    try:
        wanted = UUID(event_id)
    except ValueError:
        return False
    return outbox.send_again(wanted, clock.now() - PUBLISHED_ANEW)


def passes(error: Exception) -> bool:
    """Whether trying again helps, for as long as it takes."""
    return isinstance(error, TRANSIENT) or database_is_away(error)


def hopeless(error: Exception, attempt: int) -> bool:
    """Whether the message is parked now, at its `attempt`-th delivery (from 1)."""
    if isinstance(error, (*PERMANENT, messages.Malformed)):
        return True
    return not passes(error) and attempt >= MOST_ATTEMPTS


def database_is_away(error: Exception) -> bool:
    """Whether the database cannot be reached, starts up, is full, or asks to try again."""
    if isinstance(error, Undone | exc.OperationalError | exc.InterfaceError):
        return True
    if isinstance(error, exc.TimeoutError):  # no connection of the pool came free
        return True
    if connection_lost(error) or replanned(error):
        return True
    return sqlstate(error).startswith(_PASSING_STATES)


def reason(error: Exception) -> str:
    """What is kept of an error: never a value that came with the message."""
    if isinstance(error, DomainError | VendorError | messages.Malformed):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__

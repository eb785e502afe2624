"""Strings that a client is given and hands back later, each good once and for a limited time."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

from emulators.clock import micros
from emulators.engine import Ground
from emulators.identity.wire import Refused
from emulators.journal import Journal

_KEPT = 1000  # of one kind; the oldest are forgotten


@dataclass(frozen=True)
class Ticket:
    """`issued_at` and `expires_at` are virtual microseconds since the epoch."""

    token: str
    fields: dict[str, Any]
    issued_at: int
    expires_at: int
    spent: bool = False


class Tickets:
    """The tickets of one kind; durable when a method returns.

    `unknown` and `over` are the API's codes for a ticket that was never issued and for one that
    has expired or was spent.
    """

    def __init__(
        self, ground: Ground, journal: Journal, kind: str, life: int, unknown: str, over: str
    ) -> None:
        self._ground = ground
        self._journal = journal
        self._prefix = f"ticket/{kind}/"
        self._life = life
        self._unknown = unknown
        self._over = over
        kept = [
            Ticket(token=key.removeprefix(self._prefix), **json.loads(value))
            for key, value in journal.items(self._prefix)
        ]
        kept.sort(key=lambda ticket: ticket.issued_at)
        self._tickets = {ticket.token: ticket for ticket in kept}

    def issue(self, **fields: Any) -> Ticket:
        """A new ticket that stands for JSON-ready `fields` for `life` virtual seconds."""
        now = micros(self._ground.clock.now())
        if self._tickets:  # several of one instant keep their order over a restart
            now = max(now, next(reversed(self._tickets.values())).issued_at + 1)
        ticket = Ticket(secrets.token_urlsafe(96), fields, now, now + self._life * 1_000_000)
        self._put(ticket)
        while len(self._tickets) > _KEPT:
            oldest = next(iter(self._tickets))
            self._journal.delete(self._prefix + oldest)
            del self._tickets[oldest]
        return ticket

    def valid(self, token: str) -> Ticket:
        """The ticket; raises `Refused` when it is unknown, expired or spent."""
        ticket = self._tickets.get(token)
        if ticket is None:
            raise Refused(self._unknown)
        if not self._stands(ticket):
            raise Refused(self._over)
        return ticket

    def spend(self, ticket: Ticket) -> None:
        self._put(Ticket(ticket.token, ticket.fields, ticket.issued_at, ticket.expires_at, True))

    def pending(self) -> list[Ticket]:
        """Those that may still be handed back, oldest first."""
        return [ticket for ticket in self._tickets.values() if self._stands(ticket)]

    def all(self) -> list[Ticket]:
        """Those remembered, oldest first."""
        return list(self._tickets.values())

    def forget(self) -> None:
        """Drop all of this kind."""
        for token in list(self._tickets):
            self._journal.delete(self._prefix + token)
        self._tickets.clear()

    def _stands(self, ticket: Ticket) -> bool:
        return not ticket.spent and micros(self._ground.clock.now()) < ticket.expires_at

    def _put(self, ticket: Ticket) -> None:
        value = {
            "fields": ticket.fields,
            "issued_at": ticket.issued_at,
            "expires_at": ticket.expires_at,
            "spent": ticket.spent,
        }
        self._journal.put(self._prefix + ticket.token, json.dumps(value).encode())
        self._tickets[ticket.token] = ticket

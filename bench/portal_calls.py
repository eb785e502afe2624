"""A call of the portal, somebody reading their own record, and the servers that answer it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import uuid4

from bench import peers
from bench.database import PROJECT
from bench.driver import Call, Taken, driven, taken
from bench.pushes import Ground
from bench.served import Served, served
from bench.telemetry_overhead import OFF
from bench.trips import Start, round_trips

_UID = "bench-patient"


@dataclass(frozen=True)
class PortalCalls:
    """The call, whose every answer has to name the customer it is about."""

    environment: Mapping[str, str]
    call: Call

    def ours(self, more: Mapping[str, str] | None = None) -> AbstractContextManager[Served]:
        """The portal API."""
        return served("functions.portal_api.main:app", {**self.environment, **(more or {})})

    def rung(self, name: str) -> AbstractContextManager[Served]:
        """One of bench/servers/portal_ladder.py."""
        variables = {**self.environment, "RUNG": name, **OFF}
        return served("bench.servers.portal_ladder:app", variables)

    def by_hand(self, more: Mapping[str, str] | None = None) -> AbstractContextManager[Served]:
        """The peer: Flask and pg8000 alone. Raises `peers.Absent`."""
        return served("handwritten:app", more, peers.interpreter())

    def taken(self, server: Served, calls: int) -> Taken:
        """Have `server` answer that many."""
        return taken(server, self.call, [b""] * calls)

    def round_trips(self, start: Start) -> float:
        """Round trips to Postgres for one call, to a server of its own."""
        return round_trips(start, lambda server: driven(server.url, self.call, [b""]))


def registered(field: Ground) -> PortalCalls:
    """Register somebody who has a lifetime value, and call as them."""
    clinic, customer = str(uuid4()), str(uuid4())
    field.db.run(
        "INSERT INTO customers.customers (clinic_id, id, uid, given_name, family_name, email, "
        "locale, time_zone, version, created_at, updated_at) VALUES (CAST(:clinic AS uuid), "
        "CAST(:id AS uuid), :uid, 'Ada', 'Byron', 'ada@example.com', 'en', 'UTC', 1, now(), now())",
        clinic=clinic, id=customer, uid=_UID,
    )  # fmt: skip
    field.db.run(
        "INSERT INTO customers.lifetime_values (clinic_id, customer_id, currency, amount) "
        "VALUES (CAST(:clinic AS uuid), CAST(:id AS uuid), 'USD', 12500)",
        clinic=clinic, id=customer,
    )  # fmt: skip
    claims = {"iss": f"https://securetoken.google.com/{PROJECT}", "aud": PROJECT, "sub": _UID}
    headers = {"Authorization": f"Bearer {field.issuer.sign(claims)}", "X-Uid": _UID}
    path = f"/v1/clinics/{clinic}/customers/me"
    return PortalCalls(field.environment, Call("GET", path, headers, said=customer.encode()))

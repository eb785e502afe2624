"""Answers of one portal call, each with one layer more than the one before: `RUNG` names which.

All read the caller's own record in the same four round trips. The highest is the portal API itself,
the lowest the peer's; what is between belongs to neither.
"""

import os
from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Flask, Response, json, request
from sqlalchemy import bindparam, select

from shared.domains.customers import queries
from shared.domains.customers.tables import customers, lifetime_values
from shared.kernel.ids import ClinicId
from shared.platform import postgres
from shared.platform.unit_of_work import Cause
from shared.runtime import auth
from shared.runtime.delivery import committed

_FIELDS = ("id", "given_name", "family_name", "email", "phone", "locale", "time_zone", "version")
_CUSTOMER = f"SELECT {', '.join(_FIELDS)} FROM customers.customers WHERE uid = %s"
_VALUES = (
    "SELECT amount, currency FROM customers.lifetime_values WHERE customer_id = %s "
    "ORDER BY currency"
)

app = Flask(__name__)


def _opening(clinic: str) -> str:
    return f"BEGIN; {postgres.tenant_statement(UUID(clinic))}"


def _answer(row: Any, values: Any) -> Response:
    view = dict(zip(_FIELDS, row, strict=True))
    view["id"] = str(view["id"])
    view["lifetime_value"] = [dict(zip(("amount", "currency"), one, strict=True)) for one in values]
    return Response(json.dumps(view), content_type="application/json")


def connections(clinic: str) -> Response:
    pooled = postgres.engine().raw_connection()
    try:
        driver: Any = pooled.driver_connection
        driver.execute_simple(_opening(clinic))
        cursor = driver.cursor()
        cursor.execute(_CUSTOMER, (request.headers["X-Uid"],))
        row = cursor.fetchone()
        cursor.execute(_VALUES, (row[0],))
        values = cursor.fetchall()
        driver.commit()
    finally:
        pooled.close()
    return _answer(row, values)


_held, _values = customers.c, lifetime_values.c
_CUSTOMER_BY_CORE = select(*[_held[name] for name in _FIELDS]).where(_held.uid == bindparam("uid"))
_VALUES_BY_CORE = (
    select(_values.amount, _values.currency)
    .where(_values.customer_id == bindparam("id"))
    .order_by(_values.currency)
)


def _by_core(clinic: str, uid: str) -> Response:
    with postgres.engine().connect() as connection:
        postgres.run_simple(connection, _opening(clinic))
        row = connection.execute(_CUSTOMER_BY_CORE, {"uid": uid}).one()
        found = connection.execute(_VALUES_BY_CORE, {"id": row.id}).all()
        connection.commit()
    return _answer(row, found)


def core(clinic: str) -> Response:
    return _by_core(clinic, request.headers["X-Uid"])


def verified(clinic: str) -> Response:
    person = auth.caller(request.headers, ClinicId(clinic))
    auth.require(person, "customers:read")
    return _by_core(clinic, person.uid)


def worked(clinic: str) -> Response:
    clinic_id = ClinicId(clinic)
    person = auth.caller(request.headers, clinic_id)
    auth.require(person, "customers:read")
    with committed(clinic_id, "portal_api", Cause("bench")) as work:
        view = queries.view(queries.of_uid(person.uid, work), work)
    return Response(view.model_dump_json(), content_type="application/json")


RUNGS: dict[str, Callable[[str], Response]] = {
    each.__name__: each for each in (connections, core, verified, worked)
}
app.add_url_rule("/v1/clinics/<clinic>/customers/me", "me", RUNGS[os.environ["RUNG"]])

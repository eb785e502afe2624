"""Which call comes next: weights as of a portal at work, mostly reads."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from emulators.demo.journey import registration
from emulators.demo.portal import Person
from emulators.demo.stage import clinic_bodies, plans
from emulators.seed import TREATMENTS
from emulators.traffic.ledger import Call
from emulators.traffic.people import Member

Make = Callable[[Member, Random], Call | None]
_TOPICS = ("contracts", "payments", "news")
_CHANNELS = ("email", "sms", "push")
_LOCALES = ("de-DE", "en-GB", "en-US", "fr-FR", "es-ES")
_PLANS = dict(plans())


def call(person: Person, route: str, method: str = "", path: str = "", body: object = None) -> Call:
    return Call(route, person.clinic_id, person.email, method, path, body)


# What customers read


def _read(route: str, path: str) -> Callable[..., Call]:
    return lambda member, *_: call(member.person, route, "GET", path)


def _contract_read(member: Member, random: Random) -> Call | None:
    if not member.contracts:
        return None
    path = f"/contracts/{random.choice(list(member.contracts))}"
    return call(member.person, "contract_read", "GET", path)


# What customers write


def register(member: Member) -> Call:
    body = registration(member.seed)
    return call(member.person, "customer_register", "POST", "/customers", body)


def _update(member: Member, random: Random) -> Call:
    member.changes += 1
    number = member.changes
    change: dict[str, str] = random.choice(
        [
            {"given_name": f"{member.seed.given_name} {number}"},
            {"locale": random.choice(_LOCALES)},
            {"push_token": f"device-{number}-of-{member.seed.id}"},
            {"time_zone": random.choice(("Europe/Paris", "America/Chicago", member.seed.zone))},
        ]
    )
    return call(member.person, "customer_update", "PATCH", "/customers/me", change)


def _prefer(member: Member, random: Random) -> Call:
    chosen = {
        "topic": random.choice(_TOPICS),
        "channel": random.choice(_CHANNELS),
        "wanted": random.random() < 0.7,
    }
    path = "/customers/me/preferences"
    return call(member.person, "preferences_set", "PUT", path, {"preferences": [chosen]})


def first_contract(member: Member) -> Call:
    """The contract they came for."""
    body = {"plan": member.seed.item_price_id}
    return call(member.person, "contract_request", "POST", "/contracts", body)


def _request(member: Member, random: Random) -> Call | None:
    """A plan of a treatment they have not; the subscription is bought just before the call."""
    if not member.untreated:
        return None
    treatment = random.choice(member.untreated)
    plan = random.choice(_plans_of(treatment))
    return call(member.person, "contract_request", "POST", "/contracts", {"plan": plan})


def _plans_of(treatment: str) -> list[str]:
    return [code for code, plan in _PLANS.items() if plan["treatment"] == treatment]


def _about(
    route: str,
    path: str,
    fits: Callable[[Member], list[dict[str, Any]]],
    *,
    method: str = "POST",
    body: Callable[[dict[str, Any], Random], Any] = lambda *_: None,
) -> Make:
    """A call about a contract that is in the right state as far as its owner knows."""

    def make(member: Member, random: Random) -> Call | None:
        found = fits(member)
        if not found:
            return None
        contract = random.choice(found)
        where = f"/contracts/{contract['id']}{path}"
        return call(member.person, route, method, where, body(contract, random))

    return make


def _other_plan(contract: dict[str, Any], random: Random) -> dict[str, str]:
    now = contract["next_plan"] or contract["plan"]
    others = [code for code in _plans_of(contract["treatment"]) if code != now]
    when = "end_of_term" if random.random() < 0.7 else "immediately"
    return {"plan": random.choice(others), "takes_effect": when}


def _cancellation(contract: dict[str, Any], random: Random) -> dict[str, bool]:
    return {"at_term": not contract["cancels_at_term"] and random.random() < 0.8}


def _cancelling(member: Member) -> list[dict[str, Any]]:
    return [contract for contract in member.open_contracts if contract["cancels_at_term"]]


@dataclass(frozen=True)
class Habit:
    """What a customer does `weight` times in a hundred."""

    route: str
    weight: int
    make: Make


READ_SELF = _read("customer_read", "/customers/me")
LIST_CONTRACTS = _read("contracts_list", "/contracts?limit=20")
HABITS = (
    Habit("customer_read", 16, READ_SELF),
    Habit("contracts_list", 14, LIST_CONTRACTS),
    Habit("contract_read", 13, _contract_read),
    Habit("invoices_list", 10, _read("invoices_list", "/invoices?limit=20")),
    Habit("messages_list", 8, _read("messages_list", "/messages?limit=20")),
    Habit("subscriptions_list", 5, _read("subscriptions_list", "/subscriptions")),
    Habit("plans_list", 5, _read("plans_list", "/plans")),
    Habit("preferences_read", 3, _read("preferences_read", "/customers/me/preferences")),
    Habit("customer_update", 5, _update),
    Habit("preferences_set", 2, _prefer),
    Habit("contract_request", 4, _request),
    Habit(
        "contract_plan_change",
        2,
        _about(
            "contract_plan_change", "/plan", lambda m: m.contracts_in("active"), body=_other_plan
        ),
    ),
    Habit(
        "contract_pause", 3, _about("contract_pause", "/pause", lambda m: m.contracts_in("active"))
    ),
    Habit(
        "contract_resume",
        3,
        _about("contract_resume", "/resume", lambda m: m.contracts_in("paused")),
    ),
    Habit(
        "contract_cancel",
        2,
        _about("contract_cancel", "/cancellation", lambda m: m.open_contracts, body=_cancellation),
    ),
    Habit(
        "contract_cancel_undo",
        1,
        _about("contract_cancel_undo", "/cancellation", _cancelling, method="DELETE"),
    ),
)
NEWCOMERS = 3
STAFF = 4
"""So many of a hundred calls are of new customers, and of a clinic's staff."""


def customers_next(member: Member, random: Random) -> Call:
    """What a known customer does next; who is unsure looks first."""
    if not member.registered and not member.unsure:
        return register(member)
    if member.unsure:
        return LIST_CONTRACTS(member) if member.registered else READ_SELF(member)
    while True:
        habit = random.choices(HABITS, [habit.weight for habit in HABITS])[0]
        made = habit.make(member, random)
        if made is not None:
            return made


# What staff does


def staffs_next(admin: Person, operator: Person, number: int, random: Random) -> Call:
    """What somebody of a clinic's staff does next; worker `number` has a plan of its own."""
    route = random.choice(
        ("drifts_list", "drifts_list", "contracts_list", "plan_save", "clinic_save")
    )
    if route == "plan_save":
        plan = plan_body(random.random() < 0.5)
        return call(admin, route, "PUT", f"/plans/trial-{number}", plan)
    if route == "clinic_save":
        return call(operator, route, "PUT", "", dict(clinic_bodies())[admin.clinic_id])
    path = {"drifts_list": "/drifts?limit=50", "contracts_list": "/contracts?limit=50"}[route]
    return call(admin, route, "GET", path)


def plan_body(active: bool) -> dict[str, Any]:
    """A plan that nobody chooses."""
    price = TREATMENTS[0].monthly_price_id
    return {
        "treatment": "trial",
        "item_price_id": price,
        "monthly_item_price_id": price,
        "active": active,
    }


ROUTES = frozenset(
    {habit.route for habit in HABITS}
    | {"customer_register", "drifts_list", "plan_save", "clinic_save"}
)
"""The handlers of portal_api that the traffic calls."""

"""Events and webhooks of the Chargebee fake, and what it knows after a restart."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from emulators.engine import Ground, HttpServer
from emulators.seed import customers
from emulators.vendors.chargebee import Chargebee
from tests.emulators.conftest import Loop
from tests.emulators.vendor_chargebee_site import MONTHLY, Receiver, World, client, receiver, world

__all__ = ["receiver", "world"]


def test_webhook_carries_the_event_and_basic_auth(world: World, receiver: Receiver) -> None:
    world.customer()
    world.loop.settle()
    event = receiver.events[0]
    assert (event["object"], event["event_type"], event["source"], event["api_version"]) == (
        "event",
        "customer_created",
        "api",
        "v2",
    )
    assert event["content"]["customer"]["id"] == "c1"
    assert receiver.users == ["chargebee:local-secret"]
    kept = world.sdk.Event.retrieve(event["id"]).event
    assert kept.content["customer"]["email"] == "c1@example.com"


def test_life_of_a_subscription_is_told(world: World, receiver: Receiver) -> None:
    world.customer()
    subs = world.sdk.Subscription
    world.subscribe(start_date=world.now + 86_400, trial_end=world.now + 2 * 86_400)
    world.loop.advance(days=40)
    subs.update("s1", {"cf_contract_id": "k"})
    subs.pause("s1", {"pause_option": "immediately"})
    subs.resume("s1", {})
    subs.cancel_for_items("s1", {"end_of_term": True})
    subs.remove_scheduled_cancellation("s1")
    subs.cancel_for_items("s1", {"end_of_term": False})
    subs.delete("s1")
    world.loop.settle()
    assert [kind for kind in sorted(receiver.types()) if kind.startswith("subscription_")] == [
        "subscription_activated",
        "subscription_cancellation_scheduled",
        "subscription_cancelled",
        "subscription_changed",
        "subscription_created",
        "subscription_deleted",
        "subscription_paused",
        "subscription_renewed",
        "subscription_resumed",
        "subscription_scheduled_cancellation_removed",
        "subscription_started",
    ]


def test_renewal_tells_of_subscription_invoice_and_payment(
    world: World, receiver: Receiver
) -> None:
    world.customer(card="ok*2,insufficient_funds")
    world.subscribe()
    world.loop.advance(days=32)
    renewed = next(e for e in receiver.events if e["event_type"] == "subscription_renewed")
    assert renewed["source"] == "scheduled_job"
    assert set(renewed["content"]) == {"subscription", "customer", "invoice"}
    assert Counter(receiver.types())["payment_succeeded"] == 2
    world.loop.advance(days=31)
    failed = next(e for e in receiver.events if e["event_type"] == "payment_failed")
    assert failed["content"]["transaction"]["error_code"] == "insufficient_funds"
    assert failed["content"]["invoice"]["dunning_status"] == "in_progress"
    assert failed["content"]["subscription"]["due_invoices_count"] == 1


def test_versions_of_one_object_only_grow(world: World, receiver: Receiver) -> None:
    world.customer()
    world.subscribe()
    world.loop.advance(days=63)
    listed = world.sdk.Event.list({"limit": 100, "sort_by": {"asc": "occurred_at"}}).list
    versions = [
        row.event.content["subscription"]["resource_version"]
        for row in listed
        if row.event.event_type in ("subscription_created", "subscription_renewed")
    ]
    assert len(versions) == 3
    assert versions == sorted(set(versions))


def test_refused_webhook_is_tried_again_after_two_minutes(world: World, receiver: Receiver) -> None:
    receiver.refusals = 1
    world.customer()
    world.loop.advance(seconds=119)
    assert len(receiver.events) == 1
    world.loop.advance(seconds=2)
    assert [event["id"] for event in receiver.events] == [receiver.events[0]["id"]] * 2


def test_disorder_sends_some_twice_and_some_late(world: World, receiver: Receiver) -> None:
    world.loop.ground.settings["chargebee_disorder"] = "0.3"
    for number in range(60):
        world.customer(f"c{number}")
    world.loop.settle()
    at_once = len(receiver.events)
    world.loop.advance(minutes=2)
    ids = Counter(event["id"] for event in receiver.events)
    assert len(ids) == 60
    assert 5 < sum(count == 2 for count in ids.values()) < 35
    assert 25 < at_once < 58


def test_newest_version_told_in_any_order_is_what_the_api_shows(
    world: World, receiver: Receiver
) -> None:
    world.loop.ground.settings["chargebee_disorder"] = "0.2"
    for person in customers(30, 5):
        world.sdk.Customer.create({**person.as_chargebee()})
        start = world.now + (1 + person.starts_after_days) * 86_400
        world.subscribe(person.id, person.item_price_id, id=f"s-{person.id}", start_date=start)
    world.loop.advance(days=215)
    world.loop.advance(minutes=2)
    told: dict[str, dict[str, Any]] = {}
    for event in receiver.events:
        for kind in ("subscription", "invoice", "customer"):
            part = event["content"].get(kind)
            if part and part["resource_version"] >= told.get(part["id"], part)["resource_version"]:
                told[part["id"]] = part
    listed = world.sdk.Subscription.list({"limit": 100}).list
    assert len(listed) == 30
    for row in listed:
        assert told[row.subscription.id] == row.subscription.raw_data
        for invoice in world.invoices(row.subscription.id):
            assert told[invoice.id] == invoice.raw_data


def test_unchanged_update_is_no_event(world: World, receiver: Receiver) -> None:
    world.customer()
    before = world.subscribe().subscription.resource_version
    world.sdk.Subscription.update("s1", {"cf_contract_id": "k"})
    after = world.sdk.Subscription.update("s1", {"cf_contract_id": "k"}).subscription
    world.loop.settle()
    assert after.resource_version > before
    assert receiver.types().count("subscription_changed") == 1


def test_change_counts_as_activity(world: World) -> None:
    world.customer()
    before = world.loop.ground.agenda.activity
    world.subscribe()
    assert world.loop.ground.agenda.activity > before


def test_console_sees_counts_and_events(world: World) -> None:
    world.customer()
    world.subscribe()
    seen = world.engine.describe()
    assert (seen["customers"], seen["subscriptions"], seen["invoices"]) == (
        1,
        {"active": 1},
        {"paid": 1},
    )
    assert seen["events"][0]["event_type"] == "payment_succeeded"


def test_restarted_site_knows_everything_and_what_is_due(
    make_loop: Callable[..., Loop], tmp_path: Path
) -> None:
    loop = make_loop(tmp_path / "state")
    loop.ground.clock.freeze()

    async def begin(ground: Ground) -> tuple[Chargebee, int]:
        engine = Chargebee(ground)
        return engine, await engine.start()

    engine, port = loop.run(begin(loop.ground))
    world = World(loop, client(port), engine, port)
    world.customer(card="ok,insufficient_funds")
    world.subscribe()
    keyed = {"chargebee-idempotency-key": "k1"}
    made = world.sdk.Customer.create({"first_name": "Bob"}, dict(keyed)).customer
    loop.run(engine.stop())

    engine, port = loop.run(begin(loop.ground))
    again = World(loop, client(port), engine, port)
    replay = again.sdk.Customer.create({"first_name": "Bob"}, dict(keyed))
    assert (replay.customer.id, replay.is_idempotency_replayed) == (made.id, True)
    assert again.subscription().subscription_items[0].item_price_id == MONTHLY
    assert len(again.sdk.Event.list({"limit": 100}).list) > 4
    loop.advance(days=32)
    assert [invoice.id for invoice in again.invoices()] == ["1", "2"]
    assert again.invoices()[-1].status == "payment_due"
    loop.run(engine.stop())


def test_webhook_held_back_survives_a_restart(
    make_loop: Callable[..., Loop], tmp_path: Path
) -> None:
    loop = make_loop(tmp_path / "state")
    loop.ground.clock.freeze()
    taken, server = Receiver(), HttpServer(loop.ground, "receiver")
    target = loop.run(server.start([web.post("/webhooks/chargebee", taken.take)], 0))
    loop.ground.settings["webhooks"] = f"http://127.0.0.1:{target}/webhooks"
    loop.ground.settings["chargebee_disorder"] = "0.5"

    async def begin() -> tuple[Chargebee, int]:
        engine = Chargebee(loop.ground)
        return engine, await engine.start()

    engine, port = loop.run(begin())
    sdk: Any = client(port)
    for number in range(20):
        sdk.Customer.create({"id": f"c{number}"})
    loop.settle()
    loop.run(engine.stop())
    engine, _ = loop.run(begin())
    loop.advance(minutes=2)
    told = {
        event["content"]["customer"]["id"]
        for event in taken.events
        if event["event_type"] == "customer_created"
    }
    assert told == {f"c{number}" for number in range(20)}
    loop.run(engine.stop())
    loop.run(server.stop())

"""Poison among healthy messages, from Google's own publisher to the product's agents and back."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import grpc
import httpx
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from emulators.cloud import Options
from emulators.demo import journey
from emulators.demo.stage import CLINIC_IDS, Stage
from emulators.pubsub.messages import Message
from emulators.running import running
from tests.reliability.poison.sorts import MENDABLE, NAME, Customer, Sent, Sorts

PER_KEY = 10
"""Messages of one ordering key, about."""
_PATIENCE = 900.0
_WAIT = timedelta(minutes=2)
"""A message that fails unexpectedly holds up its ordering key for 1 + 2 + 4 + 8 s, its backoff
between five attempts; two of one key come one after the other.
"""

_RAISE = f"""
CREATE OR REPLACE FUNCTION customers.raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION '% cannot be changed', NEW.given_name;
END $$;
CREATE OR REPLACE TRIGGER raises BEFORE UPDATE ON customers.customers
FOR EACH ROW WHEN (NEW.given_name = '{NAME}') EXECUTE FUNCTION customers.raise()"""
_CLINICS = """
INSERT INTO platform.clinics (id, name, time_zone)
SELECT id::uuid, 'Clinic', 'Europe/Berlin' FROM jsonb_array_elements_text(CAST(:ids AS jsonb)) id
ON CONFLICT DO NOTHING"""
_CUSTOMERS = """
INSERT INTO customers.customers
  (clinic_id, id, uid, given_name, family_name, email, locale, time_zone, version,
   created_at, updated_at)
SELECT clinic, id, id, name, 'X', email, 'de-DE', 'Europe/Berlin', 1, now(), now()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS (clinic uuid, id uuid, name text, email text)"""
_KNOWN = """
INSERT INTO support.customers (clinic_id, customer_id, vendor_id, version, created_at, updated_at)
SELECT clinic, id, 1, 1, now(), now()
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS (clinic uuid, id uuid)"""


class Ward:
    """A clinic whose customers pay, on a cloud of its own; `sent` is what it was told."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.cloud = stage.cloud
        self.sent: list[Sent] = []
        self._dice = Random(seed)
        self.sorts = Sorts(self._dice)
        self.http = httpx.Client(timeout=60)

    def open(self) -> None:
        self._insert(_CLINICS, ids=list(CLINIC_IDS))

    def _insert(self, statement: str, **values: Any) -> None:
        self.stage.rows(statement, **{name: json.dumps(rows) for name, rows in values.items()})

    def register(self, *customers: Customer, known: bool = False) -> None:
        """Customers are there; those `known` at the support desk, too."""
        rows = [vars(one) for one in customers]
        self._insert(_CUSTOMERS, rows=rows)
        if known:
            self._insert(_KNOWN, rows=rows)

    def mix(self, count: int, share: float, per_key: int = PER_KEY) -> list[Sent]:
        """So many messages, the poison of all sorts spread over the ordering keys of the rest."""
        poisoned = round(count * share)
        payers = [self.sorts.customer() for _ in range(max(count // 50, 2))]
        self.register(*payers)
        invoices = [(self.sorts.uuid(), self._dice.choice(payers)) for _ in range(count // per_key)]
        mixed = [self.sorts.paid(*self._dice.choice(invoices)) for _ in range(count - poisoned)]
        sorts = (self.sorts.oversize, *self.sorts.all)
        makers = self._dice.sample(sorts, len(sorts))
        for number in range(poisoned):
            make = makers[number] if number < len(makers) else self._dice.choice(self.sorts.all)
            made = make(*self._dice.choice(invoices))
            # Not among the last: somebody with the same ordering key comes after most of them.
            mixed.insert(self._dice.randrange(len(mixed) * 3 // 4), made)
        self._prepare([one for one in mixed if one.sort])
        return mixed

    def _prepare(self, poison: Sequence[Sent]) -> None:
        """What is wrong is wrong: one cannot be changed, another has no address to write to."""
        self.stage.rows(_RAISE)
        self.register(*_whose(poison, "always raises"))
        self.register(*_whose(poison, "refused by a vendor"), known=True)

    def publish(self, messages: Sequence[Sent]) -> None:
        """By Google's client, one after the other; they are in `sent` then."""
        project = self.cloud.env["GOOGLE_CLOUD_PROJECT"]
        for one in messages:
            topic = f"projects/{project}/topics/{one.topic}"
            answer = self._publisher.publish(topic=topic, messages=[one.message])
            self._published(one, topic, answer.message_ids[0])
        self.sent += messages

    @cached_property
    def _publisher(self) -> PublisherClient:
        return PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))

    @cached_property
    def _channel(self) -> grpc.Channel:
        options = [("grpc.max_send_message_length", 11 << 20)]
        return grpc.insecure_channel(self.cloud.env["PUBSUB_EMULATOR_HOST"], options)

    def _published(self, sent: Sent, topic: str, number: str) -> None:
        sent.message.message_id = number
        kept = Message(topic, type(sent.message).pb(sent.message), self.cloud.now)

        def body(subscription: str) -> bytes:
            end = f',"subscription":"{subscription}","deliveryAttempt":{sent.attempts}}}'
            return b'{"message":' + kept.body + end.encode()

        sent.body = body

    def rest(self) -> None:
        """Everything is delivered, and what fails unexpectedly is given up."""
        self.cloud.settle(_PATIENCE)
        self.cloud.advance(self.cloud.now + _WAIT, timeout=_PATIENCE)

    def close(self) -> None:
        self.http.close()
        self._channel.close()

    # What is parked

    def letters(self) -> list[dict[str, Any]]:
        """What is parked, each with its message's id."""
        found = self.stage.rows("SELECT * FROM platform.dead_letters ORDER BY id")
        for one in found:
            one["message"] = json.loads(one["body"])["message"]["messageId"]
        return found

    def waiting(self) -> list[dict[str, Any]]:
        return [one for one in self.letters() if one["replayed_at"] is None]

    # What came of it

    def facts(self) -> dict[str, Any]:
        """Everything that is wrong, by what is wrong about it."""
        letters = self.letters()
        by_message = {one.message.message_id: one for one in self.sent}
        wanted = Counter(
            (one.message.message_id, *who) for one in self.sent for who in one.parked_by
        )
        found = Counter((one["message"], one["function"], one["handler"]) for one in letters)
        return {
            "poison not parked": sorted((wanted - found).elements()),
            "healthy parked": sorted((found - wanted).elements()),
            "bodies that differ": [
                one["id"] for one in letters if not _is_whole(one, by_message[one["message"]])
            ],
            "reasons that tell": [one["reason"] for one in letters if _tells(one["reason"])],
            "payments counted wrongly": self.miscounted(MENDABLE),
            "payments told wrongly": self._mistold(),
            "left under way": self.stage.rows(
                "SELECT handler FROM platform.intents WHERE state IN ('calling', 'unknown')"
            ),
        }

    def miscounted(self, without: Sequence[str] = ()) -> list[tuple[str, int, int]]:
        """Customers whose lifetime value is not what they paid, but for some sorts of messages."""
        paid: Counter[str] = Counter()
        for one in self.sent:
            if one.customer is not None and one.sort not in without:
                paid[one.customer.id] += one.amount
        rows = self.stage.rows("SELECT customer_id, amount FROM customers.lifetime_values")
        counted = Counter({str(row["customer_id"]): int(row["amount"]) for row in rows})
        keys = sorted(paid.keys() | counted.keys())
        return [(key, paid[key], counted[key]) for key in keys if paid[key] != counted[key]]

    def _mistold(self) -> list[tuple[str, int]]:
        """Payments that the marketing platform was not told once."""
        told = Counter(sent.id.partition(":")[0] for sent in self.stage.sent("iterable"))
        wanted = Counter(one.event_id for one in self.sent if one.tracked)
        return [(key, told[key]) for key in told.keys() | wanted.keys() if told[key] != wanted[key]]

    # An operator

    def mend(self) -> None:
        """Put right whatever can be."""
        self.stage.rows("DROP TRIGGER raises ON customers.customers")
        strangers = _whose(self.sent, "unknown clinic")
        self._insert(_CLINICS, ids=[one.clinic for one in strangers])
        self.register(*strangers, *_whose(self.sent, "unknown subject"))
        for one in _whose(self.sent, "refused by a vendor"):
            self.stage.rows(
                "UPDATE customers.customers SET email = :email WHERE id = :id",
                email=f"{one.id}@example.com",
                id=one.id,
            )

    def replay(self, letter: dict[str, Any], function: str = "") -> int:
        """By the function's own door, as an operator would in production; the status."""
        asked = function or letter["function"]
        headers = {"Authorization": f"Bearer {self.cloud.service_token(asked, 'operator')}"}
        url = f"{self.cloud.url}/{asked}/dead-letters/{letter['id']}"
        return self.http.post(url, headers=headers).status_code

    def replay_by_page(self, letter: dict[str, Any]) -> int:
        """What the button on the page does; the status."""
        url = f"{self.cloud.console_url}/api/dead-letters/{letter['id']}/replay"
        return self.http.post(url).status_code

    def replay_all(self) -> dict[str, set[int]]:
        """Each letter four times at once, twice by its function's door and twice by the page.

        Answers the statuses by the sort of the message.
        """
        sorts = {one.message.message_id: one.sort for one in self.sent}
        found: dict[str, set[int]] = defaultdict(set)
        with ThreadPoolExecutor(4) as pool:
            for letter in self.waiting():
                doors = [self.replay, self.replay_by_page] * 2
                answers = pool.map(lambda door, letter=letter: door(letter), doors)
                found[sorts[letter["message"]]] |= set(answers)
        self.cloud.settle(_PATIENCE)
        return dict(found)

    def outlast(self, vendor: str) -> Sent:
        """A vendor is away until Pub/Sub gives up a message for it, and then is back."""
        customer = self.sorts.customer()
        self.register(customer, known=True)
        sent = self.sorts.changed(customer, "", frozenset({("support_agent", "")}))
        with self.cloud.fault(vendor, "down"):
            self.publish([sent])
            self.cloud.advance(hours=17, timeout=_PATIENCE)
        self.cloud.advance(minutes=1)
        return sent


def _whose(messages: Sequence[Sent], sort: str) -> list[Customer]:
    return [one.customer for one in messages if one.sort == sort and one.customer is not None]


def _is_whole(letter: dict[str, Any], sent: Sent) -> bool:
    """Byte for byte what was pushed, but for the order of attributes: protobuf keeps none."""
    kept = bytes(letter["body"])
    pushed = json.loads(kept)
    wanted = sent.body(pushed["subscription"])
    written = json.dumps(pushed, separators=(",", ":")).encode()
    return written == kept and len(kept) == len(wanted) and pushed == json.loads(wanted)


def _tells(reason: str) -> bool:
    return any(word in reason for word in (*NAME.replace("-", " ").split(), "@"))


@contextmanager
def ward(folder: Path, seed: int, *, frozen: bool = True) -> Iterator[Ward]:
    """A ward that nobody has told anything; its time moves by `rest` alone where it is `frozen`."""
    options = Options(
        folder, seed=seed, throwaway=True, in_memory=True, starts=journey.BEGINS, frozen=frozen
    )
    with running(options) as cloud:
        stage = Stage(cloud)
        made = Ward(stage, seed)
        try:
            made.open()
            yield made
        finally:
            made.close()
            stage.close()

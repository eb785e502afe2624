"""What cannot be handled when it comes, and the operator who has it tried again later."""

import base64
import json
from contextlib import suppress
from uuid import UUID

import httpx

from emulators.demo import journey
from emulators.demo.portal import Person, PortalError
from emulators.demo.stage import CLINIC_IDS, Player, Stage
from shared.events.billing import InvoicePaid
from shared.events.contracts import ContractCreated
from shared.kernel.event import Event, Occurrence
from shared.kernel.ids import ClinicId, ContractId, CustomerId, EventId, InvoiceId
from shared.kernel.money import Money
from shared.platform import outbox
from tests.journeys.street import person

_CLINIC = ClinicId(CLINIC_IDS[0])
_TRIES = 20


class Poison:
    """Three kinds: one heals by itself, one by the operator's hand, one never."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seed = person(9, "monthly")
        self._latecomer = Person(self._seed.email, CLINIC_IDS[0])

    def speak_too_early(self) -> None:
        """Tell of the payment of somebody who has an account, and is a customer only later."""
        self._stage.portal.sign_up(self._latecomer)
        claims = json.loads(base64.urlsafe_b64decode(self._latecomer.token.split(".")[1] + "=="))
        event = InvoicePaid(
            clinic_id=_CLINIC,
            invoice_id=InvoiceId.new(),
            customer_id=CustomerId.derive(_CLINIC, claims["sub"]),
            version=1,
            amount=Money(amount=1234, currency="EUR"),
        )
        self._say(event, event.model_dump_json())

    def come(self) -> None:
        """Become a customer."""
        self._stage.portal.sign_in(self._latecomer)
        body = journey.registration(self._seed)
        self._stage.portal.call(self._latecomer, "POST", "/customers", body)

    def misspeak(self) -> None:
        """Tell something without the fields that it must have."""
        nobody, today = CustomerId.new(), self._stage.cloud.now
        event = ContractCreated(
            clinic_id=_CLINIC,
            contract_id=ContractId.new(),
            customer_id=nobody,
            version=1,
            starts_on=today.date(),
            ends_on=today.date(),
            renewal_at=today,
        )
        self._say(event, '{"nonsense": true}')

    def misplace(self, player: Player) -> None:
        """The timer of a renewal is said to be another clinic's."""
        self._place(player, CLINIC_IDS[1])

    def put_right(self, player: Player) -> None:
        self._place(player, CLINIC_IDS[0])

    def _place(self, player: Player, clinic: str) -> None:
        self._stage.rows(
            "UPDATE platform.timers SET clinic_id = :clinic "
            "WHERE kind = 'contract.renewal' AND subject = :contract",
            clinic=clinic,
            contract=player.contract_id,
        )

    def _say(self, event: Event, payload: str) -> None:
        """Put an event into the outbox, for the relay to find."""
        now = self._stage.cloud.now
        event_id = EventId.new()
        told = Occurrence(event_id, event, "/elsewhere", now, _CLINIC, "elsewhere", None)
        self._stage.rows(
            "INSERT INTO platform.outbox "
            "(id, topic, ordering_key, type, clinic_id, attributes, payload, created_at) VALUES "
            "(:id, :topic, :key, :type, :clinic, CAST(:attributes AS jsonb), :payload, :now)",
            id=UUID(int=event_id.int),
            topic=event.topic,
            key=str(event.subject),
            type=event.type,
            clinic=CLINIC_IDS[0],
            attributes=json.dumps(outbox.attributes(told)),
            payload=payload,
            now=now,
        )
        self._stage.cloud.agenda.touch()
        self._stage.cloud.advance(minutes=3)

    def replay(self) -> None:
        """Have every letter tried again by the function that parked it."""
        for letter in self._stage.rows(
            "SELECT id, function FROM platform.dead_letters WHERE replayed_at IS NULL "
            "ORDER BY created_at"
        ):
            self._replay(letter["function"], letter["id"])
        self._stage.cloud.settle()

    def _replay(self, function: str, letter: UUID) -> None:
        """Ask until there is an answer: done, or not possible now either."""
        cloud = self._stage.cloud
        address = cloud.env["FUNCTIONS_URL"].format(function=function)
        token = cloud.service_token(function, "operator")
        for _ in range(_TRIES):
            with suppress(httpx.TransportError):
                answer = httpx.post(
                    f"{address}/dead-letters/{letter}",
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=60,
                )
                if answer.status_code in (204, 422):
                    return
                raise PortalError(f"replay: {answer.text}", answer.status_code)
        raise TimeoutError(f"no answer in {_TRIES} replays")

"""Zendesk Support by its JSON API (https://developer.zendesk.com/api-reference/ticketing)."""

from collections.abc import Mapping
from typing import Any

import httpx

from shared.domains.support.model import CustomerRecord, Priority
from shared.integrations.vendor_call import HOOKS, TIMEOUT, by_status, calling
from shared.kernel.errors import OutcomeUnknown, VendorError
from shared.kernel.ids import TicketId
from shared.platform.settings import Settings, load

VENDOR = "zendesk"
_PAGE = 100


class ZendeskSettings(Settings):
    """ZENDESK_URL is `https://<subdomain>.zendesk.com`; the token is of the agent's address."""

    zendesk_url: str
    zendesk_email: str
    zendesk_token: str


class Zendesk:
    """The support desk. Every call looks first, so that repeating it changes nothing."""

    def __init__(self) -> None:
        settings = load(ZendeskSettings)
        self._http = httpx.Client(
            base_url=f"{settings.zendesk_url}/api/v2",
            auth=(f"{settings.zendesk_email}/token", settings.zendesk_token),
            timeout=TIMEOUT,
            event_hooks=HOOKS,
        )

    def close(self) -> None:
        self._http.close()

    def keep_customer(self, customer: CustomerRecord) -> int:
        """Users "create or update": by external id, else by address; harmless to repeat."""
        user = {"external_id": str(customer.customer_id), **_person(customer)}
        answer = self._ask("POST", "/users/create_or_update.json", {"user": user})
        return int(answer["user"]["id"])

    def find_ticket(self, ticket_id: TicketId) -> int | None:
        """By listing: searching lags behind by minutes."""
        found = self._ask("GET", "/tickets.json", params={"external_id": str(ticket_id)})
        numbers = [int(ticket["id"]) for ticket in found["tickets"]]
        return min(numbers, default=None)

    def open_ticket(
        self,
        ticket_id: TicketId,
        requester: CustomerRecord | None,
        subject: str,
        text: str,
        priority: Priority,
    ) -> int:
        """An `Idempotency-Key` holds for two hours; after that only looking first helps.

        Source: "Idempotency" in the API's introduction. The note is internal: nobody is mailed.
        """
        ticket = {
            "external_id": str(ticket_id),
            "subject": subject,
            "comment": {"body": text, "public": False},
            "priority": priority.value,
            "tags": ["billing", "payment_failed"],
        }
        if requester is not None:
            ticket["requester"] = _person(requester)
        headers = {"Idempotency-Key": str(ticket_id)}
        answer = self._ask("POST", "/tickets.json", {"ticket": ticket}, headers=headers)
        return int(answer["ticket"]["id"])

    def add_note(
        self, number: int, text: str, priority: Priority | None = None, solve: bool = False
    ) -> None:
        """Nothing can be added to a closed ticket (solved days ago), nor need it be solved.

        What the ticket says already is not said again: an update that changes nothing still sets
        off the desk's triggers.
        """
        change: dict[str, Any] = {}
        if not self._was_said(number, text):
            change["comment"] = {"body": text, "public": False}
        if priority is not None or solve:
            ticket = self._ask("GET", f"/tickets/{number}.json")["ticket"]
            if solve and ticket["status"] == "closed":
                return
            if priority is not None and ticket["priority"] != priority.value:
                change["priority"] = priority.value
            if solve and ticket["status"] != "solved":
                change["status"] = "solved"
        if change:
            self._ask("PUT", f"/tickets/{number}.json", {"ticket": change})

    def _was_said(self, number: int, text: str) -> bool:
        """Whether a comment has this text, or, as the first one has, begins with it."""
        path, page = f"/tickets/{number}/comments.json", 1
        while True:
            asked = {"page": str(page), "per_page": str(_PAGE)}
            comments = self._ask("GET", path, params=asked)["comments"]
            if any(comment["body"].startswith(text) for comment in comments):
                return True
            if len(comments) < _PAGE:
                return False
            page += 1

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        with calling(VENDOR):
            answer = self._http.request(method, path, json=body, params=params, headers=headers)
            if error := _error(answer):
                raise error
            return answer.json()


def _person(customer: CustomerRecord) -> dict[str, str]:
    """The contact point an agent answers to; the only PHI that goes there."""
    shown = {"name": customer.name.reveal()}
    if customer.email is not None:
        shown["email"] = customer.email.reveal()
    return shown


def _error(answer: httpx.Response) -> VendorError | None:
    """Only Zendesk's own error names are kept of an answer: its sentences repeat values."""
    if answer.status_code < 400:
        return None
    code = _code(answer)
    if code == "IdempotentRequestError":
        return OutcomeUnknown(VENDOR, "the ticket was asked for before, in other words")
    return by_status(VENDOR, answer.status_code, code)


def _code(answer: httpx.Response) -> str:
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return ""
    return error if isinstance(error, str) and error.isidentifier() else ""

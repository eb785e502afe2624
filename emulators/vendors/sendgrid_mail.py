"""What a mail is to the fake SendGrid: what is refused, what becomes of it, how it is found."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html"
PROCESSED_AFTER, ANSWERED_AFTER, DEFERRED_FOR, REPORTED_AFTER = 0.5, 2, 600, 3600
_ADDRESS = re.compile(r"[^@\s<>\"]+@[^@\s<>\"]+\.[^@\s<>\".]+")
_CLAUSE = re.compile(
    r"\(?(\w+)(?:\[['\"]([^'\"]+)['\"]\])?\s*(=|LIKE)\s*(['\"])(.*)\4\)?", re.IGNORECASE
)
_STATUS = {"processed": "processed", "deferred": "processed", "spamreport": "delivered"}
_STATUS |= {"delivered": "delivered", "bounce": "not_delivered", "dropped": "not_delivered"}


@dataclass
class Problem:
    """One entry of the `errors` that SendGrid answers."""

    message: str
    field: str | None = None
    help: str | None = None


class Refusal(Exception):
    """A request that SendGrid refuses, with what is wrong with it."""

    def __init__(self, problems: list[Problem], status: int = 400) -> None:
        super().__init__(problems[0].message)
        self.problems, self.status = problems, status

    def response(self) -> web.Response:
        return web.json_response(
            {"errors": [vars(problem) for problem in self.problems]}, status=self.status
        )


@dataclass
class Step:
    """An event ahead of a mail: its virtual instant in microseconds, and the event's own fields."""

    event: str
    due: int
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Mail:
    """One mail to one recipient, as the activity feed knows it."""

    number: int
    id: str
    to: str
    sender: str
    subject: str
    arguments: dict[str, str]
    categories: list[str]
    template: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    ahead: list[Step] = field(default_factory=list)

    @property
    def status(self) -> str:
        """`processed`, `delivered` or `not_delivered`, the activity feed's words."""
        return _STATUS[self.events[-1]["event"]] if self.events else "processed"

    def take(self, step: Step) -> dict[str, Any]:
        """Let an event happen; returns it as the event webhook carries it."""
        ordinal = f"{self.id}/{len(self.events)}"
        event = self.arguments | {
            "email": self.to,
            "timestamp": step.due // 1_000_000,
            "smtp-id": f"<{self.id.partition('.')[0]}@local>",
            "event": step.event,
            "sg_event_id": token(ordinal),
            "sg_message_id": self.id,
            **({"category": self.categories} if self.categories else {}),
            **step.fields,
        }
        self.events.append(event)
        return event

    def summary(self) -> dict[str, Any]:
        """The mail in a list of the activity feed."""
        last = self.events[-1]["timestamp"] if self.events else None
        at = datetime.fromtimestamp(last, UTC) if last is not None else None
        return {
            "from_email": self.sender,
            "msg_id": self.id,
            "subject": self.subject,
            "to_email": self.to,
            "status": self.status,
            "opens_count": 0,
            "clicks_count": 0,
            "last_event_time": at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None,
        }

    def details(self) -> dict[str, Any]:
        """The mail alone in the activity feed, with its events."""
        shown = {"from_email", "msg_id", "subject", "to_email", "status"}
        return {key: value for key, value in self.summary().items() if key in shown} | {
            "template_id": self.template,
            "unique_args": json.dumps(self.arguments),
            "categories": self.categories,
            "events": [
                {
                    "event_name": event["event"],
                    "processed": datetime.fromtimestamp(event["timestamp"], UTC).strftime(
                        "%Y-%m-%dT%H:%M:%SZ"
                    ),
                    "reason": event.get("reason", ""),
                }
                for event in self.events
            ],
        }


def token(text: str) -> str:
    """A vendor-like identifier of 22 URL-safe characters, the same for the same text."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).decode()[:22]


def course(to: str, since: int, suppressed: str) -> list[Step]:
    """What will become of a mail; `suppressed` is why SendGrid would not even try, or "".

    The magic local parts are in the description of `emulators.vendors.sendgrid`.
    """

    def step(after: float, event: str, **fields: str) -> Step:
        return Step(event, since + int(after * 1_000_000), fields)

    local = to.lower()
    if suppressed or local.startswith("drop"):
        reason = suppressed or "Unsubscribed Address"
        return [step(PROCESSED_AFTER, "dropped", reason=reason, status="5.0.0")]
    processed = step(PROCESSED_AFTER, "processed")
    if local.startswith(("bounce", "block")):
        hard = local.startswith("bounce")
        return [
            processed,
            step(
                ANSWERED_AFTER,
                "bounce",
                type="bounce" if hard else "blocked",
                reason="550 5.1.1 The account does not exist" if hard else "554 5.7.1 Refused",
                status="5.1.1" if hard else "5.7.1",
                bounce_classification="Invalid Address" if hard else "Reputation",
            ),
        ]
    if local.startswith("defer"):
        return [
            processed,
            step(ANSWERED_AFTER, "deferred", response="450 4.2.1 Try again later", attempt="1"),
            step(DEFERRED_FOR, "delivered", response="250 OK"),
        ]
    steps = [processed, step(ANSWERED_AFTER, "delivered", response="250 OK")]
    if local.startswith("spam"):
        steps.append(step(REPORTED_AFTER, "spamreport"))
    return steps


def check(mail: Any, now: int) -> None:
    """Refuse what the mail-send API refuses; `now` in seconds. Raises `Refusal` with all of it.

    https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors
    """
    if not isinstance(mail, dict):
        raise Refusal([Problem("Bad Request")])
    if problems := [*_envelope(mail, now), *_content(mail)]:
        raise Refusal(problems)


def recipients(personalization: dict[str, Any]) -> list[tuple[str, Any]]:
    """(field, address object) for all to, cc and bcc of a personalization."""
    return [
        (f"{kind}.{index}", given)
        for kind in ("to", "cc", "bcc")
        if isinstance(personalization.get(kind), list)
        for index, given in enumerate(personalization[kind])
    ]


def _is_address(given: Any) -> bool:
    email = given.get("email") if isinstance(given, dict) else None
    return isinstance(email, str) and _ADDRESS.fullmatch(email) is not None


def _envelope(mail: dict[str, Any], now: int) -> Iterator[Problem]:
    if not _is_address(mail.get("from")):
        text = "The from object must be provided for every email send, with a valid email."
        yield Problem(text, "from.email", f"{HELP}#message.from")
    blocks = mail.get("personalizations")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks or [0]):
        text = "The personalizations field is required and must have at least one personalization."
        yield Problem(text, "personalizations", f"{HELP}#-Personalizations-Errors")
        return
    if len(blocks) > 1000:
        text = "The personalization block is limited to 1000 personalizations per API request."
        yield Problem(text, "personalizations", f"{HELP}#-Personalizations-Errors")
    for index, block in enumerate(blocks):
        yield from _block(block, f"personalizations.{index}")
        yield from _arguments(block, f"personalizations.{index}.custom_args")
    yield from _arguments(mail, "custom_args")
    send_at = mail.get("send_at", now)
    if not isinstance(send_at, int) or send_at > now + 72 * 3600:
        text = "Scheduling more than 72 hours in advance is forbidden."
        yield Problem(text, "send_at", f"{HELP}#message.send_at")


def _block(block: dict[str, Any], where: str) -> Iterator[Problem]:
    if not isinstance(block.get("to"), list) or not block["to"]:
        text = "The to array is required and must have at least one valid email address."
        yield Problem(text, f"{where}.to", f"{HELP}#message.personalizations.to")
    seen: set[str] = set()
    for place, given in recipients(block):
        if not _is_address(given):
            text = "Does not contain a valid address."
            yield Problem(text, f"{where}.{place}.email", f"{HELP}#message.personalizations.to")
        elif given["email"].lower() in seen:
            text = (
                "Each email address in the personalization block should be unique between to, cc, "
                f"and bcc. We found the first duplicate instance of [{given['email']}] in the "
                f"{where}.{place.partition('.')[0]} field."
            )
            yield Problem(text, where, f"{HELP}#message.recipient-errors")
        else:
            seen.add(given["email"].lower())


def _arguments(owner: dict[str, Any], where: str) -> Iterator[Problem]:
    arguments = owner.get("custom_args") or {}
    if not isinstance(arguments, dict) or not all(isinstance(v, str) for v in arguments.values()):
        yield Problem("Custom args must be an object of strings.", where, f"{HELP}#{where}")
    elif len(json.dumps(arguments)) > 10_000:
        yield Problem("Custom args may not exceed 10000 bytes.", where, f"{HELP}#{where}")


def _content(mail: dict[str, Any]) -> Iterator[Problem]:
    if mail.get("template_id"):
        return
    blocks = [block for block in mail.get("personalizations") or [] if isinstance(block, dict)]
    if not mail.get("subject") and not all(block.get("subject") for block in blocks or [{}]):
        text = (
            "The subject is required. You can get around this requirement if you use a template "
            "with a subject defined or if every personalization has a subject defined."
        )
        yield Problem(text, "subject", f"{HELP}#message.subject")
    content = mail.get("content")
    if not isinstance(content, list) or not content:
        text = "Unless a valid template_id is provided, the content parameter is required."
        yield Problem(text, "content", f"{HELP}#message.content")
        return
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            text = "The content type is required."
            yield Problem(text, f"content.{index}.type", f"{HELP}#message.content.type")
        elif not isinstance(part.get("value"), str) or not part["value"]:
            text = "The content value must be a string at least one character in length."
            yield Problem(text, f"content.{index}.value", f"{HELP}#message.content.value")


def selected_by(query: str) -> Callable[[Mail], bool]:
    """The activity feed's query: `to_email="a@b.c" AND unique_args['intent']="1"` and the like.

    Knows `=` and `LIKE` with a trailing or leading %, joined by AND.
    """
    clauses: list[Callable[[Mail], bool]] = []
    for part in re.split(r"\s+AND\s+", query.strip(), flags=re.IGNORECASE):
        found = _CLAUSE.fullmatch(part.strip())
        name = found[1].lower() if found else ""
        if found is None or name not in _FIELDS or bool(found[2]) != (name == "unique_args"):
            raise Refusal([Problem("invalid query", "query")])
        clauses.append(_clause(name, found[2], found[3].upper() == "LIKE", found[5]))
    return lambda mail: all(clause(mail) for clause in clauses)


_FIELDS: dict[str, Callable[[Mail, str], str | None]] = {
    "to_email": lambda mail, _: mail.to,
    "from_email": lambda mail, _: mail.sender,
    "subject": lambda mail, _: mail.subject,
    "status": lambda mail, _: mail.status,
    "msg_id": lambda mail, _: mail.id,
    "unique_args": lambda mail, key: mail.arguments.get(key),
}


def _clause(name: str, key: str, like: bool, value: str) -> Callable[[Mail], bool]:
    if not like:
        return lambda mail: _FIELDS[name](mail, key) == value
    pattern = re.compile(".*".join(re.escape(piece) for piece in value.split("%")), re.DOTALL)
    return lambda mail: pattern.fullmatch(_FIELDS[name](mail, key) or "") is not None

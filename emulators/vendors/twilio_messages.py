"""What a message is to the fake Twilio: its life, what is refused, and how messages are found."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from emulators.clock import from_micros

API = "/2010-04-01"
REFUSED = {
    "21211": "The 'To' number {to} is not a valid phone number.",
    "21614": "To number: {to}, is not a mobile number",
    "21610": "Attempt to send to unsubscribed recipient",
    "20429": "Too Many Requests",
}
UNDELIVERED = {
    "30003": "Unreachable destination handset",
    "30005": "Unknown destination handset",
    "30006": "Landline or unreachable carrier",
    "30007": "Message filtered",
    "30008": "Unknown error",
}
FAILED = {"30001": "Queue overflow"}
SLOW, SILENT = "90600", "90000"
SENDING_AFTER, SENT_AFTER, REPORTED_AFTER, SLOW_AFTER = 0.5, 1, 3, 600
_E164 = re.compile(r"(whatsapp:)?\+[1-9]\d{6,14}")
_SENDER = re.compile(rf"{_E164.pattern}|\d{{3,8}}|(?=.*[A-Za-z])[A-Za-z0-9 ]{{1,11}}")
_GSM_7 = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 \n\r@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞ"
    "ÆæßÉ!\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà"
)
_GSM_7_DOUBLE = frozenset("^{}\\[~]|€\f")


class Refusal(Exception):
    """An error as Twilio answers it; its code is Twilio's, its status HTTP's."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status

    def response(self) -> web.Response:
        body = {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        return web.json_response(body, status=self.status)


@dataclass
class Step:
    """A status that a message takes at a virtual instant, in microseconds since the epoch."""

    status: str
    due: int
    error: str = ""


@dataclass
class Message:
    """One message either way. Instants are virtual, in microseconds since the epoch."""

    number: int
    sid: str
    to: str
    sender: str
    body: str
    status: str
    created: int
    updated: int
    service: str = ""
    callback: str = ""
    direction: str = "outbound-api"
    sent: int = 0
    error: str = ""
    ahead: list[Step] = field(default_factory=list)

    @property
    def segments(self) -> int:
        """How many SMS the body takes: 160 GSM-7 or 70 UCS-2 characters, 153 or 67 if several."""
        if set(self.body) <= _GSM_7 | _GSM_7_DOUBLE:
            length, one, many = len(self.body), 160, 153
            length += sum(character in _GSM_7_DOUBLE for character in self.body)
        else:
            length, one, many = len(self.body.encode("utf-16-le")) // 2, 70, 67
        return 1 if length <= one else -(-length // many)

    def resource(self, account: str) -> dict[str, Any]:
        """The Message resource as the API shows it."""
        uri = f"{API}/Accounts/{account}/Messages/{self.sid}"
        explained = {**UNDELIVERED, **FAILED}.get(self.error)
        return {
            "account_sid": account,
            "api_version": API.strip("/"),
            "body": self.body,
            "date_created": _rfc2822(self.created),
            "date_sent": _rfc2822(self.sent),
            "date_updated": _rfc2822(self.updated),
            "direction": self.direction,
            "error_code": int(self.error) if self.error else None,
            "error_message": explained,
            "from": self.sender,
            "messaging_service_sid": self.service or None,
            "num_media": "0",
            "num_segments": "0" if self.status == "accepted" else str(self.segments),
            "price": f"{-0.0079 * self.segments:.5f}" if self.sent else None,
            "price_unit": "USD",
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": {"media": f"{uri}/Media.json"},
            "to": self.to,
            "uri": f"{uri}.json",
        }


def _rfc2822(instant: int) -> str | None:
    return format_datetime(from_micros(instant).replace(microsecond=0)) if instant else None


def check(form: dict[str, str], sender: str) -> None:
    """Refuse what Twilio refuses at once. Codes: https://www.twilio.com/docs/api/errors"""
    to, body, callback = form.get("To", ""), form.get("Body", ""), form.get("StatusCallback", "")
    rules = [
        (not to, 21604, "A 'To' phone number is required."),
        (not sender, 21603, "A 'From' phone number is required."),
        (not body, 21602, "Message body is required."),
        (len(body) > 1600, 21617, "The concatenated message body exceeds the 1600 character limit"),
        (not _E164.fullmatch(to), 21211, REFUSED["21211"].format(to=to)),
        (not _SENDER.fullmatch(sender), 21212, f"The 'From' number {sender} is not valid."),
        (to == sender, 21266, "'To' and 'From' number cannot be the same"),
        (
            bool(callback) and not callback.startswith(("http://", "https://")),
            21609,
            f"The 'StatusCallback' URL {callback} is not a valid URL.",
        ),
    ]
    for broken, code, text in rules:
        if broken:
            raise Refusal(code, text)
    if text := REFUSED.get(to[-5:], ""):
        raise Refusal(int(to[-5:]), text.format(to=to), 429 if to.endswith("20429") else 400)


def course(message: Message) -> list[Step]:
    """What will become of a message: the table in this module's description."""
    ending = message.to[-5:]
    steps = [(0.2, "queued", "")] if message.service else []
    steps.append((SENDING_AFTER, "sending", ""))
    if ending in FAILED:
        steps.append((SENT_AFTER, "failed", ending))
    else:
        steps.append((SENT_AFTER, "sent", ""))
        if ending in UNDELIVERED:
            steps.append((REPORTED_AFTER, "undelivered", ending))
        elif ending != SILENT:
            steps.append((SLOW_AFTER if ending == SLOW else REPORTED_AFTER, "delivered", ""))
    return [
        Step(status, message.created + int(after * 1_000_000), error)
        for after, status, error in steps
    ]


def selected_by(query: dict[str, str]) -> Callable[[Message], bool]:
    """The list filters. Dates count in whole UTC seconds, bounds included.

    A message not sent yet counts by its creation, so that it can be looked up at once.
    """
    to, sender = query.get("To"), query.get("From")
    day = _instant(query.get("DateSent"))
    since, until = _instant(query.get("DateSent>")), _instant(query.get("DateSent<"))

    def wanted(message: Message) -> bool:
        at = from_micros(message.sent or message.created).replace(microsecond=0)
        return (
            (not to or message.to == to)
            and (not sender or message.sender == sender)
            and (day is None or at.date() == day.date())
            and (since is None or at >= since)
            and (until is None or at <= until)
        )

    return wanted


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(20001, f"{text} is not a date") from None
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given

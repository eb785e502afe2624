"""Twilio Programmable Messaging as its REST API of 2010-04-01 documents it.

The official client reaches it with `client.api.base_url`. The account is
`settings["twilio_account_sid"]` with `settings["twilio_auth_token"]`; start fills both in when the
composer has not. A messaging service sends from `settings["twilio_number"]`.

A recipient whose number ends in an error code meets that error; every other one gets the message:

| number ends in | what happens |
|---|---|
| 21211, 21614, 21610, 20429 | the request is refused with this code |
| 30001 | `failed` before it was sent |
| 30003, 30005, 30006, 30007, 30008 | accepted and `sent`, then `undelivered` with this code |
| 90600 | `delivered` ten minutes late |
| 90000 | stays `sent`: the carrier never reports |

Status call-backs go to the message's StatusCallback for every change after the first status, as
https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks says;
inbound messages go to `settings["webhooks"]/twilio/incoming`. Both are signed, both meet the faults
of `twilio-webhooks`. The TwiML that an answer may hold is not acted on.
"""

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Any
from urllib.parse import urlencode

from aiohttp import BasicAuth, web

from emulators.agenda import Entry
from emulators.clock import from_micros, micros
from emulators.engine import Ground, HttpServer
from emulators.vendors import outages
from emulators.vendors.inbox import Inbox, Webhooks
from emulators.vendors.twilio_messages import (
    API,
    REFUSED,
    Message,
    Refusal,
    Step,
    check,
    course,
    selected_by,
)

STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"})
START = frozenset({"START", "YES", "UNSTOP"})


def sign(token: str, url: str, form: dict[str, str]) -> str:
    """X-Twilio-Signature: HMAC-SHA1 over the URL and the form's names and values by name.

    https://www.twilio.com/docs/usage/webhooks/webhooks-security
    """
    text = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


class Twilio:
    """The fake. Durable in its journal: messages, what is ahead of them, and who said STOP."""

    name = "twilio"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._server = HttpServer(ground, self.name)
        ground.faults.refusals[self.name] = outages.twilio
        self._journal = ground.journal(self.name)
        self._webhooks = Webhooks(ground, self.name, self._journal)
        self.inbox = Inbox(ground, self.name, self._journal)
        self._messages: dict[str, Message] = {}
        self._stopped = {key.removeprefix("stopped/") for key, _ in self._journal.items("stopped/")}
        self._entries: dict[str, Entry] = {}
        self._next = int(dict(self._journal.items("next")).get("next", 0))
        for _, value in self._journal.items("message/"):
            fields = json.loads(value)
            message = Message(**fields | {"ahead": [Step(**step) for step in fields["ahead"]]})
            self._messages[message.sid] = message
            self._next = max(self._next, message.number + 1)
            self._schedule(message)

    async def start(self, port: int = 0) -> int:
        """Listen; see the module for the settings it fills in."""
        settings = self._ground.settings
        settings.setdefault("twilio_account_sid", "AC" + "1".zfill(32))
        settings.setdefault("twilio_auth_token", "local-auth-token")
        settings.setdefault("twilio_number", "+15005550006")
        messages = f"{API}/Accounts/{{account}}/Messages"
        routes = [
            web.post(f"{messages}.json", self._answering(self._create)),
            web.get(f"{messages}.json", self._answering(self._list)),
            web.get(f"{messages}/{{sid}}.json", self._answering(self._fetch)),
            web.post(f"{messages}/{{sid}}.json", self._answering(self._redact)),
            web.delete(f"{messages}/{{sid}}.json", self._answering(self._delete)),
            web.post("/_local/incoming", self._incoming),
        ]
        return await self._server.start(routes, port)

    async def stop(self) -> None:
        await self._server.stop()
        self._webhooks.stop()
        for entry in self._entries.values():
            entry.cancel()
        self._entries.clear()
        self._journal.close()

    def describe(self) -> dict[str, Any]:
        return {
            "statuses": dict(Counter(message.status for message in self._messages.values())),
            "stopped": sorted(self._stopped),
            "webhooks_waiting": len(self._webhooks),
            "inbox": self.inbox.describe(),
        }

    @property
    def _account(self) -> str:
        return self._ground.settings["twilio_account_sid"]

    def _answering(
        self, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            try:
                self._authenticate(request)
                return await handler(request)
            except Refusal as refusal:
                return refusal.response()

        return answer

    def _authenticate(self, request: web.Request) -> None:
        try:
            given = BasicAuth.decode(request.headers.get("Authorization", ""))
        except ValueError:
            raise Refusal(20003, "Authenticate", 401) from None
        token = self._ground.settings["twilio_auth_token"]
        if (given.login, given.password) != (self._account, token):
            raise Refusal(20003, "Authenticate", 401)
        if request.match_info["account"] != self._account:
            raise _not_found(request)

    # Sending

    async def _create(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        service = form.get("MessagingServiceSid", "")
        sender = form.get("From") or (self._ground.settings["twilio_number"] if service else "")
        check(form, sender)
        to = form["To"]
        if f"{sender}/{to}" in self._stopped:
            raise Refusal(21610, REFUSED["21610"])
        message = self._make(to, sender, form["Body"], "accepted" if service else "queued")
        message.service, message.callback = service, form.get("StatusCallback", "")
        message.ahead = course(message)
        body = {"from": sender, "service": service, "body": message.body}
        with self._journal.batch():
            self._save(message)
            self.inbox.add("sms", to, "", body, message.sid)
        self._schedule(message)
        return web.json_response(message.resource(self._account), status=201)

    def _make(self, to: str, sender: str, body: str, status: str) -> Message:
        number, now = self._next, micros(self._ground.clock.now())
        self._next += 1
        sid = "SM" + hashlib.sha256(f"{self._account}/{number}".encode()).hexdigest()[:32]
        return Message(number, sid, to, sender, body, status, created=now, updated=now)

    def _save(self, message: Message) -> None:
        self._messages[message.sid] = message
        self._journal.put(
            f"message/{message.number:012d}", lambda: json.dumps(asdict(message)).encode()
        )

    def _schedule(self, message: Message) -> None:
        if message.ahead:
            due = from_micros(message.ahead[0].due)
            self._entries[message.sid] = self._ground.agenda.at(
                due, partial(self._step, message), f"twilio {message.ahead[0].status}"
            )

    def _step(self, message: Message) -> None:
        del self._entries[message.sid]
        step = message.ahead.pop(0)
        message.status, message.error, message.updated = step.status, step.error, step.due
        if step.status == "sent":
            message.sent = step.due
        with self._journal.batch():
            self._save(message)
            if message.callback:
                self._post(message.callback, self._status_form(message))
        self._ground.agenda.touch()
        self._schedule(message)

    def _status_form(self, message: Message) -> dict[str, str]:
        form = self._common_form(message) | {
            "MessageStatus": message.status,
            "SmsStatus": message.status,
        }
        if message.service:
            form["MessagingServiceSid"] = message.service
        if message.error:
            form["ErrorCode"] = message.error
        return form

    def _common_form(self, message: Message) -> dict[str, str]:
        return {
            "AccountSid": self._account,
            "ApiVersion": API.strip("/"),
            "From": message.sender,
            "To": message.to,
            "MessageSid": message.sid,
            "SmsSid": message.sid,
        }

    def _post(self, url: str, form: dict[str, str]) -> None:
        signature = sign(self._ground.settings["twilio_auth_token"], url, form)
        self._webhooks.send(url, headers={"X-Twilio-Signature": signature}, data=form)

    # Reading and erasing

    async def _fetch(self, request: web.Request) -> web.Response:
        return web.json_response(self._found(request).resource(self._account))

    async def _redact(self, request: web.Request) -> web.Response:
        """An update with an empty Body redacts, as documented; no other update is known here."""
        message = self._found(request)
        if (await request.post()).get("Body") != "":
            raise Refusal(20001, "Only an empty Body can be set")
        message.body = ""
        self._save(message)
        return web.json_response(message.resource(self._account))

    async def _delete(self, request: web.Request) -> web.Response:
        message = self._found(request)
        if message.ahead:
            raise Refusal(20009, "Message is not finished and cannot be deleted", 409)
        del self._messages[message.sid]
        with self._journal.batch():
            self._journal.put("next", str(self._next).encode())
            self._journal.delete(f"message/{message.number:012d}")
        return web.Response(status=204)

    def _found(self, request: web.Request) -> Message:
        message = self._messages.get(request.match_info["sid"])
        if message is None:
            raise _not_found(request)
        return message

    async def _list(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        wanted = selected_by(query)
        found = [message for message in reversed(self._messages.values()) if wanted(message)]
        try:
            size = min(max(int(query.get("PageSize", 50)), 1), 1000)
            number = int(query.get("Page", 0))
        except ValueError:
            raise Refusal(20001, "PageSize and Page must be numbers") from None
        start = _start(found, query.get("PageToken", ""), number, size)
        page = found[start : start + size]

        def uri(page_number: int, token: str = "") -> str:
            asked = query | {"PageSize": str(size), "Page": str(page_number)}
            asked.pop("PageToken", None)
            return f"{request.path}?{urlencode(asked | ({'PageToken': token} if token else {}))}"

        more = start + size < len(found)
        return web.json_response(
            {
                "messages": [message.resource(self._account) for message in page],
                "page": number,
                "page_size": size,
                "start": start,
                "end": start + len(page) - 1 if page else start,
                "uri": request.path_qs,
                "first_page_uri": uri(0),
                "next_page_uri": uri(number + 1, f"PA{page[-1].sid}") if more else None,
                "previous_page_uri": uri(number - 1, f"PB{page[0].sid}") if start else None,
            }
        )

    # Receiving

    async def _incoming(self, request: web.Request) -> web.Response:
        """A person writes to us: JSON {from, to, body}; `to` may be left out."""
        given = await request.json()
        to = given.get("to") or self._ground.settings["twilio_number"]
        message = self._make(to, given["from"], given["body"], "received")
        message.direction, message.sent = "inbound", message.created
        form = self._common_form(message) | {
            "Body": message.body,
            "SmsMessageSid": message.sid,
            "SmsStatus": "received",
            "NumMedia": "0",
            "NumSegments": str(message.segments),
        }
        with self._journal.batch():
            self._save(message)
            if kind := self._opt_out(message):
                form["OptOutType"] = kind
            if webhooks := self._ground.settings.get("webhooks"):
                self._post(f"{webhooks}/twilio/incoming", form)
        self._ground.agenda.touch()
        return web.json_response({"sid": message.sid}, status=201)

    def _opt_out(self, message: Message) -> str:
        """Act on STOP and START, each for this pair of numbers; the OptOutType, or ""."""
        word, pair = message.body.strip().upper(), f"{message.to}/{message.sender}"
        if word in STOP:
            self._stopped.add(pair)
            self._journal.put(f"stopped/{pair}", b"")
            return "STOP"
        if word in START:
            self._stopped.discard(pair)
            self._journal.delete(f"stopped/{pair}")
            return "START"
        return "HELP" if word in ("HELP", "INFO") else ""


def _start(found: list[Message], token: str, page: int, size: int) -> int:
    """Where a page starts: PA<sid> after a message, PB<sid> before it, else by number."""
    for index, message in enumerate(found if token else ()):
        if token[2:] == message.sid:
            return index + 1 if token.startswith("PA") else max(index - size, 0)
    return max(page, 0) * size


def _not_found(request: web.Request) -> Refusal:
    return Refusal(20404, f"The requested resource {request.path} was not found", 404)

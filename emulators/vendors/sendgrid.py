"""SendGrid's mail send, event webhook and activity feed as its v3 API documents them.

The official client reaches it with `host=`. The API key is `settings["sendgrid_api_key"]`, which
start fills in when the composer has not. Recipients decide by the start of their local part:

| local part starts with | what happens |
|---|---|
| bounce | `processed`, then a hard `bounce`; mail to the address is `dropped` from then on |
| block | `processed`, then a `bounce` of type `blocked`; later mail is tried again |
| drop | `dropped` |
| defer | `processed`, `deferred`, ten minutes later `delivered` |
| spam | `delivered`, an hour later `spamreport`; mail to the address is `dropped` from then on |
| anything else | `processed`, `delivered` |

Events go in batches to `settings["webhooks"]/sendgrid`, signed as the Signed Event Webhook does and
with its line ends: the signature covers the raw body, not JSON read and written again. Faults of
`sendgrid-webhooks` strike them. The key that verifies them is in `verification_key`, under
`/_local/verification-key`, where SendGrid's own API has it, and in
`settings["sendgrid_verification_key"]` once started; it outlasts a restart.
"""

import base64
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from emulators.agenda import Entry
from emulators.clock import from_micros, micros
from emulators.engine import Ground, HttpServer
from emulators.journal import Journal
from emulators.vendors import outages
from emulators.vendors.inbox import Inbox, Webhooks
from emulators.vendors.sendgrid_mail import (
    Mail,
    Problem,
    Refusal,
    Step,
    check,
    course,
    recipients,
    selected_by,
    token,
)

BATCH_AFTER = 1
"""Virtual seconds that events wait for others to share a webhook with them."""
BATCH_MOST = 500


class SendGrid:
    """The fake. Durable in its journal: mails, what is ahead of them, suppressions, its key."""

    name = "sendgrid"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._server = HttpServer(ground, self.name)
        ground.faults.refusals[self.name] = outages.sendgrid
        self._journal = ground.journal(self.name)
        self._key = _signing_key(self._journal)
        self._webhooks = Webhooks(ground, self.name, self._journal)
        self.inbox = Inbox(ground, self.name, self._journal)
        self._mails: dict[str, Mail] = {}
        self._entries: dict[str, Entry] = {}
        self._flush_entry: Entry | None = None
        self._waiting = {key: json.loads(event) for key, event in self._journal.items("event/")}
        self._suppressed: dict[str, dict[str, Any]] = {
            key.removeprefix("suppressed/"): json.loads(value)
            for key, value in self._journal.items("suppressed/")
        }
        for _, value in self._journal.items("mail/"):
            fields = json.loads(value)
            mail = Mail(**fields | {"ahead": [Step(**step) for step in fields["ahead"]]})
            self._mails[mail.id] = mail
            self._schedule(mail)
        if self._waiting:
            self._flush_soon()

    @property
    def verification_key(self) -> str:
        """The public key as SendGrid shows it: base64 of its DER form, on one line."""
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(der).decode()

    async def start(self, port: int = 0) -> int:
        """Listen; see the module for the settings it fills in."""
        self._ground.settings.setdefault("sendgrid_api_key", "SG.local")
        self._ground.settings["sendgrid_verification_key"] = self.verification_key
        routes = [
            web.post("/v3/mail/send", self._answering(self._send)),
            web.get("/v3/messages", self._answering(self._search)),
            web.get("/v3/messages/{id}", self._answering(self._activity)),
            web.get("/v3/suppression/bounces", self._answering(self._bounces)),
            web.delete("/v3/suppression/bounces/{email}", self._answering(self._forgive)),
            web.get("/v3/user/webhooks/event/settings/signed", self._answering(self._signed)),
            web.get("/_local/verification-key", self._show_key),
        ]
        return await self._server.start(routes, port)

    async def stop(self) -> None:
        await self._server.stop()
        self._webhooks.stop()
        if self._flush_entry is not None:
            self._flush_entry.cancel()
        for entry in self._entries.values():
            entry.cancel()
        self._entries.clear()
        self._journal.close()

    def describe(self) -> dict[str, Any]:
        return {
            "statuses": dict(Counter(mail.status for mail in self._mails.values())),
            "suppressed": sorted(self._suppressed),
            "webhooks_waiting": len(self._webhooks),
            "inbox": self.inbox.describe(),
        }

    def _answering(
        self, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            try:
                key = self._ground.settings["sendgrid_api_key"]
                if request.headers.get("Authorization") != f"Bearer {key}":
                    text = "The provided authorization grant is invalid, expired, or revoked"
                    raise Refusal([Problem(text)], 401)
                return await handler(request)
            except Refusal as refusal:
                return refusal.response()

        return answer

    # Sending

    async def _send(self, request: web.Request) -> web.Response:
        try:
            given = json.loads(await request.read())
        except ValueError:
            raise Refusal([Problem("Bad Request")]) from None
        now = self._ground.clock.now()
        check(given, int(now.timestamp()))
        if _sandboxed(given):
            return web.Response(status=200)
        first = len(self._mails)
        message_id = token(f"sendgrid/{first}")
        since = max(micros(now), given.get("send_at", 0) * 1_000_000)
        with self._journal.batch():
            made = [
                self._accept(given, block, address["email"], message_id, since)
                for block in given["personalizations"]
                for _, address in recipients(block)
            ]
        for mail in made:
            self._schedule(mail)
        return web.Response(status=202, headers={"X-Message-Id": message_id})

    def _accept(
        self, given: dict[str, Any], block: dict[str, Any], to: str, message_id: str, since: int
    ) -> Mail:
        number = len(self._mails)
        arguments = (given.get("custom_args") or {}) | (block.get("custom_args") or {})
        mail = Mail(
            number=number,
            id=f"{message_id}.recvd-local-{number}.0",
            to=to,
            sender=given["from"]["email"],
            subject=block.get("subject") or given.get("subject") or "",
            arguments=arguments,
            categories=given.get("categories") or [],
            template=given.get("template_id") or "",
        )
        why = self._suppressed.get(to.lower(), {}).get("why", "")
        mail.ahead = course(to, since, why)
        body = {
            "from": given["from"],
            "content": {part["type"]: part["value"] for part in given.get("content") or []},
            "template_id": mail.template,
            "dynamic_template_data": block.get("dynamic_template_data") or {},
            "custom_args": arguments,
        }
        self._save(mail)
        self.inbox.add("email", to, mail.subject, body, mail.id)
        return mail

    def _save(self, mail: Mail) -> None:
        self._mails[mail.id] = mail
        self._journal.put(f"mail/{mail.number:012d}", lambda: json.dumps(asdict(mail)).encode())

    # Events

    def _schedule(self, mail: Mail) -> None:
        if mail.ahead:
            self._entries[mail.id] = self._ground.agenda.at(
                from_micros(mail.ahead[0].due),
                partial(self._step, mail),
                f"sendgrid {mail.ahead[0].event}",
            )

    def _step(self, mail: Mail) -> None:
        del self._entries[mail.id]
        event = mail.take(mail.ahead.pop(0))
        key = f"event/{mail.number:012d}/{len(mail.events):03d}"
        self._waiting[key] = event
        with self._journal.batch():
            self._save(mail)
            self._journal.put(key, lambda: json.dumps(event).encode())
            if event["event"] == "spamreport" or event.get("type") == "bounce":
                self._suppress(mail.to, event)
        self._ground.agenda.touch()
        self._flush_soon()
        self._schedule(mail)

    def _suppress(self, address: str, event: dict[str, Any]) -> None:
        hard = event["event"] == "bounce"
        entry = {
            "why": "Bounced Address" if hard else "Spam Reporting Address",
            "created": event["timestamp"],
            "email": address,
            "reason": event.get("reason", ""),
            "status": event.get("status", ""),
        }
        self._suppressed[address.lower()] = entry
        self._journal.put(f"suppressed/{address.lower()}", json.dumps(entry).encode())

    def _flush_soon(self) -> None:
        if self._flush_entry is None:
            self._flush_entry = self._ground.agenda.after(
                BATCH_AFTER, self._flush, "sendgrid events"
            )

    def _flush(self) -> None:
        self._flush_entry = None
        keys = list(self._waiting)[:BATCH_MOST]
        events = [json.dumps(self._waiting.pop(key)) for key in keys]
        payload = "[" + ",\r\n".join(events) + "]\r\n"
        timestamp = str(int(self._ground.clock.time()))
        signature = self._key.sign((timestamp + payload).encode(), ec.ECDSA(hashes.SHA256()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "SendGrid Event API",
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }
        with self._journal.batch():
            for key in keys:
                self._journal.delete(key)
            if webhooks := self._ground.settings.get("webhooks"):
                self._webhooks.send(f"{webhooks}/sendgrid", headers=headers, data=payload.encode())
        if self._waiting:
            self._flush_soon()

    # Looking up

    async def _search(self, request: web.Request) -> web.Response:
        wanted = selected_by(request.query.get("query", ""))
        limit = request.query.get("limit", "10")
        if not limit.isdecimal() or not 0 < int(limit) <= 1000:
            raise Refusal([Problem("limit must be from 1 to 1000", "limit")])
        found = [mail.summary() for mail in reversed(self._mails.values()) if wanted(mail)]
        return web.json_response({"messages": found[: int(limit)]})

    async def _activity(self, request: web.Request) -> web.Response:
        mail = self._mails.get(request.match_info["id"])
        if mail is None:
            raise Refusal([Problem("not found")], 404)
        return web.json_response(mail.details())

    async def _bounces(self, _: web.Request) -> web.Response:
        return web.json_response(
            [
                {key: value for key, value in entry.items() if key != "why"}
                for entry in self._suppressed.values()
                if entry["why"] == "Bounced Address"
            ]
        )

    async def _forgive(self, request: web.Request) -> web.Response:
        address = request.match_info["email"].lower()
        if self._suppressed.pop(address, None) is None:
            raise Refusal([Problem("resource not found")], 404)
        self._journal.delete(f"suppressed/{address}")
        return web.Response(status=204)

    async def _signed(self, _: web.Request) -> web.Response:
        return web.json_response({"public_key": self.verification_key})

    async def _show_key(self, _: web.Request) -> web.Response:
        return web.Response(text=self.verification_key)


def _sandboxed(given: dict[str, Any]) -> bool:
    """Whether the mail is only to be checked, which SendGrid answers with 200 and not 202."""
    match given:
        case {"mail_settings": {"sandbox_mode": {"enable": True}}}:
            return True
    return False


def _signing_key(journal: Journal) -> ec.EllipticCurvePrivateKey:
    """The P-256 key from the journal, or a new one put there."""
    kept = dict(journal.items("key/"))
    if "key/private" in kept:
        key = serialization.load_pem_private_key(kept["key/private"], password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("The journal holds a key of another kind.")
        return key
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    journal.put("key/private", pem)
    return key

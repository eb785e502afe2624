"""A small stateful Iterable: users, events, purchases, workflow runs and e-mails, in JSON.

Paths, names and codes are those of Iterable's API reference (api.iterable.com/api/docs). The
project is a hybrid one: people are known by user id, else by e-mail address. The key in the header
`Api-Key` must be the ground's setting `iterable_api_key`.
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from emulators.agenda import Entry
from emulators.engine import Ground, HttpServer
from emulators.vendors import outages
from emulators.vendors.inbox import Inbox
from emulators.vendors.iterable_requests import (
    Data,
    FieldTypes,
    Person,
    Refused,
    TargetEmail,
    Track,
    TrackPurchase,
    TriggerWorkflow,
    UpdateSubscriptions,
    UpdateUser,
    check_person,
    parsed,
)
from emulators.vendors.table import Row, Table

_SUBSCRIPTIONS = {
    "email_list_ids": "emailListIds",
    "subscribed_message_type_ids": "subscribedMessageTypeIds",
    "unsubscribed_channel_ids": "unsubscribedChannelIds",
    "unsubscribed_message_type_ids": "unsubscribedMessageTypeIds",
}


class Iterable:
    """The fake. An event or purchase sent again under its id updates the first.

    Workflow runs and e-mails have no such id in Iterable: each call is another one.
    """

    name = "iterable"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._journal = ground.journal(self.name)
        self._server = HttpServer(ground, self.name)
        ground.faults.refusals[self.name] = outages.iterable
        self.inbox = Inbox(ground, self.name, self._journal)
        self._types = FieldTypes(self._journal)
        self._users = Table(self._journal, "user")
        self._events = Table(self._journal, "event")
        self._sends = Table(self._journal, "send")
        self._scheduled = Table(self._journal, "scheduled")
        self._entries: dict[str, Entry] = {}
        for key, row in self._scheduled.items():
            self._plan(key, row)

    async def start(self, port: int = 0) -> int:
        """Listen; fills in the setting `iterable_api_key` when the composer has not."""
        self._ground.settings.setdefault("iterable_api_key", "local-iterable-key")
        posts: dict[str, Callable[[Any], Data]] = {
            "users/update": self._update_user,
            "users/updateSubscriptions": self._update_subscriptions,
            "events/track": self._track,
            "commerce/trackPurchase": self._track_purchase,
            "workflows/triggerWorkflow": self._trigger_workflow,
            "email/target": self._target_email,
        }
        gets: dict[str, Callable[[web.Request], Data]] = {
            "users/byUserId/{userId}": self._show_user,
            "users/byUserId": self._show_user,
            "users/getByEmail": self._show_user,
            "users/{email}": self._show_user,
            "events/byUserId/{userId}": self._show_events,
            "events/{email}": self._show_events,
        }
        return await self._server.start(
            [
                *(web.post(f"/api/{path}", self._posted(do)) for path, do in posts.items()),
                *(web.get(f"/api/{path}", self._asked(do)) for path, do in gets.items()),
            ],
            port,
        )

    async def stop(self) -> None:
        await self._server.stop()
        for entry in self._entries.values():
            entry.cancel()
        self._journal.close()

    def describe(self) -> dict[str, Any]:
        return {
            "users": len(self._users),
            "events": len(self._events),
            "scheduled": len(self._scheduled),
            "inbox": self.inbox.describe(),
        }

    def _posted(self, operation: Callable[[Any], Data]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            try:
                self._need_key(request)
                try:
                    body = await request.json()
                except ValueError:
                    raise Refused("BadJsonBody", "Invalid JSON body") from None
                with self._journal.batch():
                    return web.json_response(operation(body))
            except Refused as refused:
                return web.json_response(refused.body(), status=refused.status)

        return handle

    def _asked(self, operation: Callable[[web.Request], Data]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            try:
                self._need_key(request)
                return web.json_response(operation(request))
            except Refused as refused:
                return web.json_response(refused.body(), status=refused.status)

        return handle

    def _need_key(self, request: web.Request) -> None:
        if request.headers.get("Api-Key") != self._ground.settings["iterable_api_key"]:
            params = {"ip": request.remote, "endpoint": request.path}
            raise Refused("BadApiKey", "Invalid API key", params, 401)

    def _stamp(self, seconds: int | None = None) -> str:
        """Iterable's way to write an instant: `2026-01-31 12:00:00 +00:00`."""
        now = self._ground.clock.now()
        when = now if seconds is None else datetime.fromtimestamp(seconds, UTC)
        return when.strftime("%Y-%m-%d %H:%M:%S +00:00")

    def _find(self, email: str | None, user_id: str | None) -> tuple[str, Row] | None:
        rows = self._users.items()
        if user_id:
            found = [pair for pair in rows if pair[1]["userId"] == user_id]
        else:
            found = [pair for pair in rows if email and pair[1]["email"] == email.lower()]
        return found[0] if found else None

    def _upsert(self, person: Person) -> tuple[str, Row]:
        """The person's key and row, made when new. A user id adopts the row of its address."""
        check_person(person.email, person.user_id)
        email = (person.email or "").lower()
        found = self._find(email, person.user_id)
        if found is None and person.user_id and email:
            found = self._find(email, None)
            if found is not None and found[1]["userId"]:
                found = None
        key, row = found or (uuid.uuid4().hex, {"email": "", "userId": "", "dataFields": {}})
        row = row | {"email": email or row["email"], "userId": person.user_id or row["userId"]}
        return key, self._users.save(key, row)

    def _change(self, key: str, fields: Data, merge: bool = False) -> None:
        row = self._users[key]
        data = dict(row["dataFields"])
        for name, value in fields.items():
            if merge and isinstance(value, dict) and isinstance(data.get(name), dict):
                value = data[name] | value  # noqa: PLW2901 -- merged one level deep, as documented
            data[name] = value
        data["profileUpdatedAt"] = self._stamp()
        self._users.save(key, row | {"dataFields": data})

    def _update_user(self, body: Any) -> Data:
        request = parsed(UpdateUser, body)
        check_person(request.email, request.user_id)
        fields = self._types.admit("user", request.data_fields, request.create_new_fields)
        key, row = self._upsert(request)
        self._change(key, fields, request.merge_nested_objects)
        self.inbox.add("user", _address(row), "profile", fields, key)
        return _success()

    def _update_subscriptions(self, body: Any) -> Data:
        request = parsed(UpdateSubscriptions, body)
        key, row = self._upsert(request)
        given = {
            wire: ids
            for name, wire in _SUBSCRIPTIONS.items()
            if (ids := getattr(request, name)) is not None
        }
        self._change(key, given)
        self.inbox.add("subscriptions", _address(row), "subscriptions", given, key)
        return _success()

    def _track(self, body: Any) -> Data:
        request = parsed(Track, body)
        check_person(request.email, request.user_id)
        fields = self._types.admit(
            request.event_name, request.data_fields, request.create_new_fields
        )
        event = {
            "eventType": "customEvent",
            "eventName": request.event_name,
            "createdAt": self._stamp(request.created_at),
            "campaignId": request.campaign_id,
            "templateId": request.template_id,
            "dataFields": fields,
        }
        event_id = self._happened(request, request.id, event, request.event_name)
        return _success(f"Event with id: {event_id} tracked.", {"id": event_id})

    def _track_purchase(self, body: Any) -> Data:
        request = parsed(TrackPurchase, body)
        check_person(request.user.email, request.user.user_id)
        about = self._types.admit("user", request.user.data_fields, request.user.create_new_fields)
        fields = self._types.admit("purchase", request.data_fields, create=True)
        key, _ = self._upsert(request.user)
        self._change(key, about, request.user.merge_nested_objects)
        items = [item.model_dump(by_alias=True, exclude_none=True) for item in request.items]
        purchase = {
            "eventType": "purchase",
            "createdAt": self._stamp(request.created_at),
            "campaignId": request.campaign_id,
            "templateId": request.template_id,
            "total": request.total,
            "shoppingCartItems": items,
            "dataFields": fields,
        }
        purchase_id = self._happened(request.user, request.id, purchase, f"{request.total}")
        return _success("", {"id": purchase_id})

    def _happened(self, person: Person, given: str | None, event: Row, subject: str) -> str:
        """Keep an event of a person. One with the same id is updated and not shown twice."""
        key, row = self._upsert(person)
        event_id = given or uuid.uuid4().hex
        event = {name: value for name, value in event.items() if value is not None}
        kind = "purchase" if event["eventType"] == "purchase" else "event"
        stored = f"{kind}/{event_id}"
        is_new = stored not in self._events
        number = self._events[stored]["number"] if not is_new else len(self._events)
        self._events.save(stored, event | {"_id": event_id, "user": key, "number": number})
        if is_new:
            self.inbox.add(kind, _address(row), subject, event, event_id)
        return event_id

    def _trigger_workflow(self, body: Any) -> Data:
        request = parsed(TriggerWorkflow, body)
        _, row = self._upsert(request)
        content = {"workflowId": request.workflow_id, "dataFields": request.data_fields}
        self.inbox.add("workflow", _address(row), f"workflow {request.workflow_id}", content)
        return _success()

    def _target_email(self, body: Any) -> Data:
        request = parsed(TargetEmail, body)
        person = Person(email=request.recipient_email, userId=request.recipient_user_id)
        check_person(person.email, person.user_id)
        if person.user_id and self._find(None, person.user_id) is None:
            raise Refused("UnknownUserIdError", f"No user with userId {person.user_id}")
        due = self._due(request.send_at)
        key, row = self._upsert(person)
        if not row["email"]:
            raise Refused("QueueEmailError", "The user has no email address")
        content = request.model_dump(by_alias=True, exclude_none=True)
        if due is None:
            self._send(key, content)
        else:
            message = uuid.uuid4().hex
            planned = {"user": key, "content": content, "due": due.isoformat()}
            self._plan(message, self._scheduled.save(message, planned))
        return _success()

    def _due(self, send_at: str | None) -> datetime | None:
        """When a message is due, None for at once; at most 365 days ahead."""
        if send_at is None:
            return None
        try:
            due = datetime.strptime(send_at, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        except ValueError:
            raise Refused("BadParams", "Invalid sendAt", {"sendAt": send_at}) from None
        ahead = due - self._ground.clock.now()
        if ahead.days >= 365:
            raise Refused("BadParams", "sendAt is over 365 days ahead", {"sendAt": send_at})
        return due if ahead.total_seconds() > 0 else None

    def _plan(self, key: str, row: Row) -> None:
        def send() -> None:
            self._entries.pop(key, None)
            with self._journal.batch():
                self._send(row["user"], row["content"])
                self._scheduled.drop(key)

        when = datetime.fromisoformat(row["due"])
        self._entries[key] = self._ground.agenda.at(when, send, "iterable e-mail")

    def _send(self, user: str, content: Data) -> None:
        campaign = content["campaignId"]
        sent = f"{user}/{campaign}"
        if sent in self._sends and not content["allowRepeatMarketingSends"]:
            return
        self._sends.save(sent, {"at": self._stamp()})
        self.inbox.add("email", self._users[user]["email"], f"campaign {campaign}", content)

    def _asked_for(self, request: web.Request) -> tuple[str, Row] | None:
        given = {**request.query, **request.match_info}
        return self._find(given.get("email"), given.get("userId"))

    def _show_user(self, request: web.Request) -> Data:
        """`{"user": ...}`, or `{}` when there is none."""
        found = self._asked_for(request)
        if found is None:
            return {}
        return {"user": {name: value for name, value in found[1].items() if value != ""}}

    def _show_events(self, request: web.Request) -> Data:
        """A person's events, newest first; `limit` of them (30 unless told, at most 200)."""
        found = self._asked_for(request)
        if found is None:
            return {"events": []}
        try:
            limit = min(int(request.query.get("limit", "30")), 200)
        except ValueError:
            raise Refused("BadParams", "Invalid limit") from None
        theirs = [event for event in self._events.values() if event["user"] == found[0]]
        theirs.sort(key=lambda event: (event["createdAt"], event["number"]), reverse=True)
        hidden = ("user", "number")
        who = {name: found[1][name] for name in ("email", "userId") if found[1][name]}
        return {
            "events": [
                who | {name: value for name, value in event.items() if name not in hidden}
                for event in theirs[:limit]
            ]
        }


def _success(msg: str = "", params: Data | None = None) -> Data:
    return {"msg": msg, "code": "Success", "params": params}


def _address(user: Row) -> str:
    return str(user["email"] or user["userId"])

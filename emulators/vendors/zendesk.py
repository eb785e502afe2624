"""A small stateful Zendesk Support: users, tickets, comments, search, in JSON under /api/v2.

Shapes and codes are those of developer.zendesk.com/api-reference. Basic authentication is
`email/token:TOKEN` with the ground's settings `zendesk_email` and `zendesk_token`; start fills
both in when the composer has not. Every path works with and without `.json`.
"""

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from emulators.engine import Ground, HttpServer
from emulators.vendors import outages
from emulators.vendors.inbox import Inbox
from emulators.vendors.table import Row, Table
from emulators.vendors.zendesk_records import (
    Given,
    Refused,
    Search,
    bad_attribute,
    checked_ticket,
    checked_user,
    comment_text,
    invalid,
    new_ticket,
    new_user,
    not_found,
    shown_ticket,
    shown_user,
    wrapped,
)

KEY_LIFE = timedelta(hours=2)
"""How long an idempotency key is remembered ("Idempotency" in the Ticketing API's introduction)."""
SEARCH_DELAY = 60
"""Virtual seconds until search finds what is new; Zendesk says a few minutes. Listing by
`external_id` finds it at once. The setting `zendesk_search_delay` overrides it."""

Operation = Callable[[web.Request], Awaitable[web.Response]]


class Zendesk:
    """The fake. A ticket is created once per `Idempotency-Key`, which answers the same again."""

    name = "zendesk"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._journal = ground.journal(self.name)
        self._server = HttpServer(ground, self.name)
        ground.faults.refusals[self.name] = outages.zendesk
        self._base = ""
        self.inbox = Inbox(ground, self.name, self._journal)
        self._users = Table(self._journal, "user")
        self._tickets = Table(self._journal, "ticket")
        self._keys = Table(self._journal, "key")

    async def start(self, port: int = 0) -> int:
        """Listen; see the module for the settings it fills in."""
        self._ground.settings.setdefault("zendesk_email", "agent@clinicloop.example")
        self._ground.settings.setdefault("zendesk_token", "local-zendesk-token")
        operations: list[tuple[str, str, Operation]] = [
            ("POST", "tickets", self._create_ticket),
            ("GET", "tickets", self._list_tickets),
            ("GET", r"tickets/{id:\d+}", self._show_ticket),
            ("PUT", r"tickets/{id:\d+}", self._update_ticket),
            ("GET", r"tickets/{id:\d+}/comments", self._list_comments),
            ("POST", "users/create_or_update", self._create_or_update_user),
            ("GET", "users/search", self._search_users),
            ("GET", r"users/{id:\d+}", self._show_user),
            ("GET", "search", self._search),
        ]
        routes = [
            web.route(method, f"/api/v2/{path}{ending}", self._handled(operation))
            for method, path, operation in operations
            for ending in (".json", "")
        ]
        bound = await self._server.start(routes, port)
        self._base = f"http://127.0.0.1:{bound}"
        return bound

    async def stop(self) -> None:
        await self._server.stop()
        self._journal.close()

    def describe(self) -> dict[str, Any]:
        return {
            "users": len(self._users),
            "tickets": [shown_ticket(ticket, self._base) for ticket in self._in_order()],
            "inbox": self.inbox.describe(),
        }

    def _handled(self, operation: Operation) -> Operation:
        async def handle(request: web.Request) -> web.Response:
            try:
                self._need_agent(request)
                return await operation(request)
            except Refused as refused:
                return web.json_response(refused.body, status=refused.status)

        return handle

    def _need_agent(self, request: web.Request) -> None:
        settings = self._ground.settings
        credentials = f"{settings['zendesk_email']}/token:{settings['zendesk_token']}"
        expected = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        if request.headers.get("Authorization") != expected:
            raise Refused(401, {"error": "Couldn't authenticate you"})

    def _now(self) -> str:
        return self._ground.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def _in_order(self) -> list[Row]:
        return sorted(self._tickets.values(), key=lambda ticket: int(ticket["id"]))

    # Users

    def _user_by(self, name: str, value: Any) -> Row | None:
        if value is None:
            return None
        return next((user for user in self._users.values() if user[name] == value), None)

    def _save_user(self, given: Given, user: Row | None) -> Row:
        """Make or change a user; an address or external id of another is refused."""
        for name, word in (("email", "Email"), ("external_id", "External")):
            other = self._user_by(name, given.get(name))
            if other is not None and (user is None or other["id"] != user["id"]):
                words = f"{word}: {given[name]} is already being used by another user"
                raise invalid(name, words, "DuplicateValue")
        if user is None:
            if not given.get("name"):
                words = "Name: is too short (minimum is one character)"
                raise invalid("name", words, "BlankValue")
            user = new_user(1000 + len(self._users), given, self._now())
        else:
            fields = user["user_fields"] | (given.get("user_fields") or {})
            user = user | given | {"user_fields": fields, "updated_at": self._now()}
        return self._users.save(str(user["id"]), user)

    def _agent(self) -> Row:
        """The user behind the API token."""
        email = self._ground.settings["zendesk_email"]
        agent = {"name": "Agent", "email": email, "role": "admin", "verified": True}
        return self._user_by("email", email) or self._save_user(agent, None)

    async def _create_or_update_user(self, request: web.Request) -> web.Response:
        """By external id, else by e-mail address; 201 for a new user, 200 for a known one."""
        given = checked_user(wrapped(await _json(request), "user"))
        known = self._user_by("external_id", given.get("external_id"))
        if known is None:
            known = self._user_by("email", given.get("email"))
            named = known is not None and known["external_id"]
            if named and given.get("external_id") not in (None, named):
                words = f"Email: {given['email']} is already being used by another user"
                raise invalid("email", words, "DuplicateValue")
        with self._journal.batch():
            user = self._save_user(given, known)
            to = user["email"] or user["name"]
            self.inbox.add("user", to, str(user["external_id"] or user["id"]), given)
        shown = shown_user(user, self._base)
        if known is not None:
            return web.json_response({"user": shown})
        return web.json_response({"user": shown}, status=201, headers={"Location": shown["url"]})

    async def _show_user(self, request: web.Request) -> web.Response:
        user = self._users.get(request.match_info["id"])
        if user is None:
            raise not_found()
        return web.json_response({"user": shown_user(user, self._base)})

    async def _search_users(self, request: web.Request) -> web.Response:
        """By `external_id` at once, or by `query` once indexed."""
        if "external_id" in request.query:
            user = self._user_by("external_id", request.query["external_id"])
            found = [user] if user else []
        else:
            search = Search(request.query.get("query", ""))
            users = self._indexed(list(self._users.values()))
            found = [user for user in users if search.finds("user", user)]
        return self._page(request, "users", [shown_user(user, self._base) for user in found])

    # Tickets

    async def _create_ticket(self, request: web.Request) -> web.Response:
        body = await _json(request)
        key = request.headers.get("Idempotency-Key")
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        if key is not None and (kept := self._remembered(key)) is not None:
            if kept["digest"] != digest:
                words = "Request parameters don't match the given idempotency key"
                raise Refused(400, {"error": "IdempotentRequestError", "description": words})
            headers = {"Location": kept["answer"]["ticket"]["url"], "x-idempotency-lookup": "hit"}
            return web.json_response(kept["answer"], status=201, headers=headers)
        given = checked_ticket(wrapped(body, "ticket"))
        with self._journal.batch():
            ticket = self._new_ticket(given)
            answer = {"ticket": shown_ticket(ticket, self._base)}
            if key is not None:
                kept = {"digest": digest, "answer": answer}
                until = (self._ground.clock.now() + KEY_LIFE).isoformat()
                self._keys.save(key, kept | {"until": until})
        headers = {"Location": answer["ticket"]["url"]}
        if key is not None:
            headers["x-idempotency-lookup"] = "miss"
        return web.json_response(answer, status=201, headers=headers)

    def _remembered(self, key: str) -> Row | None:
        if not 0 < len(key) <= 255:
            words = "Idempotency-Key must have 1 to 255 characters"
            raise Refused(400, {"error": "IdempotentRequestError", "description": words})
        kept = self._keys.get(key)
        if kept and datetime.fromisoformat(kept["until"]) <= self._ground.clock.now():
            self._keys.drop(key)
            return None
        return kept

    def _new_ticket(self, given: Given) -> Row:
        comment = given.get("comment") or {"body": given.get("description") or ""}
        if not comment_text(comment):
            raise invalid("base", "Description: cannot be blank", "BlankValue")
        requester = self._requester(given)
        ticket = new_ticket(len(self._tickets) + 1, given, self._now())
        ticket |= {"requester_id": requester["id"], "submitter_id": self._agent()["id"]}
        self._comment(ticket, comment)
        self._tickets.save(str(ticket["id"]), ticket)
        to = requester["email"] or requester["name"]
        shown = shown_ticket(ticket, self._base)
        self.inbox.add("ticket", to, ticket["subject"], shown, str(ticket["id"]))
        return ticket

    def _requester(self, given: Given) -> Row:
        """The user by `requester_id`, or by the address in `requester`, made when new; the agent
        when neither is given.
        """
        if given.get("requester_id") is not None:
            user = self._users.get(str(given["requester_id"]))
            if user is None:
                raise invalid("requester", "Requester: is not valid")
            return user
        if given.get("requester") is not None:
            wanted = checked_user(given["requester"])
            known = self._user_by("email", wanted.get("email"))
            return known or self._save_user(wanted, None)
        return self._agent()

    def _comment(self, ticket: Row, comment: Given) -> Row:
        author = comment.get("author_id") or self._agent()["id"]
        made = {
            "id": ticket["id"] * 1000 + len(ticket["comments"]) + 1,
            "type": "Comment",
            "author_id": author,
            "body": comment_text(comment),
            "public": comment.get("public", True),
            "created_at": self._now(),
        }
        ticket["comments"] = [*ticket["comments"], made]
        return made

    def _ticket(self, request: web.Request) -> Row:
        ticket = self._tickets.get(request.match_info["id"])
        if ticket is None:
            raise not_found()
        return ticket

    async def _show_ticket(self, request: web.Request) -> web.Response:
        return web.json_response({"ticket": shown_ticket(self._ticket(request), self._base)})

    async def _update_ticket(self, request: web.Request) -> web.Response:
        """Change a ticket and comment on it; a closed one takes no change."""
        before = self._ticket(request)
        given = checked_ticket(wrapped(await _json(request), "ticket"))
        if before["status"] == "closed":
            raise invalid("status", "Status: closed prevents ticket update", "ClosedTicket")
        comment = given.pop("comment", None)
        for name in ("requester", "description"):
            given.pop(name, None)
        if "requester_id" in given and str(given["requester_id"]) not in self._users:
            raise invalid("requester", "Requester: is not valid")
        ticket = before | given | {"updated_at": self._now()}
        events = [
            {"type": "Change", "field_name": name, "previous_value": before.get(name), "value": new}
            for name, new in given.items()
            if before.get(name) != new
        ]
        with self._journal.batch():
            if comment is not None:
                events.append(self._comment(ticket, comment))
            self._tickets.save(str(ticket["id"]), ticket)
            requester = self._users[str(ticket["requester_id"])]
            to = requester["email"] or requester["name"]
            self.inbox.add("update", to, ticket["subject"], {"id": ticket["id"], "events": events})
        audit = {
            "id": ticket["id"] * 1000 + len(ticket["comments"]),
            "ticket_id": ticket["id"],
            "created_at": self._now(),
            "author_id": self._agent()["id"],
            "events": events,
        }
        return web.json_response({"ticket": shown_ticket(ticket, self._base), "audit": audit})

    async def _list_comments(self, request: web.Request) -> web.Response:
        return self._page(request, "comments", self._ticket(request)["comments"])

    async def _list_tickets(self, request: web.Request) -> web.Response:
        """All tickets, or those of an `external_id`, which need not be unique."""
        tickets = self._in_order()
        if "external_id" in request.query:
            wanted = request.query["external_id"]
            tickets = [ticket for ticket in tickets if ticket["external_id"] == wanted]
        return self._page(request, "tickets", [shown_ticket(t, self._base) for t in tickets])

    # Search

    def _indexed(self, records: list[Row]) -> list[Row]:
        delay = float(self._ground.settings.get("zendesk_search_delay", SEARCH_DELAY))
        latest = self._ground.clock.now() - timedelta(seconds=delay)
        return [r for r in records if datetime.fromisoformat(r["created_at"]) <= latest]

    async def _search(self, request: web.Request) -> web.Response:
        search = Search(request.query.get("query", ""))
        found = []
        for ticket in self._indexed(self._in_order()):
            if search.finds("ticket", ticket, self._users[str(ticket["requester_id"])]):
                found.append({**shown_ticket(ticket, self._base), "result_type": "ticket"})
        for user in self._indexed(list(self._users.values())):
            if search.finds("user", user):
                found.append({**shown_user(user, self._base), "result_type": "user"})
        return self._page(request, "results", found)

    def _page(self, request: web.Request, name: str, records: list[Row]) -> web.Response:
        """Offset pagination: `page` from 1, `per_page` up to 100."""
        try:
            page = max(int(request.query.get("page", "1")), 1)
            size = min(max(int(request.query.get("per_page", "100")), 1), 100)
        except ValueError:
            raise bad_attribute("page", "an integer") from None
        shown = records[(page - 1) * size : page * size]

        def link(number: int) -> str:
            return f"{self._base}{request.rel_url.update_query(page=str(number))}"

        return web.json_response(
            {
                name: shown,
                "count": len(records),
                "next_page": link(page + 1) if page * size < len(records) else None,
                "previous_page": link(page - 1) if page > 1 else None,
            }
        )


async def _json(request: web.Request) -> Any:
    try:
        return await request.json()
    except ValueError:
        message = "Server could not parse JSON"
        raise Refused(422, {"error": "Unprocessable Entity", "message": message}) from None

"""Zendesk's users and tickets: what may be set, how they are shown, how searches read."""

import re
import shlex
from typing import Any

from emulators.vendors.table import Row

PRIORITIES = ("urgent", "high", "normal", "low")
STATUSES = ("new", "open", "pending", "hold", "solved", "closed")
TYPES = ("problem", "incident", "question", "task")
_ROLES = ("end-user", "agent", "admin")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

Given = dict[str, Any]


class Refused(Exception):
    """An answer of 4xx with its documented body."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


def invalid(field: str, description: str, error: str = "InvalidValue") -> Refused:
    """422 `RecordInvalid`, which names the field."""
    details = {field: [{"description": description, "error": error}]}
    description = "Record validation errors"
    body = {"error": "RecordInvalid", "description": description, "details": details}
    return Refused(422, body)


def not_found() -> Refused:
    return Refused(404, {"error": "RecordNotFound", "description": "Not found"})


def bad_attribute(name: str, kind: str) -> Refused:
    """400 for an attribute of the wrong JSON type."""
    message = f"You passed an invalid value for the {name} attribute. It must be {kind}"
    return Refused(400, {"error": {"title": "Invalid attribute", "message": message}})


def wrapped(body: Any, name: str) -> Given:
    """The object under `name`, as every write wraps its record."""
    given = body.get(name) if isinstance(body, dict) else None
    if not isinstance(given, dict):
        raise bad_attribute(name, "an object")
    return given


_TEXT = (str, "a string")
_WHOLE = (int, "an integer")
_LIST = (list, "an array")
_OBJECT = (dict, "an object")
_TICKET = {
    "subject": _TEXT,
    "description": _TEXT,
    "external_id": _TEXT,
    "priority": _TEXT,
    "status": _TEXT,
    "type": _TEXT,
    "assignee_id": _WHOLE,
    "group_id": _WHOLE,
    "requester_id": _WHOLE,
    "tags": _LIST,
    "custom_fields": _LIST,
    "comment": _OBJECT,
    "requester": _OBJECT,
}
_USER = {
    "name": _TEXT,
    "email": _TEXT,
    "external_id": _TEXT,
    "phone": _TEXT,
    "role": _TEXT,
    "locale": _TEXT,
    "time_zone": _TEXT,
    "notes": _TEXT,
    "details": _TEXT,
    "verified": (bool, "a boolean"),
    "tags": _LIST,
    "user_fields": _OBJECT,
}
_CHOICES = {"priority": PRIORITIES, "status": STATUSES, "type": TYPES, "role": _ROLES}


def _checked(given: Given, allowed: dict[str, tuple[type, str]]) -> Given:
    """The known attributes of the right type and value; others are passed over, as Zendesk does."""
    for name, (kind, words) in allowed.items():
        value = given.get(name)
        wrong = isinstance(value, bool) and kind is not bool
        if value is not None and (wrong or not isinstance(value, kind)):
            raise bad_attribute(name, words)
        if value is not None and name in _CHOICES and value not in _CHOICES[name]:
            raise invalid(name, f"{name.capitalize()}: {value} is not valid")
    return {name: given[name] for name in allowed if name in given}


def checked_ticket(given: Given) -> Given:
    comment = given.get("comment")
    if isinstance(comment, dict) and not comment_text(comment):
        raise invalid("base", "Description: cannot be blank", "BlankValue")
    return _checked(given, _TICKET)


def checked_user(given: Given) -> Given:
    kept = _checked(given, _USER)
    email = kept.get("email")
    if email is not None:
        if not _EMAIL.fullmatch(email):
            raise invalid("email", f"Email: {email} is not properly formatted", "InvalidValue")
        kept["email"] = email.lower()
    if "name" in kept and not kept["name"]:
        raise invalid("name", "Name: is too short (minimum is one character)", "BlankValue")
    return kept


def comment_text(comment: Given) -> str:
    """`body`, or what `html_body` says without its marks."""
    body = comment.get("body") or re.sub(r"<[^>]+>", "", str(comment.get("html_body") or ""))
    return str(body).strip()


def new_user(number: int, given: Given, now: str) -> Row:
    blank: Row = {
        "name": "",
        "email": None,
        "external_id": None,
        "phone": None,
        "role": "end-user",
        "locale": "en-US",
        "time_zone": "Etc/UTC",
        "notes": "",
        "details": "",
        "verified": False,
        "tags": [],
        "user_fields": {},
    }
    fixed = {"id": number, "created_at": now, "updated_at": now, "active": True, "suspended": False}
    return blank | given | fixed


def new_ticket(number: int, given: Given, now: str) -> Row:
    blank: Row = {
        "subject": "",
        "external_id": None,
        "priority": None,
        "status": "new",
        "type": None,
        "assignee_id": None,
        "group_id": None,
        "tags": [],
        "custom_fields": [],
    }
    kept = {name: value for name, value in given.items() if name in blank and value is not None}
    fixed = {"id": number, "created_at": now, "updated_at": now, "is_public": True, "comments": []}
    return blank | kept | fixed | {"via": {"channel": "api"}}


def shown_ticket(ticket: Row, base: str) -> Row:
    """A ticket as the API answers it; comments have their own resource."""
    shown = {name: value for name, value in ticket.items() if name != "comments"}
    first = ticket["comments"][0]["body"] if ticket["comments"] else ""
    url = f"{base}/api/v2/tickets/{ticket['id']}.json"
    subject = ticket["subject"]
    return {"url": url, **shown, "raw_subject": subject, "description": first}


def shown_user(user: Row, base: str) -> Row:
    return {"url": f"{base}/api/v2/users/{user['id']}.json", **user}


class Search:
    """A search by properties (`type:ticket external_id:abc status<solved`) and free words.

    Understood: type, external_id, status (with `:` `<` `>`, by its place in a ticket's life),
    priority, tags, email, requester (an e-mail address), subject and name. All must hold.
    """

    def __init__(self, query: str) -> None:
        try:
            words = shlex.split(query)
        except ValueError:
            words = query.split()
        terms = [re.fullmatch(r"(\w+)([:<>])(.*)", word) for word in words]
        self._terms = [term.groups() for term in terms if term]
        self._words = [word.lower() for word, term in zip(words, terms, strict=True) if not term]

    def finds(self, kind: str, record: Row, requester: Row | None = None) -> bool:
        texts = [record.get("subject"), record.get("name"), record.get("email")]
        texts += [comment["body"] for comment in record.get("comments", [])]
        text = " ".join(filter(None, texts)).lower()
        return all(word in text for word in self._words) and all(
            _holds(kind, record, requester, *term) for term in self._terms
        )


def _holds(kind: str, record: Row, requester: Row | None, name: str, sign: str, want: str) -> bool:
    if name == "type":
        return want in (kind, record.get("type"))
    if name == "requester":
        return requester is not None and requester["email"] == want.lower()
    if name == "tags":
        return want in record["tags"]
    have = record.get(name)
    if name == "status" and want in STATUSES and have in STATUSES:
        places = STATUSES.index(str(have)), STATUSES.index(want)
        return {":": places[0] == places[1], "<": places[0] < places[1]}.get(
            sign, places[0] > places[1]
        )
    return have is not None and str(have).lower() == want.lower()

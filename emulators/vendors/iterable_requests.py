"""Iterable's requests, its error answers, and the types it remembers of data fields."""

import re
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from emulators.journal import Journal
from emulators.vendors.table import Table

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}:\d{2}(\.\d+)?( ?(Z|[+-]\d{2}:?\d{2}))?)?")

Data = dict[str, Any]


class Refused(Exception):
    """An answer other than 200, in the documented body `{"msg", "code", "params"}`."""

    def __init__(self, code: str, msg: str, params: Data | None = None, status: int = 400) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg
        self.params = params
        self.status = status

    def body(self) -> Data:
        return {"msg": self.msg, "code": self.code, "params": self.params}


class _Request(BaseModel):
    # Iterable passes over names it does not know; refusing them finds misspelt ones.
    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel)


class Person(_Request):
    """Who is meant: an e-mail address or a user id, by which a hybrid project knows people."""

    email: str | None = None
    user_id: str | None = None

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if not self.email and not self.user_id:
            raise ValueError("either email or userId is needed")
        return self


class UpdateUser(Person):
    data_fields: Data = Field(default_factory=dict)
    merge_nested_objects: bool = False
    create_new_fields: bool = True
    prefer_user_id: bool = False


class UpdateSubscriptions(Person):
    """Overwrites each list that is given."""

    email_list_ids: list[int] | None = None
    subscribed_message_type_ids: list[int] | None = None
    unsubscribed_channel_ids: list[int] | None = None
    unsubscribed_message_type_ids: list[int] | None = None
    campaign_id: int | None = None
    template_id: int | None = None
    validate_channel_alignment: bool = True


class Track(Person):
    event_name: str = Field(min_length=1)
    id: str | None = Field(default=None, min_length=1, max_length=512)
    created_at: int | None = None  # Unix seconds
    data_fields: Data = Field(default_factory=dict)
    campaign_id: int | None = None
    template_id: int | None = None
    create_new_fields: bool = True


class Item(_Request):
    id: str
    name: str
    price: float
    quantity: int
    sku: str | None = None
    description: str | None = None
    categories: list[str] | None = None
    image_url: str | None = None
    url: str | None = None
    data_fields: Data | None = None


class TrackPurchase(_Request):
    user: UpdateUser
    items: list[Item]
    total: float
    id: str | None = Field(default=None, min_length=1, max_length=512)
    created_at: int | None = None  # Unix seconds
    data_fields: Data = Field(default_factory=dict)
    campaign_id: int | None = None
    template_id: int | None = None


class TriggerWorkflow(Person):
    workflow_id: int
    data_fields: Data = Field(default_factory=dict)


class TargetEmail(_Request):
    campaign_id: int
    recipient_email: str | None = None
    recipient_user_id: str | None = None
    data_fields: Data = Field(default_factory=dict)
    metadata: Data = Field(default_factory=dict)
    send_at: str | None = None  # YYYY-MM-DD HH:MM:SS, UTC
    allow_repeat_marketing_sends: bool = True

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if bool(self.recipient_email) == bool(self.recipient_user_id):
            raise ValueError("either recipientEmail or recipientUserId is needed")
        return self


R = TypeVar("R", bound=_Request)


def parsed(model: type[R], body: Any) -> R:
    """The request in `body`; raises `Refused` as BadParams, naming each field that is wrong."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        wrong = {".".join(map(str, e["loc"])) or "body": e["msg"] for e in error.errors()}
        raise Refused("BadParams", "Invalid parameters", wrong) from None


def check_person(email: str | None, user_id: str | None) -> None:
    if email and not _EMAIL.fullmatch(email):
        raise Refused("InvalidEmailAddressError", f"Invalid email: {email}")
    if user_id and len(user_id) > 52:
        raise Refused("InvalidUserIdError", "A userId has at most 52 characters")


class FieldTypes:
    """The type each data field had when it first came; a later value must be of that type.

    `scope` is `user`, `purchase`, or an event's name: events of one name share their fields.
    """

    def __init__(self, journal: Journal) -> None:
        self._types = Table(journal, "fields")

    def admit(self, scope: str, fields: Data, create: bool) -> Data:
        """The fields to keep: all, or without `create` those already known.

        Raises `Refused` as RequestFieldsTypesMismatched when one came with another type before.
        """
        known = dict(self._types.get(scope, {}))
        kept, wrong = {}, {}
        for name, value in fields.items():
            if name not in known and not create:
                continue
            kept[name] = value
            for path, kinds in _kinds(name, value):
                expected = known.setdefault(path, kinds[-1])
                if expected not in kinds:
                    wrong[path if scope == "user" else f"{scope}:::{path}"] = {
                        "incomingTypes": kinds,
                        "expectedType": expected,
                        "_type": "UnexpectedType",
                        "offendingValue": value,
                        "category": scope if scope in ("user", "purchase") else "custom",
                    }
        if wrong:
            names = ", ".join(wrong)
            raise Refused(
                "RequestFieldsTypesMismatched",
                f"Project 1: data types differ from those submitted before: {names}",
                {"validationErrors": wrong},
            )
        if known != self._types.get(scope):
            self._types.save(scope, known)
        return kept


def _kinds(name: str, value: Any) -> list[tuple[str, list[str]]]:
    """Path and possible types of a value and all it holds, the likeliest type last."""
    if isinstance(value, dict):
        inner = [pair for key, part in value.items() for pair in _kinds(f"{name}.{key}", part)]
        return [(name, ["object"]), *inner]
    if isinstance(value, list):
        return [pair for part in value for pair in _kinds(name, part)]
    if isinstance(value, bool):
        return [(name, ["boolean"])]
    if isinstance(value, int | float):
        return [(name, ["double", "long"] if isinstance(value, int) else ["long", "double"])]
    if isinstance(value, str):
        kinds = ["string", "keyword"]
        return [(name, ["keyword", "string", "date"] if _DATE.fullmatch(value) else kinds[::-1])]
    return []

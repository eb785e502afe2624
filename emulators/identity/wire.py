"""Requests and refusals of Identity Toolkit's REST API, as its reference documents them."""

import json
from typing import Any

from aiohttp import web


class Refused(Exception):
    """A refusal in the documented body: `{"error": {"code", "message", "errors"}}`.

    `message` is the API's code, followed by ` : detail` where there is one.
    """

    def __init__(self, message: str, code: int = 400, status: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status

    def response(self) -> web.Response:
        item = {"message": self.message, "domain": "global", "reason": "invalid"}
        error: dict[str, Any] = {"code": self.code, "message": self.message, "errors": [item]}
        if self.status:
            error["status"] = self.status
        return web.json_response({"error": error}, status=self.code)


class Body:
    """A request's JSON object, read field by field with the type the API documents."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    @classmethod
    async def of(cls, request: web.Request) -> "Body":
        text = await request.text()
        try:
            fields = json.loads(text) if text else {}
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            raise Refused("Invalid JSON payload received.", status="INVALID_ARGUMENT")
        return cls(fields)

    def has(self, name: str) -> bool:
        return self._fields.get(name) is not None

    def text(self, name: str) -> str:
        """The string of this name, '' when absent."""
        value = self._fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise _wrong_type(name, "TYPE_STRING")
        return value

    def flag(self, name: str) -> bool:
        value = self._fields.get(name, False)
        if not isinstance(value, bool):
            raise _wrong_type(name, "TYPE_BOOL")
        return value

    def whole(self, name: str, default: int = 0) -> int:
        """An int64, which the API's JSON writes as a string or a number."""
        value = self._fields.get(name, default)
        try:
            if isinstance(value, bool):
                raise ValueError
            return int(value)
        except (TypeError, ValueError):
            raise _wrong_type(name, "TYPE_INT64") from None

    def texts(self, name: str) -> list[str]:
        """Repeated strings; a single one counts as a list, as in the API's JSON mapping."""
        value = self._fields.get(name) or []
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) for item in values):
            raise _wrong_type(name, "TYPE_STRING")
        return values

    def objects(self, name: str) -> list["Body"]:
        value = self._fields.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise _wrong_type(name, "TYPE_MESSAGE")
        return [Body(item) for item in value]


def _wrong_type(name: str, kind: str) -> Refused:
    return Refused(f"Invalid value at '{name}' ({kind})", status="INVALID_ARGUMENT")

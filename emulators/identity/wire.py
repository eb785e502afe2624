"""Requests and refusals of Identity Toolkit's REST API, as its reference documents them."""

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

    def required(self, name: str, missing: str) -> str:
        """The string of this name; refuses with the code `missing` when there is none."""
        if not (value := self.text(name)):
            raise Refused(missing)
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """A value of an enumeration, by name or number; '' when absent or not specified."""
        value = self._fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(choices):
            value = choices[value]
        return "" if value in (None, choices[0]) else Body({name: value}).text(name)

    def flag(self, name: str) -> bool:
        value = self._fields.get(name, False)
        if value in ("true", "false"):  # the JSON mapping of protocol buffers' parsers is lenient
            return bool(value == "true")
        if not isinstance(value, bool):
            raise _wrong_type(name, "TYPE_BOOL")
        return value

    def whole(self, name: str, default: int = 0) -> int:
        """An int64, which the API's JSON writes as a string or a number."""
        value = self._fields.get(name)
        value = default if value is None else value
        try:
            if isinstance(value, bool):
                raise ValueError
            number = int(value)
        except (OverflowError, TypeError, ValueError):
            raise _wrong_type(name, "TYPE_INT64") from None
        if not -(1 << 63) <= number < 1 << 63:
            raise _wrong_type(name, "TYPE_INT64")
        return number

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

    def child(self, name: str) -> "Body":
        """The object of this name, empty when absent."""
        value = self._fields.get(name)
        if value is None:
            return Body({})
        if not isinstance(value, dict):
            raise _wrong_type(name, "TYPE_MESSAGE")
        return Body(value)

    def resource(self) -> dict[str, Any]:
        """The whole object as it came."""
        return self._fields

    def without(self, name: str) -> "Body":
        return Body({key: value for key, value in self._fields.items() if key != name})


def _wrong_type(name: str, kind: str) -> Refused:
    return Refused(f"Invalid value at '{name}' ({kind})", status="INVALID_ARGUMENT")

"""Chargebee's wire form: nested form keys in, error bodies out.

https://apidocs.chargebee.com/docs/api?prod_cat_ver=2 and .../error-handling
"""

import json
import re
from collections.abc import Iterable
from typing import Any

Resource = dict[str, Any]
"""A Chargebee object as its API shows it; keys with a leading underscore are never shown."""

_KEY = re.compile(r"\[([^\]]*)\]")


class ApiError(Exception):
    """An answer other than 2xx in Chargebee's own shape."""

    def __init__(
        self, status: int, code: str, message: str, param: str = "", kind: str = "invalid_request"
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.kind = kind

    def body(self) -> Resource:
        body = {
            "message": f"{self.param} : {self}" if self.param else str(self),
            "type": self.kind,
            "api_error_code": self.code,
            "error_code": self.code,
            "error_msg": str(self),
            "http_status_code": self.status,
        }
        if self.param:
            body["param"] = body["error_param"] = self.param
        if self.kind == "payment":
            body["error_cause_id"] = "gateway.general.decline"
        return body


def wrong(param: str, message: str = "invalid value") -> ApiError:
    return ApiError(400, "param_wrong_value", message, param)


def blank(param: str) -> ApiError:
    return ApiError(400, "param_should_not_be_blank", "cannot be blank", param)


def not_found(kind: str, id_: str) -> ApiError:
    return ApiError(404, "resource_not_found", f"{kind} {id_} not found")


def bad_state(message: str, code: str = "invalid_state_for_request") -> ApiError:
    return ApiError(409, code, message)


def nest(pairs: Iterable[tuple[str, str]]) -> Resource:
    """`a[b]=1` gives {"a": {"b": "1"}}, `a[b][0]=1` {"a": [{"b": "1"}]}, `a[0]=1` {"a": ["1"]}."""
    form: Resource = {}
    for name, value in pairs:
        base, *parts = [name.split("[", 1)[0], *_KEY.findall(name)]
        if not parts:
            form[base] = value
        elif parts[-1].isdigit():
            row = form.setdefault(base, {})
            if not isinstance(row, dict):
                raise wrong(base)
            at = int(parts[-1])
            if len(parts) == 1:
                row[at] = value
            else:
                row.setdefault(at, {})[parts[0]] = value
        else:
            inner = form.setdefault(base, {})
            if not isinstance(inner, dict):
                raise wrong(base)
            inner[parts[0]] = value
    for base, value in form.items():
        if isinstance(value, dict) and value and all(isinstance(key, int) for key in value):
            form[base] = [value[at] for at in sorted(value)]
    return form


def text(form: Resource, name: str) -> str:
    """A plain value, blank when absent."""
    value = form.get(name, "")
    if not isinstance(value, str):
        raise wrong(name)
    return value


def integer(form: Resource, name: str) -> int | None:
    """A whole number that is not negative, or None when absent or blank."""
    given = text(form, name)
    if given and not given.isdecimal():
        raise wrong(name, "should be a whole number")
    return int(given) if given else None


def flag(form: Resource, name: str) -> bool | None:
    given = text(form, name)
    if given not in ("", "true", "false"):
        raise wrong(name, "should be true or false")
    return given == "true" if given else None


def choice(form: Resource, name: str, allowed: tuple[str, ...]) -> str | None:
    given = text(form, name)
    if given and given not in allowed:
        raise wrong(name, f"allowed are {', '.join(allowed)}")
    return given or None


def copy_fields(form: Resource, into: Resource, names: Iterable[str]) -> bool:
    """Take plain, `cf_*` and `meta_data` fields over; a blank one is removed. True if any changed.

    `meta_data` comes as a JSON text: https://apidocs.chargebee.com/docs/api/advanced-features
    """
    before = dict(into)
    wanted = {*names, *(name for name in form if name.startswith("cf_"))}
    for name in wanted & form.keys():
        if form[name] == "":
            into.pop(name, None)
        else:
            into[name] = form[name]
    if "meta_data" in form:
        try:
            data = json.loads(form["meta_data"] or "{}")
        except (TypeError, ValueError):
            raise wrong("meta_data", "should be a JSON object") from None
        if not isinstance(data, dict):
            raise wrong("meta_data", "should be a JSON object")
        into["meta_data"] = data
    return into != before


def shown(resource: Resource) -> Resource:
    """What the API shows of a resource."""
    return {name: value for name, value in resource.items() if name[0] != "_"}

"""Pages of a listing, as https://google.aip.dev/158 wants them."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from emulators.api.refusals import invalid

T = TypeVar("T")


def page(
    items: Iterable[T], request: Any, most: int, name: Callable[[T], str] = str
) -> tuple[list[T], str]:
    """The items that `request` asks for, `most` of them or fewer, by name, and the next token.

    The token is empty at the end. INVALID_ARGUMENT for a negative page size and for a token that
    was not given for a request which is like this one but for its page.
    """
    if request.page_size < 0:
        raise invalid("The page size must not be negative.")
    scope = _scope(request)
    after = _read_token(request.page_token, scope)
    rest = sorted((item for item in items if name(item) > after), key=name)
    cut = rest[: min(request.page_size or most, most)]
    more = len(rest) > len(cut)
    return cut, _make_token(name(cut[-1]), scope) if more else ""


def _scope(request: Any) -> str:
    rest = type(request)()
    rest.CopyFrom(request)
    rest.ClearField("page_size")
    rest.ClearField("page_token")
    return hashlib.sha256(rest.SerializeToString(deterministic=True)).hexdigest()[:16]


def _make_token(name: str, scope: str) -> str:
    return base64.urlsafe_b64encode(f"{scope}\n{name}".encode()).decode()


def _read_token(token: str, scope: str) -> str:
    if not token:
        return ""
    try:
        made_for, _, name = base64.urlsafe_b64decode(token).decode().partition("\n")
    except (binascii.Error, ValueError):
        raise invalid("The page token is not valid.") from None
    if made_for != scope:
        raise invalid("The page token belongs to another request.")
    return name

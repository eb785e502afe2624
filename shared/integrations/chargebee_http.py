"""Makes Chargebee's SDK (3.29) fit for many calls and long lists.

It makes an HTTP client, a TLS context and a connection for every call: about 30 ms of CPU, and a
handshake on top in the cloud. It reads the type hints of its classes anew for every object: four
fifths of the time a list takes, and half of the rest goes into objects that nobody looks at. All go
through one name of a module each; these are replaced.
"""

import atexit
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from typing import Any, get_type_hints

import httpx

from shared.integrations.vendor_call import HOOKS

_raw: ContextVar[bool] = ContextVar("raw", default=False)
_LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=20, keepalive_expiry=30)


@cache
def lend_client() -> httpx.Client:
    """Let every call of the SDK in this process use one pooled client; answers that client."""
    from chargebee import http_request, model, responses

    client = httpx.Client(limits=_LIMITS, event_hooks=HOOKS)
    atexit.register(client.close)

    def make_request(arguments: dict[str, Any]) -> Any:
        arguments.pop("verify", None)
        response = client.request(**arguments)
        return http_request._handle_response(arguments, response)

    http_request._make_request = make_request
    model.get_type_hints = responses.get_type_hints = cache(get_type_hints)
    parse = responses.Response.parse
    responses.Response.parse = lambda answer: answer if _raw.get() else parse(answer)
    return client


def raw_page(ask: Callable[[], Any], kind: str) -> tuple[list[dict[str, Any]], str | None]:
    """The objects of a `kind` in the answer to a list call, as they came, and where to go on."""
    before = _raw.set(True)
    try:
        answer = ask()
    finally:
        _raw.reset(before)
    return [row[kind] for row in answer._response], answer._next_offset

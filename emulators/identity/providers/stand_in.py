"""A page that stands in for identity providers: whoever comes says who they want to be.

`accounts:createAuthUri` sends browsers here; the page sends them on to `continueUri` with a signed
token in the fragment, as OAuth's implicit flow does.
"""

import hashlib
from html import escape
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from emulators.identity.accounts.account import checked_email
from emulators.identity.directory import Directory
from emulators.identity.providers.issuers import Issuers
from emulators.identity.routing import Access, Call, Route
from emulators.identity.wire import Refused

PATH = "/emulator/idp"
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in with {provider}</title>
<style>body {{ font: 16px/1.5 sans-serif; margin: 4rem auto; max-width: 30rem; padding: 0 1rem }}
label {{ display: block; margin: .5rem 0 }}</style></head>
<body><main><h1>Sign in with {provider}</h1>
<p>This stands in for the provider. Any address will do.</p>
<form method="post" action="{path}">{hidden}
<label>E-mail <input type="email" name="email" required></label>
<label>Name <input name="name"></label>
<button>Sign in</button></form></main></body></html>
"""
_HIDDEN = ("providerId", "continueUri", "project", "tenantId", "state")


def routes(directory: Directory) -> list[Route]:
    """The page, and what its form sends."""
    issuers = Issuers(directory)

    def show(call: Call) -> web.Response:
        _target(call.query.text("continueUri"))
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{escape(call.query.text(name))}">'
            for name in _HIDDEN
            if call.query.has(name)
        )
        provider = escape(call.query.text("providerId"))
        text = _PAGE.format(provider=provider, path=PATH, hidden=hidden)
        return web.Response(text=text, content_type="text/html")

    def sign_in(call: Call) -> web.Response:
        body = call.body
        provider_id = body.required("providerId", "MISSING_PROVIDER_ID")
        email = checked_email(body.required("email", "MISSING_EMAIL"))
        claims = {
            "sub": hashlib.sha256(f"{provider_id}/{email}".encode()).hexdigest()[:24],
            "email": email,
            "email_verified": True,
            "name": body.text("name"),
        }
        silo = directory.silo(body.text("project") or call.silo.project, body.text("tenantId"))
        answer = {
            "providerId": provider_id,
            "id_token": issuers.signed(silo, provider_id, claims),
            "state": body.text("state"),
        }
        target = f"{_target(body.text('continueUri'))}#{urlencode(answer)}"
        return web.Response(status=303, headers={"Location": target})

    return [
        Route("GET", PATH, show, Access.OPEN),
        Route("POST", PATH, sign_in, Access.OPEN),
    ]


def _target(address: str) -> str:
    """Where to go on to, without a fragment; raises `Refused` unless it is a web address."""
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise Refused("INVALID_CONTINUE_URI")
    return parts._replace(fragment="").geturl()

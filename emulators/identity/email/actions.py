"""Where the links of e-mails lead: `/emulator/action`, as a page for people or JSON for programs.

In the cloud this is the project's own page or Firebase's (`/__/auth/action`); the parameters are
the same: `mode`, `oobCode`, `apiKey`, `continueUrl`, `lang`, `tenantId`.
Source: https://firebase.google.com/docs/auth/custom-email-handler
"""

from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aiohttp import web

from emulators.identity.directory import Directory
from emulators.identity.email import redeeming
from emulators.identity.email.codes import MODES
from emulators.identity.routing import Access, Call, Route
from emulators.identity.wire import Refused

PATH = "/emulator/action"
_DONE = {
    "VERIFY_EMAIL": "The email has been successfully verified.",
    "VERIFY_AND_CHANGE_EMAIL": "The email has been successfully changed.",
    "RECOVER_EMAIL": "The email has been successfully reset.",
    "PASSWORD_RESET": "The password has been successfully updated.",
}
_REQUESTS = {mode: request for request, mode in MODES.items()}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ font: 16px/1.5 sans-serif; margin: 4rem auto; max-width: 30rem; padding: 0 1rem }}
input, button {{ font: inherit; padding: .4rem .6rem }}</style></head>
<body><main><h1>{title}</h1>{content}</main></body>
</html>
"""
_FORM = """<p>For {email}</p>
<form method="get" action="{path}">{hidden}
<label>New password <input type="password" name="newPassword" minlength="6" required
autocomplete="new-password"></label> <button>Save</button></form>"""


def routes(directory: Directory) -> list[Route]:
    """The page that every link leads to."""
    return [Route("GET", PATH, Actions(directory).act, Access.OPEN)]


class Actions:
    """Does what a link asks for, as soon as it is followed."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def act(self, call: Call) -> web.Response:
        query = call.query
        for name in ("apiKey", "oobCode"):
            if not query.text(name):
                return _told(call, {"error": f"missing {name} query parameter"}, 400)
        request = _REQUESTS.get(query.text("mode"))
        if request is None:
            return _told(call, {"error": "Invalid mode"}, 400)
        if request == "EMAIL_SIGNIN":
            return self._sign_in(call)
        try:
            if request == "PASSWORD_RESET":
                return self._reset(call)
            return self._apply(call, request)
        except Refused as refused:
            over = refused.message in ("INVALID_OOB_CODE", "EXPIRED_OOB_CODE")
            message = "The link has expired or was used before." if over else refused.message
            return _told(call, {"error": message, "code": refused.message}, 400)

    def _apply(self, call: Call, request: str) -> web.Response:
        code = self._directory.codes.find(call.query.text("oobCode"), request)
        silo = self._directory.silo(code.project, code.tenant)
        account, _ = redeeming.apply(self._directory, silo, code.code)
        name = "newEmail" if code.new_email else "email"
        return _done(call, {"success": _DONE[request], name: account.email})

    def _reset(self, call: Call) -> web.Response:
        code = self._directory.codes.find(call.query.text("oobCode"), "PASSWORD_RESET")
        if not (password := call.query.text("newPassword")):
            needed = {
                "error": "missing newPassword query parameter",
                "instructions": f"Add it to the link to reset the password of {code.email}.",
                "urlTemplate": f"{code.link}&newPassword=NEW_PASSWORD_HERE",
            }
            if not _by_browser(call):
                return _told(call, needed, 400)
            hidden = "".join(
                f'<input type="hidden" name="{escape(name)}" value="{escape(str(value))}">'
                for name, value in call.query.resource().items()
            )
            form = _FORM.format(email=escape(code.email), path=PATH, hidden=hidden)
            return _page("Choose a new password", form, 200)
        silo = self._directory.silo(code.project, code.tenant)
        account = redeeming.reset(self._directory, silo, code, password)
        return _done(call, {"success": _DONE["PASSWORD_RESET"], "email": account.email})

    def _sign_in(self, call: Call) -> web.Response:
        """Hand the code on to the application, which asks for the address and signs in."""
        if not (address := call.query.text("continueUrl")):
            return _told(call, {"error": "Missing continueUrl query parameter"}, 400)
        return _redirect(address, call.query.without("continueUrl").resource())


def _done(call: Call, told: dict[str, Any]) -> web.Response:
    address = call.query.text("continueUrl")
    return _redirect(address, {}) if address else _told(call, told, 200)


def _redirect(address: str, query: dict[str, Any]) -> web.Response:
    try:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https"):
            raise ValueError(address)
    except ValueError:
        raise Refused("INVALID_CONTINUE_URI") from None
    pairs = dict(parse_qsl(parts.query, keep_blank_values=True)) | query
    target = urlunsplit(parts._replace(query=urlencode(pairs)))
    return web.Response(status=303, headers={"Location": target})


def _told(call: Call, told: dict[str, Any], status: int) -> web.Response:
    if not _by_browser(call):
        return web.json_response({"authEmulator": told}, status=status)
    title = told.get("success") or "This did not work"
    lines = [value for name, value in told.items() if name != "success"]
    content = "".join(f"<p>{escape(str(line))}</p>" for line in lines)
    return _page(title, content, status)


def _page(title: str, content: str, status: int) -> web.Response:
    text = _PAGE.format(title=escape(title), content=content)
    return web.Response(text=text, content_type="text/html", status=status)


def _by_browser(call: Call) -> bool:
    return "text/html" in call.accepts

"""`accounts:sendOobCode`: links by e-mail, which lie in the in-box, or are told administrators."""

from typing import Any
from urllib.parse import urlencode, urlsplit

from emulators.identity.accounts.account import checked_email
from emulators.identity.accounts.people import active
from emulators.identity.directory import Directory
from emulators.identity.email.codes import MODES, OobCode
from emulators.identity.routing import (
    EMULATOR,
    Access,
    Call,
    Route,
    for_admins,
    for_people,
)
from emulators.identity.silo import Silo
from emulators.identity.wire import Refused

_SUBJECTS = {
    "PASSWORD_RESET": "Reset your password",
    "EMAIL_SIGNIN": "Sign in",
    "VERIFY_EMAIL": "Verify your e-mail address",
    "VERIFY_AND_CHANGE_EMAIL": "Verify your new e-mail address",
    "RECOVER_EMAIL": "Your sign-in e-mail address was changed",
}
_REQUESTS = (  # in the order of their numbers
    "OOB_REQ_TYPE_UNSPECIFIED",
    "PASSWORD_RESET",
    "OLD_EMAIL_AGREE",
    "NEW_EMAIL_ACCEPT",
    "VERIFY_EMAIL",
    "RECOVER_EMAIL",
    "EMAIL_SIGNIN",
    "VERIFY_AND_CHANGE_EMAIL",
    "REVERT_SECOND_FACTOR_ADDITION",
)
_FOREIGN_HOST = (
    "INVALID_HOSTING_LINK_DOMAIN : The provided hosting link domain is not configured in Firebase "
    "Hosting or is not owned by the current project. This cannot be a default hosting domain "
    "(web.app or firebaseapp.com)."
)
_KIND = {"kind": "identitytoolkit#GetOobConfirmationCodeResponse"}


def routes(directory: Directory) -> list[Route]:
    """`accounts:sendOobCode`, and the list of codes that the official emulator offers."""
    mailing = Mailing(directory)
    projects = f"{EMULATOR}/projects/{{project}}"
    return [
        for_people("sendOobCode", mailing.send_code),
        *for_admins("/accounts:sendOobCode", mailing.send_code),
        *(
            Route("GET", f"{place}/oobCodes", mailing.codes, Access.OPEN)
            for place in (projects, projects + "/tenants/{tenant}")
        ),
    ]


class Mailing:
    """Makes codes and "sends" their links."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def send_code(self, call: Call) -> dict[str, Any]:
        """With e-mail enumeration protection nobody learns whether an address is known."""
        active(call)
        body = call.body
        request = body.choice("requestType", _REQUESTS)
        if not request:
            raise Refused("MISSING_REQ_TYPE")
        if request not in _FINDERS:
            raise Refused("INVALID_REQ_TYPE")
        if body.flag("returnOobLink") and not call.owner:
            raise Refused("INSUFFICIENT_PERMISSION")
        self._check_continuation(call)
        email, new_email = _FINDERS[request](self._directory, call)
        if not email:  # nothing can be sent, and nobody is to know
            return _KIND | ({"email": body.text("email").lower()} if body.has("email") else {})
        code = make_code(self._directory, call, request, email, new_email)
        if body.flag("returnOobLink"):
            return _KIND | {"email": email, "oobCode": code.code, "oobLink": code.link}
        mail(self._directory, call.silo, code)
        return _KIND | {"email": email}

    def codes(self, call: Call) -> dict[str, Any]:
        found = self._directory.codes.of(call.silo)
        return {"oobCodes": [code.described() for code in found]}

    def _check_continuation(self, call: Call) -> None:
        """The address to go on to is absolute and, once the project names domains, on one; the
        domain for links into apps is one of those as well.
        """
        domains = self._directory.configuration.own_domains(call.silo.project)
        link_domain = call.body.text("linkDomain")
        if link_domain and link_domain not in domains:
            raise Refused(_FOREIGN_HOST)
        if not (address := call.body.text("continueUrl")):
            return
        try:
            parts = urlsplit(address)
            host = parts.hostname
        except ValueError:
            host = None
        if not host or not parts.scheme:
            raise Refused("INVALID_CONTINUE_URI")
        if domains and not any(host == d or host.endswith(f".{d}") for d in domains):
            raise Refused("UNAUTHORIZED_DOMAIN : DOMAIN_NOT_WHITELISTED")


def make_code(
    directory: Directory, call: Call, request: str, email: str, new_email: str = ""
) -> OobCode:
    """A code whose link leads to our own page (`/emulator/action`)."""
    query = {"mode": MODES[request], "lang": "en"}
    rest = {"apiKey": call.query.text("key") or "fake-api-key"}
    if address := call.body.text("continueUrl"):
        rest["continueUrl"] = address
    if call.silo.tenant:
        rest["tenantId"] = call.silo.tenant
    ending = urlencode(rest).replace("{", "%7B").replace("}", "%7D")
    link = f"{call.origin}/emulator/action?{urlencode(query)}&oobCode={{code}}&{ending}"
    return directory.codes.issue(call.silo, request, email, new_email, link)


def mail(directory: Directory, silo: Silo, code: OobCode) -> None:
    """Put what would have been sent into the in-box."""
    message = {
        "kind": "email",
        "to": code.new_email or code.email,
        "subject": _SUBJECTS[code.request],
        "text": f"{_SUBJECTS[code.request]}: {code.link}",
        **code.described(),
    }
    directory.send(silo, message)
    directory.ground.agenda.touch()


def _for_sign_in(_: Directory, call: Call) -> tuple[str, str]:
    if not call.silo.settings.email_links:
        raise Refused("OPERATION_NOT_ALLOWED")
    return checked_email(call.body.required("email", "MISSING_EMAIL")), ""


def _for_reset(_: Directory, call: Call) -> tuple[str, str]:
    email = checked_email(call.body.required("email", "MISSING_EMAIL"))
    if call.silo.accounts.by_email(email) is not None:
        return email, ""
    if call.silo.settings.email_privacy:
        return "", ""
    raise Refused("EMAIL_NOT_FOUND")


def _for_verification(directory: Directory, call: Call) -> tuple[str, str]:
    """The address of the account that an ID token attests, or for an administrator's link any."""
    if call.body.flag("returnOobLink") and not call.body.has("idToken"):
        email = checked_email(call.body.required("email", "MISSING_EMAIL"))
        if call.silo.accounts.by_email(email) is None:
            raise Refused("USER_NOT_FOUND")
        return email, ""
    missing = "INVALID_ID_TOKEN" if not call.body.has("newEmail") else "MISSING_ID_TOKEN"
    token = call.body.required("idToken", missing)
    account, _ = directory.account_of(call.silo, token)
    if not account.email:
        raise Refused("MISSING_EMAIL")
    return account.email, ""


def _for_change(directory: Directory, call: Call) -> tuple[str, str]:
    new_email = checked_email(call.body.required("newEmail", "MISSING_NEW_EMAIL"))
    email, _ = _for_verification(directory, call)
    if call.silo.accounts.by_email(new_email) is None:
        return email, new_email
    if call.silo.settings.email_privacy and not call.body.flag("returnOobLink"):
        return "", new_email
    raise Refused("EMAIL_EXISTS")


_FINDERS = {
    "EMAIL_SIGNIN": _for_sign_in,
    "PASSWORD_RESET": _for_reset,
    "VERIFY_EMAIL": _for_verification,
    "VERIFY_AND_CHANGE_EMAIL": _for_change,
}

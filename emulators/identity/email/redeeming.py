"""What a code from an e-mail is good for: a new password, a verified address, a sign-in."""

import secrets
from dataclasses import replace
from typing import Any

from emulators.identity.accounts.account import Account, checked_email
from emulators.identity.accounts.people import active, with_password
from emulators.identity.directory import Directory
from emulators.identity.email.codes import OobCode
from emulators.identity.routing import Call, Route, for_people
from emulators.identity.silo import Silo
from emulators.identity.tokens.sessions import FirstFactor
from emulators.identity.wire import Refused


def routes(directory: Directory) -> list[Route]:
    """`accounts:resetPassword` and `accounts:signInWithEmailLink`."""
    redeeming = Redeeming(directory)
    return [
        for_people("resetPassword", redeeming.reset_password),
        for_people("signInWithEmailLink", redeeming.sign_in),
    ]


class Redeeming:
    """Each method takes a call and answers the response's body."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def reset_password(self, call: Call) -> dict[str, Any]:
        """Set a new password by a code, or by the old one; without a new one, describe the code.

        Whose a sign-in code is stays unsaid: the person has to know the address.
        """
        active(call)
        body = call.body
        if not call.silo.settings.passwords:
            raise Refused("PASSWORD_LOGIN_DISABLED")
        kind = {"kind": "identitytoolkit#ResetPasswordResponse"}
        if body.has("oldPassword") and not body.has("oobCode"):
            return kind | {"email": self._replace_password(call), "requestType": "PASSWORD_RESET"}
        code = self._directory.codes.find(body.required("oobCode", "MISSING_OOB_CODE"))
        need_silo(code, call.silo)
        if body.has("newPassword"):
            reset(self._directory, call.silo, code, body.text("newPassword"))
        shown = {"email": code.email} if code.request != "EMAIL_SIGNIN" else {}
        new = {"newEmail": code.new_email} if code.new_email else {}
        return kind | {"requestType": code.request, **shown, **new}

    def sign_in(self, call: Call) -> dict[str, Any]:
        """Sign in or up by the code of a link, or add the address to the account of `idToken`."""
        active(call)
        if not call.silo.settings.email_links:
            raise Refused("OPERATION_NOT_ALLOWED")
        directory, body, accounts = self._directory, call.body, call.silo.accounts
        account = None
        if body.has("idToken"):
            account, _ = directory.account_of(call.silo, body.text("idToken"))
        email = checked_email(body.required("email", "MISSING_EMAIL"))
        text = body.required("oobCode", "MISSING_OOB_CODE")
        code = directory.codes.find(text, "EMAIL_SIGNIN")
        need_silo(code, call.silo)
        if code.email != email:
            raise Refused(
                "INVALID_EMAIL : The email provided does not match the sign-in email address."
            )
        owner = accounts.by_email(email)
        if account is not None and owner is not None and owner.local_id != account.local_id:
            raise Refused("EMAIL_EXISTS")
        known = account or owner
        person = known or directory.new_account(secrets.token_urlsafe(21))
        if person.disabled:
            raise Refused("USER_DISABLED")
        person = replace(person, email=email, email_verified=True, email_link=True)
        with directory.journal.batch():
            directory.codes.spend(code)
            signed_in = directory.sign_in(call.silo, person, FirstFactor("password"))
        return {
            "kind": "identitytoolkit#EmailLinkSigninResponse",
            "email": email,
            "isNewUser": known is None,
            **signed_in,
        }

    def _replace_password(self, call: Call) -> str:
        email = checked_email(call.body.required("email", "MISSING_EMAIL"))
        account = call.silo.accounts.by_email(email)
        old = call.body.text("oldPassword")
        if account is None or not account.password or not account.password.matches(old):
            hidden = call.silo.settings.email_privacy
            raise Refused("INVALID_LOGIN_CREDENTIALS" if hidden else "INVALID_PASSWORD")
        if account.disabled:
            raise Refused("USER_DISABLED")
        new = call.body.required("newPassword", "MISSING_PASSWORD")
        self._directory.save(call.silo, with_password(self._directory, call.silo, account, new))
        return email


def reset(directory: Directory, silo: Silo, code: OobCode, password: str) -> Account:
    """Set the password by a code, whose reader owns the address.

    Where that was not certain before, other ways to sign in are unlinked, for they may be those of
    somebody who only claimed the address. Raises `Refused`, and the code stays good, when the
    password is too weak.
    """
    code = directory.codes.find(code.code, "PASSWORD_RESET")
    account = with_password(directory, silo, _owner(silo, code), password)
    if not account.email_verified:
        account = replace(account, email_verified=True, providers=[], phone_number="")
    with directory.journal.batch():
        directory.codes.spend(code)
        directory.sessions.revoke(silo, account.local_id)
        return directory.save(silo, account)


def apply(directory: Directory, silo: Silo, text: str) -> tuple[Account, OobCode]:
    """Verify, change or restore an address by a code."""
    codes = directory.codes
    code = codes.find(text, "VERIFY_EMAIL", "VERIFY_AND_CHANGE_EMAIL", "RECOVER_EMAIL")
    need_silo(code, silo)
    account = _owner(silo, code)
    changes: dict[str, Any] = {"email_verified": True}
    if code.request != "VERIFY_EMAIL":
        changes["email"] = code.new_email or code.email
        changes["valid_since"] = int(directory.ground.clock.time())
    codes.spend(code)  # whether the address is still free or not
    account = directory.save(silo, replace(account, **changes))
    if code.request != "VERIFY_EMAIL":
        directory.sessions.revoke(silo, account.local_id)
    return account, code


def need_silo(code: OobCode, silo: Silo) -> None:
    """A code is good only where it was made."""
    if (code.project, code.tenant) != (silo.project, silo.tenant):
        raise Refused("INVALID_OOB_CODE")


def _owner(silo: Silo, code: OobCode) -> Account:
    """The account whose address the code was sent to; the address may not have changed since."""
    recover = code.request == "RECOVER_EMAIL"
    by = silo.accounts.by_initial_email if recover else silo.accounts.by_email
    if (account := by(code.email)) is None:
        raise Refused("INVALID_OOB_CODE")
    if account.disabled:
        raise Refused("USER_DISABLED")
    return account

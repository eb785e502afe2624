"""What an administrator may do: `projects/{project}/accounts*`, as firebase-admin calls it."""

import json
import secrets
from dataclasses import replace
from itertools import islice
from typing import Any

from emulators.clock import micros
from emulators.engine import Ground
from emulators.identity.accounts import (
    Account,
    Accounts,
    checked_claims,
    checked_email,
    checked_phone,
)
from emulators.identity.people import with_profile
from emulators.identity.sessions import Sessions
from emulators.identity.wire import Body, Refused

_LARGEST_PAGE = 1000


class Admin:
    """Each method takes a request's body (or query) and answers the response's body."""

    def __init__(self, ground: Ground, accounts: Accounts, sessions: Sessions) -> None:
        self._ground = ground
        self._accounts = accounts
        self._sessions = sessions

    def create(self, body: Body) -> dict[str, Any]:
        local_id = body.text("localId") or secrets.token_urlsafe(21)
        if self._accounts.by_id(local_id) is not None:
            raise Refused("DUPLICATE_LOCAL_ID")
        now = micros(self._ground.clock.now())
        account = _changed(Account(local_id, now // 1000, now // 1_000_000), body)
        if body.has("disabled"):
            account = replace(account, disabled=body.flag("disabled"))
        self._save(account)
        return {"kind": "identitytoolkit#SignupNewUserResponse", "localId": local_id}

    def lookup(self, body: Body) -> dict[str, Any]:
        """Accounts by ids, e-mail addresses and phone numbers; unknown ones are left out."""
        found = [
            *(self._accounts.by_id(local_id) for local_id in body.texts("localId")),
            *(self._accounts.by_email(email) for email in body.texts("email")),
            *(self._accounts.by_phone(number) for number in body.texts("phoneNumber")),
        ]
        users = {account.local_id: account.described() for account in found if account}
        kind = "identitytoolkit#GetAccountInfoResponse"
        return {"kind": kind, "users": list(users.values())} if users else {"kind": kind}

    def update(self, body: Body) -> dict[str, Any]:
        """Change any field. A new password or address, and disabling, revoke earlier sign-ins."""
        account = self._known(body)
        if body.has("email") or body.has("password"):
            account = replace(account, valid_since=int(self._ground.clock.time()))
        account = with_profile(_changed(account, body), body)
        if body.has("customAttributes"):
            account = replace(
                account, custom_attributes=checked_claims(body.text("customAttributes"))
            )
        if body.has("disableUser"):
            account = replace(account, disabled=body.flag("disableUser"))
        if body.has("validSince"):
            account = replace(account, valid_since=body.whole("validSince"))
        gone = body.texts("deleteProvider")
        if "phone" in gone:
            account = replace(account, phone_number="")
        if "password" in gone:
            account = replace(account, password_hash="", salt="")
        self._save(account)
        return {
            "kind": "identitytoolkit#SetAccountInfoResponse",
            "emailVerified": account.email_verified,
            **account.described(),
        }

    def delete(self, body: Body) -> dict[str, Any]:
        self._remove(self._known(body))
        return {"kind": "identitytoolkit#DeleteAccountResponse"}

    def batch_delete(self, body: Body) -> dict[str, Any]:
        """Delete many; one that is not disabled only with `force`, unknown ids are passed over."""
        errors = []
        for index, local_id in enumerate(body.texts("localIds")):
            account = self._accounts.by_id(local_id)
            if account is None:
                continue
            if not account.disabled and not body.flag("force"):
                message = "NOT_DISABLED : Disable the account before batch deletion."
                errors.append({"index": index, "localId": local_id, "message": message})
                continue
            self._remove(account)
        return {"errors": errors} if errors else {}

    def batch_get(self, query: Body) -> dict[str, Any]:
        """A page of accounts in the order of their ids; the page token is the last id shown."""
        size = min(max(query.whole("maxResults", 20), 1), _LARGEST_PAGE)
        after = query.text("nextPageToken")
        rest = (account for account in self._accounts if account.local_id > after)
        page = list(islice(rest, size))
        answer: dict[str, Any] = {"kind": "identitytoolkit#DownloadAccountResponse"}
        if page:
            answer["users"] = [account.described() for account in page]
        if next(rest, None) is not None:
            answer["nextPageToken"] = page[-1].local_id
        return answer

    def query(self, body: Body) -> dict[str, Any]:
        """Accounts that match all expressions (by `email`, `userId` or `phoneNumber`)."""
        matching = list(self._accounts)
        for expression in body.objects("expression"):
            for name, field in _QUERIED.items():
                if wanted := expression.text(name):
                    matching = [a for a in matching if getattr(a, field) == wanted]
        start, limit = body.whole("offset"), body.whole("limit", 500)
        answer: dict[str, Any] = {"recordsCount": str(len(matching))}
        if not body.has("returnUserInfo") or body.flag("returnUserInfo"):
            answer["userInfo"] = [a.described() for a in matching[start : start + limit]]
        return answer

    def sign_jwt(self, service_account: str, body: Body) -> str:
        """A token with the claims in `payload`, whose issuer must be the account that signs."""
        try:
            claims = json.loads(body.text("payload"))
        except ValueError:
            claims = None
        if not isinstance(claims, dict) or claims.get("iss") != service_account:
            raise Refused("Payload must be the claims of this account.", status="INVALID_ARGUMENT")
        return self._ground.tokens.sign(claims)

    def _known(self, body: Body) -> Account:
        if not (local_id := body.text("localId")):
            raise Refused("MISSING_LOCAL_ID")
        account = self._accounts.by_id(local_id)
        if account is None:
            raise Refused("USER_NOT_FOUND")
        return account

    def _save(self, account: Account) -> None:
        self._accounts.save(account)
        self._ground.agenda.touch()

    def _remove(self, account: Account) -> None:
        self._accounts.delete(account.local_id)
        self._sessions.end(account.local_id)
        self._ground.agenda.touch()


_QUERIED = {"email": "email", "userId": "local_id", "phoneNumber": "phone_number"}


def _changed(account: Account, body: Body) -> Account:
    """The fields that creating and updating share."""
    account = with_profile(account, body)
    if body.has("email"):
        account = replace(account, email=checked_email(body.text("email")))
    if body.has("emailVerified"):
        account = replace(account, email_verified=body.flag("emailVerified"))
    if body.has("phoneNumber"):
        account = replace(account, phone_number=checked_phone(body.text("phoneNumber")))
    if body.has("password"):
        account = account.with_password(body.text("password"))
    return account

"""What a person's own client may do: sign up, sign in, read, change and delete that account."""

import secrets
from dataclasses import replace
from typing import Any

from emulators.clock import micros
from emulators.engine import Ground
from emulators.identity.accounts import Account, Accounts, checked_email
from emulators.identity.sessions import Sessions
from emulators.identity.wire import Body, Refused

_RECENT = 300  # seconds since the sign-in within which credentials may be changed
_ADMIN_ONLY = (
    "customAttributes",
    "disableUser",
    "emailVerified",
    "localId",
    "phoneNumber",
    "validSince",
)


class People:
    """`accounts:*` under an API key. Each method takes a request's body and answers the response's.

    A second factor would come in between a checked password and `Sessions.begin`.
    """

    def __init__(self, ground: Ground, accounts: Accounts, sessions: Sessions) -> None:
        self._ground = ground
        self._accounts = accounts
        self._sessions = sessions

    def sign_up(self, body: Body) -> dict[str, Any]:
        """A new account by e-mail address and password, or an anonymous one without either."""
        if body.has("localId"):
            raise Refused("UNEXPECTED_PARAMETER : User ID")
        now = micros(self._ground.clock.now())
        account = Account(
            local_id=secrets.token_urlsafe(21),
            created_at=now // 1000,
            valid_since=now // 1_000_000,
            display_name=body.text("displayName"),
            photo_url=body.text("photoUrl"),
        )
        anonymous = not body.has("email") and not body.has("password")
        if not anonymous:
            email = _required(body, "email", "MISSING_EMAIL")
            password = _required(body, "password", "MISSING_PASSWORD")
            account = replace(account, email=checked_email(email)).with_password(password)
        provider = "anonymous" if anonymous else "password"
        return {
            "kind": "identitytoolkit#SignupNewUserResponse",
            **_profile(account),
            **self._signed_in(account, provider),
        }

    def sign_in_with_password(self, body: Body) -> dict[str, Any]:
        """Refuses a wrong address like a wrong password (e-mail enumeration protection)."""
        email = _required(body, "email", "MISSING_EMAIL")
        password = _required(body, "password", "MISSING_PASSWORD")
        account = self._accounts.by_email(checked_email(email))
        if account is None or not account.has_password(password):
            raise Refused("INVALID_LOGIN_CREDENTIALS")
        return {
            "kind": "identitytoolkit#VerifyPasswordResponse",
            "registered": True,
            **_profile(account),
            **self._signed_in(account, "password"),
        }

    def sign_in_with_custom_token(self, body: Body) -> dict[str, Any]:
        """The account a custom token names, made if it is new."""
        token = _required(body, "token", "MISSING_CUSTOM_TOKEN")
        uid, claims = self._sessions.custom(token)
        account = self._accounts.by_id(uid)
        is_new = account is None
        if account is None:
            now = micros(self._ground.clock.now())
            account = Account(uid, now // 1000, now // 1_000_000, custom_auth=True)
        return {
            "kind": "identitytoolkit#VerifyCustomTokenResponse",
            "isNewUser": is_new,
            **self._signed_in(account, "custom", claims),
        }

    def lookup(self, body: Body) -> dict[str, Any]:
        account, _ = self._sessions.account_of(_id_token(body))
        kind = "identitytoolkit#GetAccountInfoResponse"
        return {"kind": kind, "users": [account.described()]}

    def update(self, body: Body) -> dict[str, Any]:
        """Change one's own profile, address or password.

        A new address is unverified; a new address or password needs a sign-in of the last five
        minutes and revokes the others. What only administrators may set is refused.
        """
        account, claims = self._sessions.account_of(_id_token(body))
        if any(body.has(name) for name in _ADMIN_ONLY):
            raise Refused("INSUFFICIENT_PERMISSION")
        now = int(self._ground.clock.time())
        provider = str(claims["firebase"]["sign_in_provider"])
        if body.has("email") or body.has("password"):
            if now - int(claims["auth_time"]) > _RECENT:
                raise Refused("CREDENTIAL_TOO_OLD_LOGIN_AGAIN")
            account = replace(account, valid_since=now)
        if body.has("email"):
            email = checked_email(body.text("email"))
            verified = account.email_verified and email == account.email
            account = replace(account, email=email, email_verified=verified)
        if body.has("password"):
            account = account.with_password(body.text("password"))
            provider = "password" if account.email else provider
        account = self._accounts.save(with_profile(account, body))
        answer = {
            "kind": "identitytoolkit#SetAccountInfoResponse",
            "emailVerified": account.email_verified,
            "providerUserInfo": account.described().get("providerUserInfo", []),
            **_profile(account),
        }
        if body.flag("returnSecureToken"):
            answer |= self._sessions.begin(account, provider)
        self._ground.agenda.touch()
        return answer

    def delete(self, body: Body) -> dict[str, Any]:
        account, _ = self._sessions.account_of(_id_token(body))
        self._accounts.delete(account.local_id)
        self._sessions.end(account.local_id)
        self._ground.agenda.touch()
        return {"kind": "identitytoolkit#DeleteAccountResponse"}

    def _signed_in(
        self, account: Account, provider: str, claims: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        if account.disabled:
            raise Refused("USER_DISABLED")
        now = micros(self._ground.clock.now()) // 1000
        account = self._accounts.save(replace(account, last_login_at=now))
        self._ground.agenda.touch()
        return {"localId": account.local_id, **self._sessions.begin(account, provider, claims)}


def with_profile(account: Account, body: Body) -> Account:
    """The account with the name and picture that `body` sets, or deletes by `deleteAttribute`."""
    if body.has("displayName"):
        account = replace(account, display_name=body.text("displayName"))
    if body.has("photoUrl"):
        account = replace(account, photo_url=body.text("photoUrl"))
    gone = body.texts("deleteAttribute")
    if "DISPLAY_NAME" in gone:
        account = replace(account, display_name="")
    if "PHOTO_URL" in gone:
        account = replace(account, photo_url="")
    return account


def _profile(account: Account) -> dict[str, Any]:
    fields = {
        "localId": account.local_id,
        "email": account.email,
        "displayName": account.display_name,
        "photoUrl": account.photo_url,
    }
    return {name: value for name, value in fields.items() if value}


def _required(body: Body, name: str, missing: str) -> str:
    if not (value := body.text(name)):
        raise Refused(missing)
    return value


def _id_token(body: Body) -> str:
    return _required(body, "idToken", "MISSING_ID_TOKEN")

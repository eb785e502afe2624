"""What a person's own client does first: sign up, sign in with a password, look up, delete.

Administrators call the same operations with an account's id instead of its ID token.
"""

import secrets
from dataclasses import replace
from typing import Any

from emulators.clock import micros
from emulators.identity.accounts import password_policy
from emulators.identity.accounts.account import Account, checked_email, checked_phone, timestamp
from emulators.identity.accounts.passwords import Password
from emulators.identity.directory import Directory
from emulators.identity.factors.factor import phone_factors
from emulators.identity.routing import Call, Route, for_admins, for_people
from emulators.identity.silo import Silo
from emulators.identity.tokens.sessions import FirstFactor, second_factor
from emulators.identity.wire import Body, Refused

_RECENT = 300  # seconds since the sign-in within which credentials may be changed


def routes(directory: Directory) -> list[Route]:
    """`accounts:signUp`, `:signInWithPassword`, `:lookup`, `:delete` and their admin forms."""
    people = People(directory)
    return [
        for_people("signUp", people.sign_up),
        *for_admins("/accounts", people.sign_up),
        for_people("signInWithPassword", people.sign_in_with_password),
        for_people("lookup", people.lookup),
        *for_admins("/accounts:lookup", people.lookup),
        for_people("delete", people.delete),
        *for_admins("/accounts:delete", people.delete),
    ]


class People:
    """Each method takes a call and answers the response's body."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def sign_up(self, call: Call) -> dict[str, Any]:
        """A new account: by e-mail address and password, anonymous without either, or as an
        administrator says. With an ID token the password is added to that account.
        """
        active(call)
        kind = {"kind": "identitytoolkit#SignupNewUserResponse"}
        if call.owner and not call.body.has("idToken"):
            return kind | self._created(call)
        body, settings = call.body, call.silo.settings
        if body.has("localId"):
            raise Refused("UNEXPECTED_PARAMETER : User ID")
        if not (body.has("email") or body.has("password") or body.has("idToken")):
            if not settings.anonymous:
                raise Refused("ADMIN_ONLY_OPERATION")
            nameless = body.without("displayName").without("photoUrl")
            return kind | self._signed_up(call, self._new(nameless), "anonymous", {})
        if not body.has("email"):
            raise Refused("MISSING_EMAIL")
        email = checked_email(body.text("email"))
        password = body.required("password", "MISSING_PASSWORD")
        if not settings.passwords:
            raise Refused("OPERATION_NOT_ALLOWED")
        second: dict[str, str] = {}
        if body.has("idToken"):
            account, claims = self._directory.account_of(call.silo, body.text("idToken"))
            need_recent(self._directory, claims)
            second = second_factor(claims)
        else:
            account = self._new(body.without("photoUrl"))
        account = replace(account, email=email, email_verified=False)
        account = with_password(self._directory, call.silo, account, password)
        return kind | self._signed_up(call, account, "password", second)

    def sign_in_with_password(self, call: Call) -> dict[str, Any]:
        """With e-mail enumeration protection a wrong address is refused like a wrong password."""
        active(call)
        body, settings = call.body, call.silo.settings
        if not settings.passwords:
            raise Refused("PASSWORD_LOGIN_DISABLED")
        if not body.has("email"):
            raise Refused("MISSING_EMAIL")
        email = checked_email(body.text("email"))
        password = body.required("password", "MISSING_PASSWORD")
        account = call.silo.accounts.by_email(email)
        if account is None:
            hidden = settings.email_privacy
            raise Refused("INVALID_LOGIN_CREDENTIALS" if hidden else "EMAIL_NOT_FOUND")
        if account.disabled:
            raise Refused("USER_DISABLED")
        if account.password is None or not account.password.matches(password):
            hidden = settings.email_privacy
            raise Refused("INVALID_LOGIN_CREDENTIALS" if hidden else "INVALID_PASSWORD")
        if settings.password_policy.get("forceUpgradeOnSignin"):
            password_policy.check(settings.password_policy, password)
        return {
            "kind": "identitytoolkit#VerifyPasswordResponse",
            "registered": True,
            **self._signed_in(call, account, "password"),
        }

    def lookup(self, call: Call) -> dict[str, Any]:
        """One's own account, or for administrators those asked for; unknown ones are left out."""
        active(call)
        kind = {"kind": "identitytoolkit#GetAccountInfoResponse"}
        if not call.owner or call.body.has("idToken"):
            token = call.body.required("idToken", "MISSING_ID_TOKEN")
            account, _ = self._directory.account_of(call.silo, token)
            return kind | {"users": [account.described(call.silo.tenant)]}
        found = {account.local_id: account for account in _sought(call)}
        users = [account.exported(call.silo.tenant) for account in found.values()]
        return kind | ({"users": users} if users else {})

    def delete(self, call: Call) -> dict[str, Any]:
        active(call)
        self._directory.remove(call.silo, subject(self._directory, call)[0])
        return {"kind": "identitytoolkit#DeleteAccountResponse"}

    def _new(self, body: Body, local_id: str = "") -> Account:
        account = self._directory.new_account(
            local_id or secrets.token_urlsafe(21),
            display_name=body.text("displayName"),
            photo_url=body.text("photoUrl"),
        )
        factors = phone_factors(body.objects("mfaInfo"), timestamp(account.created_at))
        return replace(account, mfa=factors)

    def _created(self, call: Call) -> dict[str, Any]:
        """What an administrator makes: any fields, no sign-in."""
        body, directory = call.body, self._directory
        local_id = body.text("localId")
        if len(local_id) > 128:
            raise Refused("INVALID_LOCAL_ID")
        if call.silo.accounts.by_id(local_id) is not None:
            raise Refused("DUPLICATE_LOCAL_ID")
        account = self._new(body, local_id)
        if body.has("email"):
            account = replace(account, email=checked_email(body.text("email")))
        if body.has("phoneNumber"):
            account = replace(account, phone_number=checked_phone(body.text("phoneNumber")))
        if body.has("password"):
            account = with_password(directory, call.silo, account, body.text("password"))
        account = replace(
            account, email_verified=body.flag("emailVerified"), disabled=body.flag("disabled")
        )
        directory.save(call.silo, account)
        return profile(account)

    def _signed_up(
        self, call: Call, account: Account, provider: str, second: dict[str, str]
    ) -> dict[str, Any]:
        """Who signs up has shown all factors there are, and is not asked for a second one."""
        call.silo.accounts.check(account)
        first = FirstFactor(provider)
        return profile(account) | self._directory.admit(call.silo, account, first, second)

    def _signed_in(self, call: Call, account: Account, provider: str) -> dict[str, Any]:
        call.silo.accounts.check(account)
        return profile(account) | self._directory.sign_in(call.silo, account, FirstFactor(provider))


def active(call: Call) -> None:
    """Raises `Refused` where signing in is switched off as a whole (tenants: `disableAuth`)."""
    if call.silo.settings.disabled:
        raise Refused("PROJECT_DISABLED")


def subject(directory: Directory, call: Call) -> tuple[Account, str]:
    """The account a call is about, and the provider of the sign-in that its ID token attests.

    Administrators name it by `localId`, the person by `idToken`.
    """
    if call.owner:
        local_id = call.body.required("localId", "MISSING_LOCAL_ID")
        if (account := call.silo.accounts.by_id(local_id)) is None:
            raise Refused("USER_NOT_FOUND")
        return account, ""
    token = call.body.required("idToken", "MISSING_ID_TOKEN")
    account, claims = directory.account_of(call.silo, token)
    return account, str(claims["firebase"].get("sign_in_provider", ""))


def need_recent(directory: Directory, claims: dict[str, Any]) -> None:
    """Raises `Refused` when the sign-in that an ID token attests is over five minutes old."""
    if int(directory.ground.clock.time()) - int(claims["auth_time"]) > _RECENT:
        raise Refused("CREDENTIAL_TOO_OLD_LOGIN_AGAIN")


def with_password(directory: Directory, silo: Silo, account: Account, password: str) -> Account:
    """The account with a new password, which revokes earlier sign-ins.

    Raises `Refused` for a password that the silo's policy does not allow.
    """
    password_policy.check(silo.settings.password_policy, password)
    now = micros(directory.ground.clock.now())
    return replace(
        account,
        password=Password.of(password),
        password_updated_at=now // 1000,
        valid_since=now // 1_000_000,
    )


def profile(account: Account) -> dict[str, Any]:
    """The fields that most answers repeat; empty ones are left out."""
    fields = {
        "localId": account.local_id,
        "email": account.email,
        "displayName": account.display_name,
        "photoUrl": account.photo_url,
    }
    return {name: value for name, value in fields.items() if value}


def _sought(call: Call) -> list[Account]:
    accounts, body = call.silo.accounts, call.body
    found = [
        *(accounts.by_id(local_id) for local_id in body.texts("localId")),
        *(accounts.by_email(email) for email in body.texts("email")),
        *(accounts.by_phone(number) for number in body.texts("phoneNumber")),
        *(
            accounts.by_provider(user.text("providerId"), user.text("rawId"))
            for user in body.objects("federatedUserId")
        ),
        *(accounts.by_initial_email(email) for email in body.texts("initialEmail")),
    ]
    return [account for account in found if account]

"""Signing in with an identity provider, and which ways of signing in an address has.

Source: https://cloud.google.com/identity-platform/docs/use-rest-api#section-sign-in-with-oauth-credential
"""

import json
import secrets
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from emulators.identity.accounts.account import Account, checked_email
from emulators.identity.accounts.people import active
from emulators.identity.directory import Directory
from emulators.identity.providers.issuers import Issuers
from emulators.identity.routing import Call, Route, for_people
from emulators.identity.tokens.sessions import FirstFactor
from emulators.identity.wire import Refused

_STANDARD = frozenset({"iss", "aud", "exp", "iat", "sub", "nonce", "at_hash"})


def routes(directory: Directory) -> list[Route]:
    """`accounts:signInWithIdp` and `accounts:createAuthUri`."""
    federated = Federated(directory)
    return [
        for_people("signInWithIdp", federated.sign_in),
        for_people("createAuthUri", federated.create_uri),
    ]


@dataclass(frozen=True)
class Person:
    """Whom a provider's token is about."""

    provider_id: str
    raw_id: str
    email: str
    email_verified: bool
    name: str
    photo: str
    screen_name: str
    claims: dict[str, Any]

    @classmethod
    def of(cls, provider_id: str, claims: dict[str, Any]) -> "Person":
        email = claims.get("email") or ""
        return cls(
            provider_id=provider_id,
            raw_id=claims["sub"],
            email=checked_email(email) if isinstance(email, str) and email else "",
            email_verified=claims.get("email_verified") in (True, "true"),
            name=str(claims.get("name") or ""),
            photo=str(claims.get("picture") or ""),
            screen_name=str(claims.get("screen_name") or ""),
            claims=claims,
        )

    def info(self) -> dict[str, Any]:
        """`ProviderUserInfo` as it is kept with the account."""
        fields = {
            "providerId": self.provider_id,
            "rawId": self.raw_id,
            "federatedId": self.raw_id,
            "email": self.email,
            "displayName": self.name,
            "photoUrl": self.photo,
            "screenName": self.screen_name,
        }
        return {name: value for name, value in fields.items() if value}

    def told(self) -> dict[str, Any]:
        """What the API's answer tells of the provider's person."""
        google = self.provider_id == "google.com"
        federated = f"https://accounts.google.com/{self.raw_id}" if google else self.raw_id
        fields = {
            "federatedId": federated,
            "displayName": self.name,
            "fullName": self.name,
            "firstName": str(self.claims.get("given_name") or ""),
            "lastName": str(self.claims.get("family_name") or ""),
            "screenName": self.screen_name,
            "photoUrl": self.photo,
            "email": self.email,
        }
        shown = {name: value for name, value in fields.items() if value}
        raw = json.dumps({**self.claims, "id": self.raw_id} if google else self.claims)
        return shown | {
            "providerId": self.provider_id,
            "emailVerified": self.email_verified,
            "rawUserInfo": raw,
        }

    def attributes(self) -> dict[str, Any]:
        """What a SAML or OIDC provider told beyond the standard, for `sign_in_attributes`."""
        if self.provider_id.startswith("saml."):
            return dict(self.claims.get("attributes") or {})
        if self.provider_id.startswith("oidc."):
            return {n: v for n, v in self.claims.items() if n not in _STANDARD}
        return {}


class Federated:
    """Each method takes a call and answers the response's body."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._issuers = Issuers(directory)

    async def sign_in(self, call: Call) -> dict[str, Any]:
        """Sign in or up as a provider's person, or link that person to the account of `idToken`.

        With `returnIdpCredential` a conflict is told in `errorMessage` of an answer that succeeds.
        """
        active(call)
        given = _parameters(call)
        provider_id = given.get("providerId", "").lower()
        if not provider_id:
            uri = f"{call.body.text('requestUri')}?{call.body.text('postBody')}"
            raise Refused(
                f"INVALID_CREDENTIAL_OR_PROVIDER_ID : Invalid IdP response/credential: {uri}"
            )
        token = given.get("SAMLResponse") or given.get("id_token") or given.get("access_token")
        if not token:
            raise Refused("INVALID_IDP_RESPONSE : A signed id_token is needed.")
        claims = await self._issuers.claims(call.silo, provider_id, token)
        person = Person.of(provider_id, claims)
        answer = {"kind": "identitytoolkit#VerifyAssertionResponse", "context": ""} | person.told()
        answer["oauthAccessToken"] = given.get("access_token") or f"local-{secrets.token_urlsafe()}"
        if given.get("id_token"):
            answer["oauthIdToken"] = token
        if call.silo.tenant:
            answer["tenantId"] = call.silo.tenant
        try:
            return answer | self._admitted(call, person)
        except Refused as refused:
            if not call.body.flag("returnIdpCredential") or refused.message == "USER_DISABLED":
                raise
            return answer | {"errorMessage": refused.message}

    def create_uri(self, call: Call) -> dict[str, Any]:
        """Which ways of signing in an address has; nothing with enumeration protection.

        With `providerId`: where to send a browser that is to sign in there.
        """
        active(call)
        body, settings = call.body, call.silo.settings
        answer: dict[str, Any] = {
            "kind": "identitytoolkit#CreateAuthUriResponse",
            "sessionId": body.text("sessionId") or secrets.token_urlsafe(20),
        }
        if body.has("providerId"):
            return answer | self._provider_uri(call)
        identifier = body.required("identifier", "MISSING_IDENTIFIER")
        address = body.required("continueUri", "MISSING_CONTINUE_URI")
        try:
            email = checked_email(identifier)
        except Refused:
            raise Refused("INVALID_IDENTIFIER") from None
        _need_absolute(address, "INVALID_CONTINUE_URI")
        if settings.email_privacy:
            return answer
        account = call.silo.accounts.by_email(email)
        if account is None:
            account = call.silo.accounts.by_provider_email(email)
        return answer | _methods(account, settings.duplicate_emails)

    def _provider_uri(self, call: Call) -> dict[str, Any]:
        provider_id = call.body.text("providerId")
        address = call.body.required("continueUri", "MISSING_CONTINUE_URI")
        _need_absolute(address, "INVALID_CONTINUE_URI")
        query = {
            "providerId": provider_id,
            "continueUri": address,
            "project": call.silo.project,
            "tenantId": call.silo.tenant,
            "state": call.body.text("context"),
        }
        shown = urlencode({name: value for name, value in query.items() if value})
        return {"providerId": provider_id, "authUri": f"{call.origin}/emulator/idp?{shown}"}

    def _admitted(self, call: Call, person: Person) -> dict[str, Any]:
        """Find or make the account, and sign in; or say that the person has to confirm first."""
        directory, accounts = self._directory, call.silo.accounts
        known = accounts.by_provider(person.provider_id, person.raw_id)
        is_new = False
        extra: dict[str, Any] = {}
        if call.body.has("idToken"):
            account, _ = directory.account_of(call.silo, call.body.text("idToken"))
            if known is not None:
                raise Refused("FEDERATED_USER_ID_ALREADY_LINKED")
            account = self._linked(call, account, person)
        elif known is not None:
            account = known
        elif (owner := self._owner(call, person)) is not None:
            if not person.email_verified:
                return _confirmation(owner)
            recycled = any(i["providerId"] == person.provider_id for i in owner.providers)
            extra = {"emailRecycled": True} if recycled else {}
            account = self._merged(owner, person)
        else:
            is_new = True
            account = self._new(call, person)
        others = [i for i in account.providers if i["providerId"] != person.provider_id]
        account = replace(account, providers=[*others, person.info()])
        accounts.check(account)
        first = FirstFactor(person.provider_id, attributes=person.attributes())
        if account.email and account.email == person.email:
            extra["emailVerified"] = account.email_verified
        new = {"isNewUser": True} if is_new else {}
        return new | extra | directory.sign_in(call.silo, account, first)

    def _owner(self, call: Call, person: Person) -> Account | None:
        """The account that has the person's address, where addresses are not shared."""
        if call.silo.settings.duplicate_emails or not person.email:
            return None
        return call.silo.accounts.by_email(person.email)

    def _linked(self, call: Call, account: Account, person: Person) -> Account:
        owner = self._owner(call, person)
        if owner is not None and owner.local_id != account.local_id:
            raise Refused("EMAIL_EXISTS")
        if not call.silo.settings.duplicate_emails and not account.email:
            account = replace(account, email=person.email, email_verified=person.email_verified)
        if person.email and person.email == account.email and person.email_verified:
            account = replace(account, email_verified=True)
        return account

    def _merged(self, owner: Account, person: Person) -> Account:
        """The provider vouches for the address. What somebody unproven added before goes."""
        if not owner.email_verified:
            now = int(self._directory.ground.clock.time())
            owner = replace(
                owner,
                password=None,
                phone_number="",
                providers=[],
                email_link=False,
                valid_since=now,
            )
        return replace(
            owner,
            email_verified=True,
            display_name=person.name,
            photo_url=person.photo,
            screen_name=person.screen_name,
        )

    def _new(self, call: Call, person: Person) -> Account:
        shared = call.silo.settings.duplicate_emails
        return self._directory.new_account(
            secrets.token_urlsafe(21),
            email="" if shared else person.email,
            email_verified=person.email_verified and not shared,
            display_name=person.name,
            photo_url=person.photo,
            screen_name=person.screen_name,
        )


def _methods(account: Account | None, duplicate_emails: bool) -> dict[str, Any]:
    """How the owner of an address may sign in; where addresses are shared, not by whom."""
    if account is None or (duplicate_emails and not account.email):
        return {"registered": False, "allProviders": [], "signinMethods": []}
    linked = [] if duplicate_emails else [info["providerId"] for info in account.providers]
    by_password = ["password"] if account.password else []
    by_link = ["emailLink"] if account.email_link else []
    return {
        "registered": True,
        "allProviders": [*linked, *(["password"] if by_password or by_link else [])],
        "signinMethods": [*linked, *by_password, *by_link],
    }


def _confirmation(owner: Account) -> dict[str, Any]:
    verified = [info["providerId"] for info in owner.providers]
    return {"needConfirmation": True, "localId": owner.local_id, "verifiedProvider": verified}


def _parameters(call: Call) -> dict[str, str]:
    """The provider's answer: in `postBody`, or in the query or fragment of `requestUri`."""
    uri = call.body.required("requestUri", "MISSING_REQUEST_URI")
    parts = _need_absolute(uri, "INVALID_REQUEST_URI")
    texts = (parts.query, call.body.text("postBody"), parts.fragment)
    return {name: value for text in texts for name, value in parse_qsl(text)}


def _need_absolute(address: str, code: str) -> Any:
    try:
        parts = urlsplit(address)
        complete = parts.scheme and parts.hostname
    except ValueError:
        complete = None
    if not complete:
        raise Refused(code)
    return parts

"""Sign-ins: ID tokens and refresh tokens, all signed or random, all on virtual time."""

import json
import secrets
from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import jwt
from cryptography import x509

from emulators.engine import Ground
from emulators.identity.accounts.account import Account
from emulators.identity.silo import Silo
from emulators.identity.wire import Refused
from emulators.journal import Journal

LIFE = 3600  # seconds an ID token lives
_NO_TIMES: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}


@dataclass(frozen=True)
class FirstFactor:
    """How a person signed in: the token's `sign_in_provider`, claims to add to the custom ones
    (of a custom token), and the attributes a SAML or OIDC provider told (`sign_in_attributes`).
    """

    provider: str
    claims: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Session:
    """One sign-in, which its refresh token stands for. `auth_time`: virtual seconds."""

    project: str
    tenant: str
    local_id: str
    auth_time: int
    first: FirstFactor
    second: dict[str, str] = field(default_factory=dict)
    revoked: bool = False

    @classmethod
    def kept(cls, value: bytes) -> "Session":
        fields = json.loads(value)
        return cls(**fields | {"first": FirstFactor(**fields["first"])})


class Sessions:
    """Issues and checks tokens. A refresh token lives until it is revoked."""

    def __init__(self, ground: Ground, journal: Journal) -> None:
        self._ground = ground
        self._journal = journal
        self._refresh: dict[str, Session] = {}
        self._of: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
        for key, value in journal.items("session/"):
            self._index(key.removeprefix("session/"), Session.kept(value))

    def __len__(self) -> int:
        return len(self._refresh)

    def begin(
        self,
        silo: Silo,
        account: Account,
        first: FirstFactor,
        second: dict[str, str] | None = None,
    ) -> dict[str, str]:
        """A new sign-in: the token fields of the API's sign-in answers."""
        now = int(self._ground.clock.time())
        session = Session(silo.project, silo.tenant, account.local_id, now, first, second or {})
        token = secrets.token_urlsafe(96)
        self._journal.put(f"session/{token}", json.dumps(asdict(session)).encode())
        self._index(token, session)
        id_token = self._id_token(account, session)
        return {"idToken": id_token, "refreshToken": token, "expiresIn": str(LIFE)}

    def session(self, refresh_token: str) -> Session:
        """Raises `Refused` for an unknown refresh token."""
        if (session := self._refresh.get(refresh_token)) is None:
            raise Refused("INVALID_REFRESH_TOKEN")
        return session

    def refresh(self, silo: Silo, session: Session) -> tuple[str, Account]:
        """A fresh ID token and the person's account; raises as `account_of` does."""
        account = _standing(silo, session.local_id, session.auth_time)
        if session.revoked:
            raise Refused("TOKEN_EXPIRED")
        return self._id_token(account, session), account

    def revoke(self, silo: Silo, local_id: str) -> None:
        """Refuse the refresh tokens a person has, even those of this very second, which the
        account's `valid_since` cannot tell from later ones.
        """
        for token in self._of[(silo.project, silo.tenant, local_id)]:
            session = replace(self._refresh[token], revoked=True)
            self._journal.put(f"session/{token}", json.dumps(asdict(session)).encode())
            self._refresh[token] = session

    def end(self, silo: Silo, local_id: str) -> None:
        """Forget all sign-ins of a deleted account."""
        for token in self._of.pop((silo.project, silo.tenant, local_id), set()):
            self._journal.delete(f"session/{token}")
            del self._refresh[token]

    def account_of(self, silo: Silo, id_token: str) -> tuple[Account, dict[str, Any]]:
        """See `Directory.account_of`."""
        try:
            claims = self.verified(id_token, silo.project)
        except jwt.InvalidTokenError:
            raise Refused("INVALID_ID_TOKEN") from None
        firebase, subject = claims.get("firebase"), claims.get("sub")
        if claims.get("iss") != _issuer(silo.project) or not isinstance(subject, str):
            raise Refused("INVALID_ID_TOKEN")
        if not isinstance(firebase, dict) or not isinstance(claims.get("auth_time"), int):
            raise Refused("INVALID_ID_TOKEN")
        if firebase.get("tenant", "") != silo.tenant:
            raise Refused("TENANT_ID_MISMATCH")
        if self.expired(claims):
            raise Refused("TOKEN_EXPIRED")
        return _standing(silo, subject, claims["auth_time"]), claims

    def tenant_named(self, id_token: str) -> str:
        """The tenant a token of ours names, '' where it names none or is not a token of ours."""
        try:
            firebase = self.verified(id_token, None).get("firebase")
        except jwt.InvalidTokenError:
            return ""
        return str(firebase.get("tenant", "")) if isinstance(firebase, dict) else ""

    def verified(self, token: str, audience: str | None) -> dict[str, Any]:
        """The claims of a token signed by this cloud; raises `jwt.InvalidTokenError`.

        Times are not checked here: the library knows the system's clock alone.
        """
        certificate = self._ground.tokens.certificates().get(key_id(token))
        if certificate is None:
            raise jwt.InvalidTokenError("unknown key")
        key: Any = x509.load_pem_x509_certificate(certificate.encode()).public_key()
        return decoded(token, key, audience)

    def expired(self, claims: dict[str, Any]) -> bool:
        """Whether a token's life is over in virtual time, or has no end."""
        try:
            return float(claims["exp"]) <= self._ground.clock.time()
        except (KeyError, TypeError, ValueError):
            return True

    def _index(self, token: str, session: Session) -> None:
        self._refresh[token] = session
        self._of[(session.project, session.tenant, session.local_id)].add(token)

    def _id_token(self, account: Account, session: Session) -> str:
        claims = {"name": account.display_name, "picture": account.photo_url}
        claims = {name: value for name, value in claims.items() if value}
        provider = session.first.provider
        told: dict[str, Any] = claims | account.claims() | session.first.claims
        if account.email:
            told |= {"email": account.email, "email_verified": account.email_verified}
        if account.phone_number:
            told["phone_number"] = account.phone_number
        if provider == "anonymous":
            told["provider_id"] = "anonymous"
        firebase = {"identities": _identities(account), "sign_in_provider": provider}
        firebase |= session.second
        if session.first.attributes:
            firebase["sign_in_attributes"] = session.first.attributes
        if session.tenant:
            firebase["tenant"] = session.tenant
        told |= {
            "iss": _issuer(session.project),
            "aud": session.project,
            "auth_time": session.auth_time,
            "user_id": account.local_id,
            "sub": account.local_id,
            "firebase": firebase,
        }
        return self._ground.tokens.sign(told)


def second_factor(claims: dict[str, Any]) -> dict[str, str]:
    """What an ID token says of its second factor, for the token that takes its place."""
    names = ("sign_in_second_factor", "second_factor_identifier")
    return {name: claims["firebase"][name] for name in names if name in claims["firebase"]}


def key_id(token: str) -> str:
    """The key a token says it is signed with; raises `jwt.InvalidTokenError`."""
    return str(jwt.get_unverified_header(token).get("kid", ""))


def decoded(token: str, key: Any, audience: str | None) -> dict[str, Any]:
    """The claims of a token whose RS256 signature holds; raises `jwt.InvalidTokenError`."""
    options = _NO_TIMES | {"verify_aud": audience is not None}
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=["RS256"], audience=audience, options=options
    )
    return claims


def _issuer(project: str) -> str:
    return f"https://securetoken.google.com/{project}"


def _standing(silo: Silo, local_id: str, auth_time: int) -> Account:
    account = silo.accounts.by_id(local_id)
    if account is None:
        raise Refused("USER_NOT_FOUND")
    if account.disabled:
        raise Refused("USER_DISABLED")
    if auth_time < account.valid_since:
        raise Refused("TOKEN_EXPIRED")
    return account


def _identities(account: Account) -> dict[str, list[str]]:
    identities: dict[str, list[str]] = {}
    for info in account.providers:
        identities.setdefault(info["providerId"], []).append(info["rawId"])
    if account.email:
        identities["email"] = [account.email]
    if account.phone_number:
        identities["phone"] = [account.phone_number]
    return identities

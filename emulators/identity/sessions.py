"""Sign-ins: ID tokens, refresh tokens and custom tokens, all signed, all on virtual time."""

import json
import secrets
from dataclasses import asdict, dataclass
from typing import Any

import jwt
from cryptography import x509

from emulators.engine import Ground
from emulators.identity.accounts import RESERVED_CLAIMS, Account, Accounts
from emulators.identity.wire import Refused
from emulators.journal import Journal

CUSTOM_AUDIENCE = (
    "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"
)
LIFE = 3600  # seconds an ID token lives


@dataclass(frozen=True)
class Session:
    """One sign-in, which its refresh token stands for. `auth_time`: virtual seconds."""

    local_id: str
    provider: str
    auth_time: int
    claims: dict[str, Any]


class Sessions:
    """Issues and checks the tokens of one project. A refresh token lives until it is revoked."""

    def __init__(self, ground: Ground, accounts: Accounts, journal: Journal) -> None:
        self._ground = ground
        self._accounts = accounts
        self._journal = journal
        self._refresh: dict[str, Session] = {}
        for key, value in journal.items("refresh/"):
            self._refresh[key.removeprefix("refresh/")] = Session(**json.loads(value))

    def __len__(self) -> int:
        return len(self._refresh)

    @property
    def issuer(self) -> str:
        return f"https://securetoken.google.com/{self._ground.project}"

    def begin(
        self, account: Account, provider: str, claims: dict[str, Any] | None = None
    ) -> dict[str, str]:
        """A new sign-in: the token fields of the API's sign-in answers."""
        now = int(self._ground.clock.time())
        session = Session(account.local_id, provider, now, claims or {})
        token = secrets.token_urlsafe(96)
        self._journal.put(f"refresh/{token}", json.dumps(asdict(session)).encode())
        self._refresh[token] = session
        id_token = self._id_token(account, session)
        return {"idToken": id_token, "refreshToken": token, "expiresIn": str(LIFE)}

    def refresh(self, token: str) -> tuple[str, str]:
        """A fresh ID token and the person's id, for a refresh token."""
        session = self._refresh.get(token)
        if session is None:
            raise Refused("INVALID_REFRESH_TOKEN")
        account = self._standing(session.local_id, session.auth_time)
        return self._id_token(account, session), account.local_id

    def end(self, local_id: str) -> None:
        """Forget all sign-ins of a deleted account."""
        for token in [t for t, session in self._refresh.items() if session.local_id == local_id]:
            self._journal.delete(f"refresh/{token}")
            del self._refresh[token]

    def account_of(self, id_token: str) -> tuple[Account, dict[str, Any]]:
        """The account an ID token speaks for, and its claims.

        Raises `Refused`: INVALID_ID_TOKEN unless it is signed by us for this project,
        TOKEN_EXPIRED past its hour or revoked, USER_NOT_FOUND, USER_DISABLED.
        """
        try:
            claims = self._decode(id_token, self._ground.project)
        except jwt.InvalidTokenError:
            raise Refused("INVALID_ID_TOKEN") from None
        if claims.get("iss") != self.issuer or not isinstance(claims.get("sub"), str):
            raise Refused("INVALID_ID_TOKEN")
        if self._expired(claims):
            raise Refused("TOKEN_EXPIRED")
        return self._standing(claims["sub"], int(claims["auth_time"])), claims

    def custom(self, token: str) -> tuple[str, dict[str, Any]]:
        """The person's id and the additional claims in a custom token.

        It is signed for a service account of this project: RS256, issuer and subject that account,
        at most an hour old. An unsigned one, as firebase-admin makes under its emulator variable,
        is refused.
        """
        try:
            claims = self._decode(token, CUSTOM_AUDIENCE)
        except jwt.InvalidTokenError as error:
            raise Refused(f"INVALID_CUSTOM_TOKEN : {error}") from None
        uid, extra = claims.get("uid"), claims.get("claims") or {}
        owner = str(claims.get("iss", ""))
        if not owner or claims.get("sub") != owner or self._expired(claims):
            raise Refused("INVALID_CUSTOM_TOKEN")
        if not owner.endswith(f"@{self._ground.project}.iam.gserviceaccount.com"):
            raise Refused("CREDENTIAL_MISMATCH")
        if not isinstance(uid, str) or not 0 < len(uid) <= 128 or not isinstance(extra, dict):
            raise Refused("INVALID_CUSTOM_TOKEN")
        for name in RESERVED_CLAIMS & extra.keys():
            raise Refused(f"FORBIDDEN_CLAIM : {name}")
        return uid, extra

    def _expired(self, claims: dict[str, Any]) -> bool:
        try:
            return float(claims["exp"]) <= self._ground.clock.time()
        except (KeyError, TypeError, ValueError):
            return True

    def _decode(self, token: str, audience: str) -> dict[str, Any]:
        key_id = jwt.get_unverified_header(token).get("kid")
        certificate = self._ground.tokens.certificates().get(str(key_id))
        if certificate is None:
            raise jwt.InvalidTokenError("unknown key")
        key: Any = x509.load_pem_x509_certificate(certificate.encode()).public_key()
        # The library knows the system's clock alone; times are checked against the virtual one.
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            audience=audience,
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
        return claims

    def _standing(self, local_id: str, auth_time: int) -> Account:
        account = self._accounts.by_id(local_id)
        if account is None:
            raise Refused("USER_NOT_FOUND")
        if account.disabled:
            raise Refused("USER_DISABLED")
        if auth_time < account.valid_since:
            raise Refused("TOKEN_EXPIRED")
        return account

    def _id_token(self, account: Account, session: Session) -> str:
        claims = account.claims() | session.claims
        if account.display_name:
            claims["name"] = account.display_name
        if account.photo_url:
            claims["picture"] = account.photo_url
        if session.provider == "anonymous":
            claims["provider_id"] = "anonymous"
        identities: dict[str, list[str]] = {}
        if account.email:
            claims |= {"email": account.email, "email_verified": account.email_verified}
            identities["email"] = [account.email]
        if account.phone_number:
            claims["phone_number"] = account.phone_number
            identities["phone"] = [account.phone_number]
        claims |= {
            "iss": self.issuer,
            "aud": self._ground.project,
            "auth_time": session.auth_time,
            "user_id": account.local_id,
            "sub": account.local_id,
            "firebase": {"identities": identities, "sign_in_provider": session.provider},
        }
        return self._ground.tokens.sign(claims)

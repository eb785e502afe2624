"""Verification of signed tokens: ID tokens of people, OIDC tokens of Google's services.

RS256 only, against the certificates the issuer publishes; times are checked on business time.
The cryptography is imported with the first token, not when a function starts.
"""

import json
import time
import urllib.request
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from shared.kernel import clock
from shared.kernel.errors import Unauthenticated
from shared.platform.settings import Settings, load

_SKEW = 30
_GOOGLE_ISSUERS = ("https://accounts.google.com", "accounts.google.com")


class IdentitySettings(Settings):
    """Where certificates (key id -> PEM) are published; Google's places unless told otherwise."""

    google_cloud_project: str
    oidc_certs_url: str = "https://www.googleapis.com/oauth2/v1/certs"
    identity_certs_url: str = (
        "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
    )


@dataclass
class _Keys:
    """The public keys of one issuer, fetched again when stale or when a key id is unknown."""

    url: str
    fetched: float = float("-inf")
    keys: dict[str, Any] | None = None

    def get(self, key_id: str) -> Any:
        from cryptography.x509 import load_pem_x509_certificate

        age = time.monotonic() - self.fetched
        if self.keys is None or age > 3600 or (key_id not in self.keys and age > 30):
            with urllib.request.urlopen(self.url, timeout=5) as answer:  # noqa: S310 -- our setting
                certificates = json.load(answer)
            self.keys = {
                name: load_pem_x509_certificate(pem.encode()).public_key()
                for name, pem in certificates.items()
            }
            self.fetched = time.monotonic()
        return self.keys.get(key_id)


@cache
def _keys(url: str) -> _Keys:
    return _Keys(url)


@lru_cache(maxsize=4096)
def _signed(token: str, certs_url: str) -> dict[str, Any]:
    """The claims of a token whose signature holds. Its times are checked anew on every use."""
    import jwt

    try:
        key_id = jwt.get_unverified_header(token).get("kid", "")
        key = _keys(certs_url).get(key_id)
        if key is None:
            raise Unauthenticated("invalid-token", "The token was signed with an unknown key.")
        options: Any = {"verify_signature": True, "verify_aud": False}
        for check in ("exp", "iat", "nbf"):
            options[f"verify_{check}"] = False
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], options=options)
    except jwt.PyJWTError:
        raise Unauthenticated("invalid-token", "The token is not a valid signed token.") from None
    return claims


def _check_times(claims: dict[str, Any]) -> None:
    now = clock.now().timestamp()
    expires, issued = claims.get("exp"), claims.get("iat")
    if not isinstance(expires, int) or not isinstance(issued, int):
        raise Unauthenticated("invalid-token", "The token lacks its times.")
    if expires + _SKEW < now:
        raise Unauthenticated("expired-token", "The token has expired: sign in again.")
    if issued - _SKEW > now:
        raise Unauthenticated("invalid-token", "The token is not valid yet.")


def verify_id_token(token: str) -> dict[str, Any]:
    """The claims of a person's ID token from Identity Platform. Raises `Unauthenticated`.

    Source: https://firebase.google.com/docs/auth/admin/verify-id-tokens (third-party libraries).
    """
    settings = load(IdentitySettings)
    claims = _signed(token, settings.identity_certs_url)
    _check_times(claims)
    project = settings.google_cloud_project
    if claims.get("iss") != f"https://securetoken.google.com/{project}":
        raise Unauthenticated("invalid-token", "The token comes from another issuer.")
    if claims.get("aud") != project or not claims.get("sub"):
        raise Unauthenticated("invalid-token", "The token was made for somebody else.")
    return claims


def verify_service_token(token: str, audience: str, sender: str) -> None:
    """Check that `sender` (a service account's e-mail) called `audience`, by its OIDC token.

    Source: https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions. Raises
    `Unauthenticated`.
    """
    claims = _signed(token, load(IdentitySettings).oidc_certs_url)
    _check_times(claims)
    if claims.get("iss") not in _GOOGLE_ISSUERS or claims.get("aud") != audience:
        raise Unauthenticated("invalid-token", "The token was made for somebody else.")
    if claims.get("email") != sender or claims.get("email_verified") is not True:
        raise Unauthenticated("invalid-token", "The token names another sender.")

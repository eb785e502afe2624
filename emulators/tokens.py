"""Signed tokens of the local cloud: OIDC tokens for pushes and tasks, ID tokens for people."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from emulators import rsa_keys
from emulators.clock import VirtualClock, micros
from emulators.journal import Journal
from emulators.rsa_keys import RsaKey

GOOGLE_ISSUER = "https://accounts.google.com"
_LIFE = timedelta(hours=1)


class TokenIssuer:
    """Signs RS256 tokens with one key whose certificate it publishes.

    Times in tokens are virtual. The key lives in the journal, so tokens outlast a restart; where
    there is none yet, it is `key`, or else a new one.
    """

    def __init__(self, clock: VirtualClock, journal: Journal, key: RsaKey | None = None) -> None:
        self._clock = clock
        self._oidc: dict[tuple[str, str], tuple[str, int]] = {}
        kept = dict(journal.items("key/"))
        if kept:
            self._key = rsa_keys.read(kept["key/private"])
            certificate = kept["key/certificate"]
        else:
            self._key = key or rsa_keys.new_key()
            certificate = _certificate(self._key)
            with journal.batch():
                journal.put("key/private", rsa_keys.written(self._key))
                journal.put("key/certificate", certificate)
        self._certificate = certificate.decode()
        digest = x509.load_pem_x509_certificate(certificate)
        self.key_id = digest.fingerprint(hashes.SHA1()).hex()  # noqa: S303 -- a name, as Google's

    def certificates(self) -> dict[str, str]:
        """Key id -> PEM certificate, the form Google publishes at `/oauth2/v1/certs`."""
        return {self.key_id: self._certificate}

    def sign(self, claims: dict[str, Any], life: timedelta = _LIFE) -> str:
        """A token with `claims`; `iat` and `exp` (virtual time) are added unless given."""
        issued = micros(self._clock.now()) // 1_000_000
        times = {"iat": issued, "exp": issued + int(life.total_seconds())}
        return jwt.encode(times | claims, self._key, "RS256", headers={"kid": self.key_id})

    def oidc(self, service_account: str, audience: str) -> str:
        """The token with which Pub/Sub, Tasks and Scheduler call; kept for half its life."""
        now = micros(self._clock.now()) // 1_000_000
        token, expires = self._oidc.get((service_account, audience), ("", 0))
        if not token or expires - now < _LIFE.total_seconds() / 2 or expires - now > 3600:
            token = self.sign(
                {
                    "iss": GOOGLE_ISSUER,
                    "aud": audience,
                    "azp": _unique_id(service_account),
                    "sub": _unique_id(service_account),
                    "email": service_account,
                    "email_verified": True,
                }
            )
            self._oidc[(service_account, audience)] = (token, now + 3600)
        return token


def _unique_id(service_account: str) -> str:
    """A number of 21 digits, as a service account has one beside its e-mail address."""
    digest = hashlib.sha256(service_account.encode()).digest()
    return f"1{int.from_bytes(digest) % 10**20:020d}"


def _certificate(key: RsaKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clinicloop-local-cloud")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)

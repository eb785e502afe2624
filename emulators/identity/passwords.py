"""Passwords, kept as hashes of the kinds that Identity Platform can import.

Source: https://cloud.google.com/identity-platform/docs/migrating-users-to-identity-platform and
https://firebase.google.com/docs/auth/admin/import-users
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from emulators.identity.wire import Refused

SHORTEST = 6

# A small cost: hundreds of people sign in within one demonstration.
HASH_CONFIG: dict[str, Any] = {
    "algorithm": "SCRYPT",
    "signerKey": "bG9jYWwgY2xvdWQncyBzaWduZXIga2V5LCBub3Qgc2VjcmV0Lg==",
    "saltSeparator": "Bw==",
    "rounds": 8,
    "memoryCost": 10,
}
"""How new passwords are hashed, as a project's configuration shows it (`signIn.hashConfig`)."""


@dataclass(frozen=True)
class Password:
    """A hash with what is needed to check a password against it; bytes are base64 text.

    `config` holds the parameters an import named: `hashAlgorithm`, `signerKey`, `rounds` ...
    """

    hash: str
    salt: str = ""
    config: dict[str, Any] = field(default_factory=lambda: dict(HASH_CONFIG))

    @classmethod
    def of(cls, password: str) -> "Password":
        """Raises `Refused` for a password shorter than the six characters the API demands."""
        if len(password) < SHORTEST:
            raise Refused(f"WEAK_PASSWORD : Password should be at least {SHORTEST} characters")
        salt = encoded(secrets.token_bytes(10))
        unhashed = cls("", salt)
        return cls(encoded(hashed(password, unhashed) or b""), salt)

    def matches(self, password: str) -> bool:
        found = hashed(password, self)
        return found is not None and hmac.compare_digest(decoded(self.hash), found)

    def exported(self) -> dict[str, str]:
        return {"passwordHash": self.hash, **({"salt": self.salt} if self.salt else {})}


def encoded(value: bytes) -> str:
    """Base64 in the URL's alphabet, which firebase-admin sends and expects."""
    return base64.urlsafe_b64encode(value).decode()


def decoded(text: str) -> bytes:
    """The bytes of base64 in either alphabet, padded or not; raises `ValueError`."""
    plain = text.translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def hashed(password: str, kept: Password) -> bytes | None:
    """The hash of `password` the way `kept` was hashed; None for an unknown algorithm."""
    return _scrypt(password.encode(), decoded(kept.salt), kept.config)


def _scrypt(password: bytes, salt: bytes, config: dict[str, Any]) -> bytes:
    """Firebase's own scrypt: the derived key encrypts the project's signer key.

    Source: https://github.com/firebase/scrypt
    """
    key = hashlib.scrypt(
        password,
        salt=salt + decoded(config.get("saltSeparator", "")),
        n=1 << int(config["memoryCost"]),
        r=int(config["rounds"]),
        p=1,
        maxmem=1 << 28,
        dklen=64,
    )
    cipher = Cipher(algorithms.AES256(key[:32]), modes.CTR(bytes(16))).encryptor()
    return cipher.update(decoded(config["signerKey"])) + cipher.finalize()

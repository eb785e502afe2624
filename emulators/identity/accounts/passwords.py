"""Passwords, kept as hashes of the kinds that Identity Platform can import.

Source: https://cloud.google.com/identity-platform/docs/migrating-users-to-identity-platform and
https://firebase.google.com/docs/auth/admin/import-users
"""

import base64
import binascii
import ctypes
import ctypes.util
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.argon2 import Argon2d, Argon2i, Argon2id

from emulators.identity.wire import Body, Refused

_WRONG = (ArithmeticError, MemoryError, UnsupportedAlgorithm, ValueError)
_MOST_MEMORY = 1 << 26
_DIGESTS = {"MD5": "md5", "SHA1": "sha1", "SHA256": "sha256", "SHA512": "sha512"}
_TEXTS = ("signerKey", "saltSeparator", "passwordHashOrder")
_NUMBERS = ("rounds", "memoryCost", "cpuMemCost", "parallelization", "blockSize", "dkLen")

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

    `config` holds the parameters an import named: `algorithm`, `signerKey`, `rounds` ...
    """

    hash: str
    salt: str = ""
    config: dict[str, Any] = field(default_factory=lambda: dict(HASH_CONFIG))

    @classmethod
    def of(cls, password: str) -> "Password":
        salt = encoded(secrets.token_bytes(10))
        (found,) = hashes(password, cls("", salt))
        return cls(encoded(found), salt)

    @classmethod
    def imported(cls, hash_: str, salt: str, config: dict[str, Any]) -> "Password":
        """A hash from elsewhere; raises `ValueError` when it or its salt is no base64."""
        decoded(hash_), decoded(salt)
        return cls(hash_, salt, config)

    def matches(self, password: str) -> bool:
        kept = decoded(self.hash)
        try:
            found = hashes(password, self)
        except _WRONG:
            return False  # parameters that passed the import's check, but not with this salt
        return any(hmac.compare_digest(kept, each) for each in found)

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


def checked_config(body: Body) -> dict[str, Any]:
    """The parameters of a request's hashes (`UploadAccountRequest`), as they are kept.

    Raises `Refused` for an unknown algorithm and for parameters it cannot have.
    """
    algorithm = body.text("hashAlgorithm")
    if not algorithm:
        raise Refused("MISSING_HASH_ALGORITHM")
    config: dict[str, Any] = {"algorithm": algorithm}
    config |= {name: body.text(name) for name in _TEXTS if body.has(name)}
    config |= {name: body.whole(name) for name in _NUMBERS if body.has(name)}
    if body.has("argon2Parameters"):
        config |= _argon2_config(body.child("argon2Parameters"))
    try:
        known = hashes("a password", Password(encoded(bytes(32)), encoded(b"salt"), config))
    except (*_WRONG, KeyError, TypeError) as error:
        raise Refused("INVALID_HASH_PARAMETERS") from error
    if not known and algorithm != "BCRYPT":
        raise Refused("INVALID_HASH_ALGORITHM")
    return config


def hashes(password: str, kept: Password) -> list[bytes]:
    """What `kept` may hold if `password` is right: one value for each way of hashing it that its
    parameters leave open, none for an algorithm this machine does not know.
    """
    config = kept.config
    text, salt = password.encode(), decoded(kept.salt)
    match str(config["algorithm"]).split("_"):
        case ["SCRYPT"]:
            return [_scrypt(text, salt, config)]
        case ["STANDARD", "SCRYPT"]:
            return [_standard_scrypt(text, salt, config)]
        case ["HMAC", digest] if digest in _DIGESTS:
            key = decoded(config["signerKey"])
            joined = _joined(text, salt, config)
            return [hmac.new(key, value, _DIGESTS[digest]).digest() for value in joined]
        case [digest] if digest in _DIGESTS:
            rounds = max(_bounded(config["rounds"], 0, 8192), 1)
            return [_repeated(value, digest, rounds) for value in _joined(text, salt, config)]
        case ["PBKDF" | "PBKDF2", "SHA1" | "SHA256" as digest]:
            rounds = _bounded(config["rounds"], 1, 120_000)
            size = len(decoded(kept.hash)) or None
            return [hashlib.pbkdf2_hmac(digest.lower(), text, salt, rounds, size)]
        case ["ARGON2"]:
            return [_argon2(text, salt, config)]
        case ["BCRYPT"]:
            return _bcrypt(text, decoded(kept.hash))
    return []


def _bounded(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError("out of range")
    return value


def _joined(password: bytes, salt: bytes, config: dict[str, Any]) -> list[bytes]:
    """The input of a plain hash; in both orders where the import did not say which."""
    order = config.get("passwordHashOrder")
    salted = [salt + password] if order != "PASSWORD_AND_SALT" else []
    return salted + ([password + salt] if order != "SALT_AND_PASSWORD" else [])


def _repeated(value: bytes, digest: str, rounds: int) -> bytes:
    for _ in range(rounds):
        value = hashlib.new(_DIGESTS[digest], value).digest()
    return value


def _scrypt(password: bytes, salt: bytes, config: dict[str, Any]) -> bytes:
    """Firebase's own scrypt: the derived key encrypts the project's signer key.

    Source: https://github.com/firebase/scrypt
    """
    key = hashlib.scrypt(
        password,
        salt=salt + decoded(config.get("saltSeparator", "")),
        n=1 << _bounded(config["memoryCost"], 1, 14),
        r=_bounded(config["rounds"], 1, 8),
        p=1,
        maxmem=_MOST_MEMORY,
        dklen=64,
    )
    cipher = Cipher(algorithms.AES256(key[:32]), modes.CTR(bytes(16))).encryptor()
    return cipher.update(decoded(config["signerKey"])) + cipher.finalize()


def _standard_scrypt(password: bytes, salt: bytes, config: dict[str, Any]) -> bytes:
    cost = config.get("cpuMemCost") or config["memoryCost"]
    return hashlib.scrypt(
        password,
        salt=salt,
        n=cost,
        r=config["blockSize"],
        p=_bounded(config["parallelization"], 1, 64),
        maxmem=_MOST_MEMORY,
        dklen=_bounded(config["dkLen"], 1, 1024),
    )


_ARGON2: dict[str, Any] = {"ARGON2_ID": Argon2id, "ARGON2_I": Argon2i, "ARGON2_D": Argon2d}


def _argon2_config(parameters: Body) -> dict[str, Any]:
    names = ("hashLengthBytes", "parallelism", "iterations", "memoryCostKib")
    return {name: parameters.whole(name) for name in names} | {
        "hashType": parameters.text("hashType"),
        "associatedData": parameters.text("associatedData"),
    }


def _argon2(password: bytes, salt: bytes, config: dict[str, Any]) -> bytes:
    derive = _ARGON2[config["hashType"]](
        salt=salt.ljust(8, b"\0") if len(salt) < 8 else salt,
        length=_bounded(config["hashLengthBytes"], 4, 1024),
        iterations=_bounded(config["iterations"], 1, 16),
        lanes=_bounded(config["parallelism"], 1, 16),
        memory_cost=_bounded(config["memoryCostKib"], 1, 32_768),
        ad=decoded(config["associatedData"]) or None,
    )
    return bytes(derive.derive(password))


def _bcrypt(password: bytes, kept: bytes) -> list[bytes]:
    """By the operating system's `crypt`, where there is one that knows bcrypt."""
    if not kept.startswith((b"$2a$", b"$2b$", b"$2y$")) or b"\0" in password + kept:
        return []
    if (library := _libcrypt()) is None:
        return []
    found = library.crypt(password, kept)
    return [found] if found and found.startswith(b"$2") else []


@cache
def _libcrypt() -> ctypes.CDLL | None:
    if not (name := ctypes.util.find_library("crypt")):
        return None
    library = ctypes.CDLL(name)
    library.crypt.restype = ctypes.c_char_p
    return library

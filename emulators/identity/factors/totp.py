"""Time-based one-time passwords: RFC 6238 over HMAC-SHA-1, six digits, a step of thirty seconds."""

import hashlib
import hmac
import secrets
from base64 import b32decode, b32encode

DIGITS = 6
PERIOD = 30  # seconds
ALGORITHM = "SHA1"
_SECRET_BYTES = 20  # the output of SHA-1, which RFC 4226 recommends for the secret's length


def new_secret() -> str:
    """A random shared secret in base 32 without padding, as authenticator apps take it."""
    return b32encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def code_at(secret: str, step: int) -> str:
    """The code of a time step (whole periods since the epoch)."""
    digest = hmac.digest(b32decode(secret), step.to_bytes(8, "big"), hashlib.sha1)
    start = digest[-1] & 0x0F
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def accepted_step(
    secret: str, code: str, at: float, adjacent: int = 0, after: int = -1
) -> int | None:
    """The time step whose code this is, None when the code is not acceptable.

    `at`: seconds since the epoch. Steps up to `adjacent` away on either side count, for clocks
    that differ (the nearest first). Steps up to and including `after` do not: a code counts once
    (RFC 6238, section 5.2).
    """
    now = int(at // PERIOD)
    for distance in range(adjacent + 1):
        for step in sorted({now - distance, now + distance}):
            if step > after and hmac.compare_digest(code_at(secret, step).encode(), code.encode()):
                return step
    return None

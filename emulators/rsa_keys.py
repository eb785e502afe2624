"""RSA keys to sign with, and how they are kept."""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

RsaKey = rsa.RSAPrivateKey


def new_key() -> RsaKey:
    """A key of 2048 bits, as Google's own; it takes some 50 ms to find one."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def written(key: RsaKey) -> bytes:
    """PKCS 8 in PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def read(pem: bytes) -> RsaKey:
    """The key that was `written`; raises ValueError or TypeError for anything else."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, RsaKey):
        raise TypeError("it is a key of another kind")
    return key

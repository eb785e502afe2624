"""Importing accounts with the hashes of their passwords, by the official admin SDK."""

import base64
import ctypes.util
import hashlib
import hmac
from typing import Any

import firebase_admin
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from firebase_admin import auth

from tests.emulators.identity_client import (
    EMAIL,
    PASSWORD,
    PROJECT,
    TOOLKIT,
    IdentityClient,
    refusal,
)

KEY, SALT = b"signer key", b"NaCl"
TEXT = PASSWORD.encode()


def repeated(name: str, rounds: int) -> bytes:
    value = SALT + TEXT
    for _ in range(rounds):
        value = hashlib.new(name, value).digest()
    return value


HASHES: list[tuple[str, Any, bytes]] = [
    ("hmac sha512", auth.UserImportHash.hmac_sha512(KEY), hmac.digest(KEY, TEXT + SALT, "sha512")),
    ("hmac sha256", auth.UserImportHash.hmac_sha256(KEY), hmac.digest(KEY, SALT + TEXT, "sha256")),
    ("hmac sha1", auth.UserImportHash.hmac_sha1(KEY), hmac.digest(KEY, TEXT + SALT, "sha1")),
    ("hmac md5", auth.UserImportHash.hmac_md5(KEY), hmac.digest(KEY, TEXT + SALT, "md5")),
    ("md5", auth.UserImportHash.md5(0), repeated("md5", 1)),
    ("sha1", auth.UserImportHash.sha1(1), repeated("sha1", 1)),
    ("sha256", auth.UserImportHash.sha256(3), repeated("sha256", 3)),
    ("sha512", auth.UserImportHash.sha512(2), repeated("sha512", 2)),
    (
        "pbkdf sha1",
        auth.UserImportHash.pbkdf_sha1(500),
        hashlib.pbkdf2_hmac("sha1", TEXT, SALT, 500, 16),
    ),
    (
        "pbkdf2 sha256",
        auth.UserImportHash.pbkdf2_sha256(500),
        hashlib.pbkdf2_hmac("sha256", TEXT, SALT, 500),
    ),
    (
        "standard scrypt",
        auth.UserImportHash.standard_scrypt(1024, 1, 8, 64),
        hashlib.scrypt(TEXT, salt=SALT, n=1024, r=8, p=1, dklen=64),
    ),
]


@pytest.mark.parametrize(
    ("algorithm", "hash_"), [h[1:] for h in HASHES], ids=[h[0] for h in HASHES]
)
def test_an_imported_password_signs_in(
    app: firebase_admin.App, client: IdentityClient, algorithm: Any, hash_: bytes
) -> None:
    user = auth.ImportUserRecord("u-1", email=EMAIL, password_hash=hash_, password_salt=SALT)
    result = auth.import_users([user], hash_alg=algorithm, app=app)
    assert result.success_count == 1
    assert client.sign_in(EMAIL)["localId"] == "u-1"
    wrong = client.call("signInWithPassword", email=EMAIL, password="wrong horse")
    assert refusal(wrong) == "INVALID_LOGIN_CREDENTIALS"


def test_a_documented_hash_of_firebases_own_scrypt_signs_in(
    app: firebase_admin.App, client: IdentityClient
) -> None:
    """The sample of https://github.com/firebase/scrypt, password `user1password`."""
    algorithm = auth.UserImportHash.scrypt(
        key=base64.b64decode(
            "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
        ),
        salt_separator=base64.b64decode("Bw=="),
        rounds=8,
        memory_cost=14,
    )
    user = auth.ImportUserRecord(
        "u-1",
        email=EMAIL,
        password_hash=base64.b64decode(
            "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="
        ),
        password_salt=base64.b64decode("42xEC+ixf3L2lw=="),
    )
    auth.import_users([user], hash_alg=algorithm, app=app)
    signed = client.call("signInWithPassword", email=EMAIL, password="user1password")
    assert signed.json()["localId"] == "u-1"


@pytest.mark.skipif(not ctypes.util.find_library("crypt"), reason="no libcrypt in this system")
def test_a_bcrypt_hash_signs_in(app: firebase_admin.App, client: IdentityClient) -> None:
    hash_ = b"$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e"
    user = auth.ImportUserRecord("u-1", email=EMAIL, password_hash=hash_)
    auth.import_users([user], hash_alg=auth.UserImportHash.bcrypt(), app=app)
    assert client.sign_in(EMAIL)["localId"] == "u-1"
    wrong = client.call("signInWithPassword", email=EMAIL, password="wrong horse")
    assert refusal(wrong) == "INVALID_LOGIN_CREDENTIALS"


def test_an_argon2_hash_signs_in(client: IdentityClient) -> None:
    salt = b"8 or more bytes"
    hash_ = Argon2id(salt=salt, length=32, iterations=1, lanes=1, memory_cost=64).derive(TEXT)
    user = {
        "localId": "u-1",
        "email": EMAIL,
        "passwordHash": base64.urlsafe_b64encode(hash_).decode(),
        "salt": base64.urlsafe_b64encode(salt).decode(),
    }
    parameters = {
        "hashType": "ARGON2_ID",
        "hashLengthBytes": 32,
        "iterations": 1,
        "parallelism": 1,
        "memoryCostKib": 64,
    }
    client.admin(
        "accounts:batchCreate", users=[user], hashAlgorithm="ARGON2", argon2Parameters=parameters
    )
    assert client.sign_in(EMAIL)["localId"] == "u-1"


def test_an_exported_password_can_be_imported_again(
    app: firebase_admin.App, client: IdentityClient
) -> None:
    client.call("signUp", email=EMAIL, password=PASSWORD)
    (exported,) = auth.list_users(app=app).iterate_all()
    config = client.admin("config", "GET")["signIn"]["hashConfig"]
    auth.delete_user(exported.uid, app=app)
    user = auth.ImportUserRecord(
        exported.uid,
        email=EMAIL,
        password_hash=base64.urlsafe_b64decode(exported.password_hash),
        password_salt=base64.urlsafe_b64decode(exported.password_salt),
    )
    algorithm = auth.UserImportHash.scrypt(
        key=base64.b64decode(config["signerKey"]),
        salt_separator=base64.b64decode(config["saltSeparator"]),
        rounds=config["rounds"],
        memory_cost=config["memoryCost"],
    )
    auth.import_users([user], hash_alg=algorithm, app=app)
    assert client.sign_in(EMAIL)["localId"] == exported.uid


def test_everything_of_an_imported_account_is_kept(app: firebase_admin.App) -> None:
    user = auth.ImportUserRecord(
        "u-1",
        email=EMAIL,
        email_verified=True,
        display_name="Jane",
        phone_number="+15550001111",
        photo_url="http://localhost/p.png",
        disabled=True,
        user_metadata=auth.UserMetadata(1_500_000_000_000, 1_600_000_000_000),
        provider_data=[auth.UserProvider("1234", "google.com", email=EMAIL)],
        custom_claims={"role": "patient"},
    )
    assert auth.import_users([user], app=app).failure_count == 0
    found = auth.get_user("u-1", app=app)
    assert (found.email_verified, found.disabled) == (True, True)
    assert found.custom_claims == {"role": "patient"}
    assert found.user_metadata.creation_timestamp == 1_500_000_000_000
    assert found.user_metadata.last_sign_in_timestamp == 1_600_000_000_000
    linked = auth.get_users([auth.ProviderIdentifier("google.com", "1234")], app=app)
    assert [user.uid for user in linked.users] == ["u-1"]


def test_bad_entries_are_reported_and_the_others_kept(app: firebase_admin.App) -> None:
    auth.create_user(uid="u-0", email="taken@example.org", app=app)
    users = [
        auth.ImportUserRecord("u-1", email="one@example.org"),
        auth.ImportUserRecord("u-2", email="taken@example.org"),
        auth.ImportUserRecord("u-3", custom_claims={"role": "x" * 900}),
    ]
    result = auth.import_users(users, app=app)
    assert [(error.index, error.reason) for error in result.errors] == [
        (1, "email exists in other account in database")
    ]
    assert auth.get_user("u-3", app=app).custom_claims == {"role": "x" * 900}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "MISSING_USER_ACCOUNT"),
        ({"users": [{"localId": "a"}, {"localId": "a"}]}, "DUPLICATE_LOCAL_ID : a"),
        (
            {"users": [{"localId": "a", "passwordHash": "AAAA"}]},
            "MISSING_HASH_ALGORITHM",
        ),
        (
            {"users": [{"localId": "a", "passwordHash": "AAAA"}], "hashAlgorithm": "ROT13"},
            "INVALID_HASH_ALGORITHM",
        ),
        (
            {"users": [{"localId": "a", "passwordHash": "AAAA"}], "hashAlgorithm": "SCRYPT"},
            "INVALID_HASH_PARAMETERS",
        ),
    ],
)
def test_a_bad_import_is_refused(client: IdentityClient, body: dict[str, Any], code: str) -> None:
    path = f"{TOOLKIT}/v1/projects/{PROJECT}/accounts:batchCreate"
    answer = client.http.post(path, json=body, headers={"Authorization": "Bearer owner"})
    assert refusal(answer) == code

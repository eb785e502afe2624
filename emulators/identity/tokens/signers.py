"""Custom tokens: signing them, as a service account does, and signing in with one.

A custom token is signed RS256 for a service account of the project. An unsigned one, as official
SDKs make under FIREBASE_AUTH_EMULATOR_HOST, is refused. Who has to sign takes a key file from
`/emulator/v1/projects/{project}/serviceAccountKey`, or calls IAM Credentials here.
"""

import base64
import json
import secrets
from dataclasses import replace
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from emulators import rsa_keys
from emulators.identity.accounts.account import RESERVED_CLAIMS
from emulators.identity.accounts.people import active
from emulators.identity.directory import Directory
from emulators.identity.routing import EMULATOR, Access, Call, Route, for_people
from emulators.identity.tokens.sessions import LIFE, FirstFactor, decoded, key_id
from emulators.identity.wire import Refused
from emulators.journal import Journal
from emulators.rsa_keys import RsaKey

AUDIENCE = (
    "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"
)
_IAM = "/iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}"


def routes(directory: Directory) -> list[Route]:
    """`accounts:signInWithCustomToken`, the part of IAM Credentials that signs, and key files."""
    signers = Signers(directory)
    project = f"{EMULATOR}/projects/{{project}}"
    return [
        for_people("signInWithCustomToken", signers.sign_in),
        Route("POST", f"{_IAM}:signJwt", signers.sign_jwt, Access.OWNER),
        Route("POST", f"{_IAM}:signBlob", signers.sign_blob, Access.OWNER),
        Route("GET", f"{project}/serviceAccountKey", signers.key_file, Access.OPEN),
        Route("POST", "/token", signers.access_token, Access.OPEN),
    ]


class ServiceAccountKey:
    """One RSA key for all service accounts, made when it is first asked for and then kept."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @cached_property
    def private(self) -> RsaKey:
        for _, kept in self._journal.items("service-account-key"):
            return rsa_keys.read(kept)
        made = rsa_keys.new_key()
        self._journal.put("service-account-key", rsa_keys.written(made))
        return made

    @property
    def pem(self) -> str:
        return rsa_keys.written(self.private).decode()

    @cached_property
    def id(self) -> str:
        """A name for the key, made from its public half."""
        public = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = hashes.Hash(hashes.SHA256())
        digest.update(public)
        return digest.finalize().hex()[:40]


class Signers:
    """Signs for the projects' service accounts and believes what they signed."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._key = ServiceAccountKey(directory.journal)

    def sign_in(self, call: Call) -> dict[str, Any]:
        """Sign in to the account a custom token names, which is made if it is new."""
        active(call)
        token = call.body.required("token", "MISSING_CUSTOM_TOKEN")
        uid, claims = self._checked(call, token)
        account = call.silo.accounts.by_id(uid)
        is_new = account is None
        if account is None:
            account = self._directory.new_account(uid)
        account = replace(account, custom_auth=True)
        return {
            "kind": "identitytoolkit#VerifyCustomTokenResponse",
            "isNewUser": is_new,
            **self._directory.sign_in(call.silo, account, FirstFactor("custom", claims)),
        }

    def sign_jwt(self, call: Call) -> dict[str, Any]:
        """IAM Credentials' `signJwt`: how a service without a key file signs custom tokens.

        Only claims whose issuer is the account itself are signed.
        """
        try:
            claims = json.loads(call.body.text("payload"))
        except (ValueError, RecursionError):
            claims = None
        if not isinstance(claims, dict) or claims.get("iss") != call.path["account"]:
            raise Refused("Payload must be the claims of this account.", status="INVALID_ARGUMENT")
        tokens = self._directory.ground.tokens
        return {"keyId": tokens.key_id, "signedJwt": tokens.sign(claims)}

    def sign_blob(self, call: Call) -> dict[str, Any]:
        """IAM Credentials' `signBlob`, by the service accounts' key, which signs no ID tokens."""
        try:
            payload = base64.b64decode(call.body.text("payload"), validate=True)
        except ValueError:
            raise Refused("Payload must be base64.", status="INVALID_ARGUMENT") from None
        signature = self._key.private.sign(payload, padding.PKCS1v15(), hashes.SHA256())
        return {"keyId": self._key.id, "signedBlob": base64.b64encode(signature).decode()}

    def key_file(self, call: Call) -> dict[str, Any]:
        """A service account's key, in the form that Google's libraries read from a file."""
        project = call.silo.project
        return {
            "type": "service_account",
            "project_id": project,
            "private_key_id": self._key.id,
            "private_key": self._key.pem,
            "client_email": f"firebase-adminsdk@{project}.iam.gserviceaccount.com",
            "client_id": "100000000000000000000",
            "auth_uri": f"{call.origin}/o/oauth2/auth",
            "token_uri": f"{call.origin}/token",
        }

    def access_token(self, call: Call) -> dict[str, Any]:
        """OAuth's exchange of a signed assertion, as libraries make it with the key file."""
        try:
            decoded(call.body.text("assertion"), self._key.private.public_key(), None)
        except jwt.InvalidTokenError as error:
            raise Refused(f"invalid_grant : {error}") from None
        token = f"ya29.local-{secrets.token_urlsafe()}"
        return {"access_token": token, "expires_in": LIFE, "token_type": "Bearer"}

    def _claims(self, token: str) -> dict[str, Any]:
        """By the cloud's own key if the token names it, else by the service accounts'."""
        if key_id(token) == self._directory.ground.tokens.key_id:
            return self._directory.sessions.verified(token, AUDIENCE)
        return decoded(token, self._key.private.public_key(), AUDIENCE)

    def _checked(self, call: Call, token: str) -> tuple[str, dict[str, Any]]:
        """The person's id and the additional claims in a custom token."""
        sessions, silo = self._directory.sessions, call.silo
        try:
            claims = self._claims(token)
        except jwt.InvalidTokenError as error:
            raise Refused(f"INVALID_CUSTOM_TOKEN : {error}") from None
        uid, extra = claims.get("uid"), claims.get("claims") or {}
        owner = str(claims.get("iss", ""))
        if not owner or claims.get("sub") != owner or sessions.expired(claims):
            raise Refused("INVALID_CUSTOM_TOKEN")
        if not owner.endswith(f"@{silo.project}.iam.gserviceaccount.com"):
            raise Refused("CREDENTIAL_MISMATCH")
        if claims.get("tenant_id", "") != silo.tenant:
            raise Refused("TENANT_ID_MISMATCH")
        if uid is None:
            raise Refused("MISSING_IDENTIFIER")
        if not isinstance(uid, str) or not 0 < len(uid) <= 128 or not isinstance(extra, dict):
            raise Refused("INVALID_CUSTOM_TOKEN")
        for name in sorted(RESERVED_CLAIMS & extra.keys()):
            raise Refused(f"FORBIDDEN_CLAIM : {name}")
        return uid, extra

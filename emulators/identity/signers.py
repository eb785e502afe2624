"""Custom tokens: signing them, as a service account does, and signing in with one.

A custom token is signed RS256 for a service account of the project. An unsigned one, as official
SDKs make under FIREBASE_AUTH_EMULATOR_HOST, is refused.
"""

import json
from dataclasses import replace
from typing import Any

import jwt

from emulators.identity.accounts import RESERVED_CLAIMS
from emulators.identity.directory import Directory
from emulators.identity.people import active
from emulators.identity.routing import Access, Call, Route, for_people
from emulators.identity.sessions import FirstFactor
from emulators.identity.wire import Refused

AUDIENCE = (
    "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"
)
_IAM = "/iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}"


def routes(directory: Directory) -> list[Route]:
    """`accounts:signInWithCustomToken`, and the part of IAM Credentials that signs tokens."""
    signers = Signers(directory)
    return [
        for_people("signInWithCustomToken", signers.sign_in),
        Route("POST", f"{_IAM}:signJwt", signers.sign_jwt, Access.OWNER),
    ]


class Signers:
    """Signs for the project's service accounts and believes what they signed."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

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

    def _checked(self, call: Call, token: str) -> tuple[str, dict[str, Any]]:
        """The person's id and the additional claims in a custom token."""
        sessions, silo = self._directory.sessions, call.silo
        try:
            claims = sessions.verified(token, AUDIENCE)
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

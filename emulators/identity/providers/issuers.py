"""Tokens of identity providers: our own stand-in for Google and the rest, and configured issuers.

A token counts only with an RS256 signature: of this cloud, which signs what `/emulator/v1/
projects/{project}/idTokens` is told, or of the issuer that an OIDC provider's configuration names,
whose keys are fetched by OpenID Connect Discovery. JSON in place of a token is refused.
"""

import json
from typing import Any

import aiohttp
import jwt

from emulators.identity.directory import Directory
from emulators.identity.providers.configs import DEFAULT, OIDC, SAML, Kind
from emulators.identity.routing import EMULATOR, Access, Call, Route
from emulators.identity.silo import Silo
from emulators.identity.tokens.sessions import decoded, key_id
from emulators.identity.wire import Refused

_WITHIN = aiohttp.ClientTimeout(total=5)
_GOOGLE = "https://accounts.google.com"
_UNSIGNED = (
    "INVALID_IDP_RESPONSE : The token is not signed by this cloud or by the configured issuer. "
    "POST the claims to /emulator/v1/projects/{project}/idTokens to get a signed one."
)


def routes(directory: Directory) -> list[Route]:
    """The stand-in for identity providers."""
    project = f"{EMULATOR}/projects/{{project}}"
    issuers = Issuers(directory)
    return [
        Route("POST", f"{project}/idTokens", issuers.issue, Access.OPEN),
        Route("POST", f"{project}/tenants/{{tenant}}/idTokens", issuers.issue, Access.OPEN),
    ]


def kind_of(provider_id: str) -> Kind:
    if provider_id.startswith("oidc."):
        return OIDC
    return SAML if provider_id.startswith("saml.") else DEFAULT


class Issuers:
    """Makes and checks the tokens of identity providers."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def issue(self, call: Call) -> dict[str, Any]:
        """A token of `providerId` with the other fields as claims; `sub` says who it is."""
        provider_id = call.body.required("providerId", "MISSING_PROVIDER_ID")
        call.body.required("sub", "INVALID_IDP_RESPONSE : Missing sub.")
        claims = call.body.without("providerId").without("tenantId").resource()
        return {"idToken": self.signed(call.silo, provider_id, claims)}

    def signed(self, silo: Silo, provider_id: str, claims: dict[str, Any]) -> str:
        issuer, audience = self._parties(silo, provider_id)
        given = {name: value for name, value in claims.items() if name not in ("iat", "exp")}
        told = given | {"iss": issuer, "aud": audience}
        return self._directory.ground.tokens.sign(told)

    async def claims(self, silo: Silo, provider_id: str, token: str) -> dict[str, Any]:
        """What a provider's token says; raises `Refused` unless it is signed and still good."""
        config = self._directory.providers.get(silo, kind_of(provider_id), provider_id)
        if config is not None and not config.get("enabled", False):
            raise Refused("OPERATION_NOT_ALLOWED")
        issuer, audience = self._parties(silo, provider_id)
        try:
            if key_id(token) == self._directory.ground.tokens.key_id:
                claims = self._directory.sessions.verified(token, audience)
            elif config is not None and kind_of(provider_id) is OIDC:
                claims = decoded(token, await self._key(issuer, key_id(token)), audience)
            else:
                raise Refused(_UNSIGNED)
        except jwt.InvalidTokenError as error:
            raise Refused(f"{_UNSIGNED} ({error})") from None
        if claims.get("iss") != issuer or self._directory.sessions.expired(claims):
            raise Refused("INVALID_IDP_RESPONSE : The token has expired or another issuer.")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise Refused("INVALID_IDP_RESPONSE : The token does not say whom it is about (sub).")
        return claims

    def _parties(self, silo: Silo, provider_id: str) -> tuple[str, str]:
        """Issuer and audience of a provider's tokens; the project where none is configured."""
        kind = kind_of(provider_id)
        config = self._directory.providers.get(silo, kind, provider_id) or {}
        known = _GOOGLE if provider_id == "google.com" else f"https://{provider_id}"
        issuer = str(config.get("issuer") or known)
        return issuer, str(config.get("clientId") or silo.project)

    async def _key(self, issuer: str, name: str) -> Any:
        """The key of this name that an issuer publishes; raises `jwt.InvalidTokenError`."""
        try:
            found = await self._document(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            keys = (await self._document(str(found.get("jwks_uri", ""))))["keys"]
            matching = [key for key in keys if key.get("kid") == name and key.get("kty") == "RSA"]
            return jwt.PyJWK(matching[0], "RS256").key
        except (aiohttp.ClientError, TimeoutError) as error:
            raise jwt.InvalidTokenError(f"{issuer} did not answer: {error}") from error
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise jwt.InvalidTokenError(f"{issuer} publishes no such key") from error

    async def _document(self, address: str) -> dict[str, Any]:
        if not address.startswith(("http://", "https://")):
            raise ValueError(address)
        ground = self._directory.ground
        with ground.agenda.busy():
            async with ground.session.get(address, timeout=_WITHIN) as answer:
                found = json.loads(await answer.text())
        if not isinstance(found, dict):
            raise TypeError(address)
        return found

"""Secure Token v1 (refresh), and the certificates of everything this cloud signs."""

from dataclasses import replace
from typing import Any

from aiohttp import web
from cryptography import x509
from jwt.algorithms import RSAAlgorithm

from emulators.clock import micros
from emulators.identity.directory import Directory
from emulators.identity.routing import V1, Access, Call, Route
from emulators.identity.tokens.sessions import LIFE
from emulators.identity.wire import Refused

_SECURE_TOKEN = "/securetoken.googleapis.com/v1/token"  # noqa: S105 -- a path
_GOOGLE = ("", "/www.googleapis.com")  # with and without the host's name in the path
_CERTIFICATES = (
    "/certs",
    f"{V1}/publicKeys",
    *(
        host + path
        for host in _GOOGLE
        for path in (
            "/oauth2/v1/certs",
            "/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com",
            "/identitytoolkit/v3/relyingparty/publicKeys",
        )
    ),
)
_KEY_SETS = (
    f"{V1}/sessionCookiePublicKeys",
    "/oauth2/v3/certs",
    *(host + "/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com" for host in _GOOGLE),
)
_DISCOVERY = "/securetoken.google.com/{project}/.well-known/openid-configuration"
_CACHED = {"Cache-Control": "public, max-age=3600, must-revalidate, no-transform"}


def routes(directory: Directory) -> list[Route]:
    """`POST token` for people, and where verifiers look for certificates and keys."""

    def refresh(call: Call) -> dict[str, Any]:
        return _refreshed(directory, call)

    def certificates(_: Call) -> web.Response:
        return web.json_response(directory.ground.tokens.certificates(), headers=_CACHED)

    def key_set(_: Call) -> web.Response:
        issued = directory.ground.tokens.certificates().items()
        keys = [_jwk(name, certificate) for name, certificate in issued]
        return web.json_response({"keys": keys}, headers=_CACHED)

    def discovery(call: Call) -> dict[str, Any]:
        """OpenID Connect Discovery of the issuer that ID tokens name."""
        return {
            "issuer": f"https://securetoken.google.com/{call.silo.project}",
            "jwks_uri": f"{call.origin}{_KEY_SETS[-1]}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    return [
        Route("POST", _SECURE_TOKEN, refresh),
        Route("GET", _DISCOVERY, discovery, Access.OPEN),
        *(Route("GET", path, certificates, Access.OPEN) for path in _CERTIFICATES),
        *(Route("GET", path, key_set, Access.OPEN) for path in _KEY_SETS),
    ]


def _jwk(name: str, certificate: str) -> dict[str, Any]:
    """The key of a certificate as JSON Web Key (RFC 7517)."""
    key: Any = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    told: dict[str, Any] = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {"kid": name, "use": "sig", "alg": "RS256"} | {f: told[f] for f in ("kty", "n", "e")}


def _refreshed(directory: Directory, call: Call) -> dict[str, Any]:
    """Exchange a refresh token; the body is a form, or JSON with the names of either style."""
    body = call.body
    if not (grant := body.text("grant_type") or body.text("grantType")):
        raise Refused("MISSING_GRANT_TYPE")
    if grant != "refresh_token":
        raise Refused("INVALID_GRANT_TYPE")
    if not (token := body.text("refresh_token") or body.text("refreshToken")):
        raise Refused("MISSING_REFRESH_TOKEN")
    session = directory.sessions.session(token)
    silo = directory.silo(session.project, session.tenant)
    id_token, account = directory.sessions.refresh(silo, session)
    now = micros(directory.ground.clock.now()) // 1000
    silo.accounts.save(replace(account, last_refresh_at=now))
    return {
        "access_token": id_token,
        "id_token": id_token,
        "refresh_token": token,
        "token_type": "Bearer",
        "expires_in": str(LIFE),
        "user_id": account.local_id,
        "project_id": session.project,
    }

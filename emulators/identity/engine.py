"""Identity Platform by REST: Identity Toolkit v1 for people and administrators, Secure Token v1.

Paths carry the API's host name as their first part, where Google's clients look for an emulator
(FIREBASE_AUTH_EMULATOR_HOST). Unlike the usual emulator every token is signed, and the
certificates are published.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from emulators.engine import Ground, HttpServer
from emulators.identity.accounts import Accounts
from emulators.identity.admin import Admin
from emulators.identity.people import People
from emulators.identity.sessions import LIFE, Sessions
from emulators.identity.wire import Body, Refused

Operation = Callable[[Body], dict[str, Any]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TOOLKIT = "/identitytoolkit.googleapis.com/v1"
_CERTIFICATES = (
    "/certs",
    "/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com",
    "/oauth2/v1/certs",
)


class Identity:
    """One Identity Platform project, that of the ground.

    Calls for people need an API key (any) in `key`, as the real API does; calls for
    administrators need `Authorization: Bearer owner`, which firebase-admin sends to emulators.
    """

    name = "identity"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._journal = ground.journal(self.name)
        self._accounts = Accounts(self._journal)
        self._sessions = Sessions(ground, self._accounts, self._journal)
        self._people = People(ground, self._accounts, self._sessions)
        self._admin = Admin(ground, self._accounts, self._sessions)
        self._server = HttpServer(ground, self.name)

    async def start(self, port: int = 0) -> int:
        return await self._server.start(self._routes(), port)

    async def stop(self) -> None:
        await self._server.stop()
        self._journal.close()

    def describe(self) -> dict[str, Any]:
        return {
            "accounts": [account.described() for account in self._accounts],
            "signIns": len(self._sessions),
        }

    def _routes(self) -> list[web.RouteDef]:
        people, admin = self._people, self._admin
        for_people: dict[str, Operation] = {
            "signUp": people.sign_up,
            "signInWithPassword": people.sign_in_with_password,
            "signInWithCustomToken": people.sign_in_with_custom_token,
            "lookup": people.lookup,
            "update": people.update,
            "delete": people.delete,
        }
        for_admins: dict[str, Operation] = {
            "accounts": admin.create,
            "accounts:lookup": admin.lookup,
            "accounts:update": admin.update,
            "accounts:delete": admin.delete,
            "accounts:batchDelete": admin.batch_delete,
            "accounts:query": admin.query,
        }
        project = _TOOLKIT + "/projects/{project}/"
        signer = "/iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:signJwt"
        return [
            *(
                web.post(f"{_TOOLKIT}/accounts:{verb}", self._public(operation))
                for verb, operation in for_people.items()
            ),
            *(web.post(project + path, self._owned(op)) for path, op in for_admins.items()),
            web.get(project + "accounts:batchGet", self._batch_get),
            web.post("/securetoken.googleapis.com/v1/token", self._token),
            web.post(signer, self._sign_jwt),
            *(web.get(path, self._certificates) for path in _CERTIFICATES),
        ]

    def _public(self, operation: Operation) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                _need_key(request)
                return web.json_response(operation(await Body.of(request)))
            except Refused as refused:
                return refused.response()

        return handle

    def _owned(self, operation: Operation) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                self._need_owner(request)
                return web.json_response(operation(await Body.of(request)))
            except Refused as refused:
                return refused.response()

        return handle

    def _need_owner(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != "Bearer owner":
            raise Refused("Request had invalid authentication credentials.", 401, "UNAUTHENTICATED")
        if request.match_info.get("project", self._ground.project) != self._ground.project:
            raise Refused("CONFIGURATION_NOT_FOUND")

    async def _batch_get(self, request: web.Request) -> web.Response:
        try:
            self._need_owner(request)
            return web.json_response(self._admin.batch_get(Body(dict(request.query))))
        except Refused as refused:
            return refused.response()

    async def _token(self, request: web.Request) -> web.Response:
        """Exchange a refresh token; the body is a form, or JSON with the same names."""
        try:
            _need_key(request)
            if request.content_type == "application/json":
                body = await Body.of(request)
            else:
                body = Body(dict(await request.post()))
            if body.text("grant_type") != "refresh_token":
                raise Refused(
                    "INVALID_GRANT_TYPE" if body.has("grant_type") else "MISSING_GRANT_TYPE"
                )
            if not (token := body.text("refresh_token")):
                raise Refused("MISSING_REFRESH_TOKEN")
            id_token, local_id = self._sessions.refresh(token)
        except Refused as refused:
            return refused.response()
        return web.json_response(
            {
                "access_token": id_token,
                "id_token": id_token,
                "refresh_token": token,
                "token_type": "Bearer",
                "expires_in": str(LIFE),
                "user_id": local_id,
                "project_id": self._ground.project,
            }
        )

    async def _sign_jwt(self, request: web.Request) -> web.Response:
        """IAM Credentials' `signJwt`: how a service without a key file signs custom tokens."""
        try:
            self._need_owner(request)
            signed = self._admin.sign_jwt(request.match_info["account"], await Body.of(request))
        except Refused as refused:
            return refused.response()
        return web.json_response({"keyId": self._ground.tokens.key_id, "signedJwt": signed})

    async def _certificates(self, _: web.Request) -> web.Response:
        return web.json_response(
            self._ground.tokens.certificates(),
            headers={"Cache-Control": "public, max-age=3600, must-revalidate, no-transform"},
        )


def _need_key(request: web.Request) -> None:
    if not request.query.get("key") and not request.headers.get("X-Goog-Api-Key"):
        raise Refused("The request is missing a valid API key.", 403, "PERMISSION_DENIED")

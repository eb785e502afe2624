"""Identity Platform by REST: Identity Toolkit v1 and v2 for people and administrators, Secure
Token v1.

Paths carry the API's host name as their first part, where Google's clients look for an emulator
(FIREBASE_AUTH_EMULATOR_HOST). Unlike the usual emulator every token is signed, and the
certificates are published.
"""

from typing import Any

from emulators.engine import Ground, HttpServer
from emulators.identity import control
from emulators.identity.accounts import admin, imports, password_policy, people, updates
from emulators.identity.directory import Directory
from emulators.identity.email import actions, mailing, redeeming
from emulators.identity.factors import mfa
from emulators.identity.legacy import aliases
from emulators.identity.providers import federated, issuers, resources, stand_in
from emulators.identity.routing import fallbacks, mounted
from emulators.identity.settings import tenants
from emulators.identity.tokens import cookies, secure_token, signers

_MODULES = (
    people,
    password_policy,
    updates,
    admin,
    imports,
    mailing,
    redeeming,
    actions,
    mfa,
    federated,
    issuers,
    stand_in,
    resources,
    secure_token,
    cookies,
    signers,
    tenants,
    control,
)


class Identity:
    """Identity Platform for any project; an API key stands for the ground's own project.

    Calls for people need an API key (any) in `key`, as the real API does; calls for
    administrators need `Authorization: Bearer owner`, which official SDKs send to emulators.
    """

    name = "identity"

    def __init__(self, ground: Ground) -> None:
        self._journal = ground.journal(self.name)
        self._directory = Directory(ground, self._journal)
        routes = [route for module in _MODULES for route in module.routes(self._directory)]
        self._routes = [*routes, *aliases(routes)]
        self._server = HttpServer(ground, self.name)

    async def start(self, port: int = 0) -> int:
        routes = [mounted(self._directory, route) for route in self._routes]
        return await self._server.start([*routes, *fallbacks()], port)

    async def stop(self) -> None:
        await self._server.stop()
        self._journal.close()

    def describe(self) -> dict[str, Any]:
        """The accounts of the ground's own project first; `inbox` is what was "sent" to people."""
        directory = self._directory
        return {
            "accounts": [
                account.described(silo.tenant)
                for silo in directory.silos()
                for account in silo.accounts
            ],
            "signIns": len(directory.sessions),
            "inbox": directory.inbox.describe(),
        }

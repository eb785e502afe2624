"""What all modules of the engine share: the silos of accounts, their sign-ins, their in-box."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from emulators.clock import micros
from emulators.engine import Ground
from emulators.identity.accounts.account import Account
from emulators.identity.email.codes import Codes
from emulators.identity.providers.configs import Providers
from emulators.identity.settings.configuration import Configuration
from emulators.identity.silo import Silo
from emulators.identity.tokens.sessions import FirstFactor, Sessions
from emulators.identity.wire import Refused
from emulators.journal import Journal
from emulators.vendors.inbox import Inbox

_PROJECT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.:_-]{0,62}")

Challenge = Callable[[Silo, Account, FirstFactor], dict[str, Any] | None]


class Directory:
    """The platform's silos. Projects come into being when they are first named, tenants do not.

    `challenges` are asked, in turn, before a sign-in with a first factor ends: what one of them
    answers (a pending credential) is sent instead of tokens. `inbox` holds what was "sent".
    """

    def __init__(self, ground: Ground, journal: Journal) -> None:
        self.ground = ground
        self.journal = journal
        self.configuration = Configuration(journal)
        self.sessions = Sessions(ground, journal)
        self.challenges: list[Challenge] = []
        self.providers = Providers(journal)
        self.codes = Codes(ground, journal)
        self.inbox = Inbox(ground, "identity", journal)
        self._silos: dict[tuple[str, str], Silo] = {}

    def silo(self, project: str, tenant: str = "") -> Silo:
        """Raises `Refused` for a name no project can have and for an unknown tenant."""
        if (known := self._silos.get((project, tenant))) is not None:
            return known
        if not _PROJECT.fullmatch(project):
            raise Refused("CONFIGURATION_NOT_FOUND")
        if tenant and not self.configuration.has_tenant(project, tenant):
            raise Refused("TENANT_NOT_FOUND")
        silo = Silo(project, tenant, self.journal, self.configuration)
        self._silos[(project, tenant)] = silo
        return silo

    def silos(self) -> list[Silo]:
        """Those in use, the ground's own project first."""
        first = self.silo(self.ground.project)
        return [first, *(silo for silo in self._silos.values() if silo is not first)]

    def clear(self, silo: Silo) -> None:
        """Remove all accounts of a silo with their sign-ins."""
        with self.journal.batch():
            for account in list(silo.accounts):
                self.remove(silo, account)
            self.codes.clear(silo)

    def forget(self, silo: Silo) -> None:
        """Clear a silo whose tenant is being deleted."""
        self.clear(silo)
        self.providers.clear(silo)
        self._silos.pop((silo.project, silo.tenant), None)

    def new_account(self, local_id: str, **fields: Any) -> Account:
        """An account made now, not yet kept."""
        now = micros(self.ground.clock.now())
        return Account(local_id, created_at=now // 1000, valid_since=now // 1_000_000, **fields)

    def save(self, silo: Silo, account: Account) -> Account:
        """Durable when it returns. Raises `Refused` if another account has what must be unique."""
        self.ground.agenda.touch()
        return silo.accounts.save(account)

    def remove(self, silo: Silo, account: Account) -> None:
        with self.journal.batch():
            silo.accounts.delete(account.local_id)
            self.sessions.end(silo, account.local_id)
        self.ground.agenda.touch()

    def account_of(self, silo: Silo, id_token: str) -> tuple[Account, dict[str, Any]]:
        """The account an ID token of this silo speaks for, and its claims.

        Raises `Refused`: INVALID_ID_TOKEN unless it is signed by us for this project,
        TENANT_ID_MISMATCH, TOKEN_EXPIRED past its hour or revoked, USER_NOT_FOUND, USER_DISABLED.
        """
        return self.sessions.account_of(silo, id_token)

    def sign_in(self, silo: Silo, account: Account, first: FirstFactor) -> dict[str, Any]:
        """End a sign-in by a first factor: `localId` and tokens, or what a second factor needs.

        The account is kept as given, changes of the caller included.
        """
        if account.disabled:
            raise Refused("USER_DISABLED")
        for challenge in self.challenges:
            if (pending := challenge(silo, account, first)) is not None:
                self.save(silo, account)
                return {"localId": account.local_id, **pending}
        return self.admit(silo, account, first)

    def admit(
        self,
        silo: Silo,
        account: Account,
        first: FirstFactor,
        second: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Sign in without asking for a second factor: it was given, or none is needed.

        `second` is what the token's `firebase` claim says of it: `sign_in_second_factor`,
        `second_factor_identifier`.
        """
        now = micros(self.ground.clock.now()) // 1000
        with self.journal.batch():
            account = self.save(silo, replace(account, last_login_at=now, last_refresh_at=now))
            tokens = self.sessions.begin(silo, account, first, second)
        return {"localId": account.local_id, **tokens}

    def send(self, silo: Silo, message: dict[str, Any]) -> None:
        """Put into the in-box what would have been sent: `kind`, `to`, `subject` and the rest."""
        body = {k: v for k, v in message.items() if k not in ("kind", "to", "subject")}
        body["project"] = silo.project
        if silo.tenant:
            body["tenantId"] = silo.tenant
        subject = message.get("subject") or message.get("text", "")
        self.inbox.add(message["kind"], message["to"], subject, body)

"""One pool of accounts, with the settings in force for it."""

from emulators.identity.accounts.account import Accounts
from emulators.identity.settings.configuration import Configuration, Settings
from emulators.journal import Journal


class Silo:
    """The accounts of a project itself (`tenant` is ''), or of one of its tenants.

    Accounts of different silos know nothing of one another, even with the same address.
    Source: https://cloud.google.com/identity-platform/docs/multi-tenancy
    """

    def __init__(
        self, project: str, tenant: str, journal: Journal, configuration: Configuration
    ) -> None:
        self.project = project
        self.tenant = tenant
        self.key = f"{project}/{tenant or '-'}/"
        self._configuration = configuration
        self.accounts = Accounts(journal, f"account/{self.key}")

    @property
    def settings(self) -> Settings:
        """What is in force now: of the tenant, and of its project where tenants have no say."""
        return self._configuration.settings(self.project, self.tenant)

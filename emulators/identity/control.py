"""What tests and tools ask of an emulator alone: the official one's `/emulator/v1` endpoints.

Source: https://firebase.google.com/docs/reference/rest/auth#section-auth-emulator
"""

from typing import Any

from emulators.identity.directory import Directory
from emulators.identity.routing import EMULATOR, Access, Call, Route


def routes(directory: Directory) -> list[Route]:
    """Clearing accounts, and the two settings that tests change most; nobody has to sign in."""
    control = Control(directory)
    project = f"{EMULATOR}/projects/{{project}}"
    return [
        Route("GET", "/", lambda _: {"authEmulator": {"ready": True}}, Access.OPEN),
        Route("DELETE", f"{project}/accounts", control.clear, Access.OPEN),
        Route("DELETE", f"{project}/tenants/{{tenant}}/accounts", control.clear, Access.OPEN),
        Route("GET", f"{project}/config", control.config, Access.OPEN),
        Route("PATCH", f"{project}/config", control.update, Access.OPEN),
    ]


class Control:
    """Each method takes a call and answers the response's body."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._configuration = directory.configuration

    def clear(self, call: Call) -> dict[str, Any]:
        """Remove all accounts of the project itself, or of the tenant."""
        self._directory.clear(call.silo)
        return {}

    def config(self, call: Call) -> dict[str, Any]:
        settings = call.silo.settings
        return {
            "signIn": {"allowDuplicateEmails": settings.duplicate_emails},
            "emailPrivacyConfig": {"enableImprovedEmailPrivacy": settings.email_privacy},
        }

    def update(self, call: Call) -> dict[str, Any]:
        config = self._configuration.project(call.silo.project)
        for part, name in (
            ("signIn", "allowDuplicateEmails"),
            ("emailPrivacyConfig", "enableImprovedEmailPrivacy"),
        ):
            given = call.body.child(part)
            if given.has(name):
                config[part] = (config.get(part) or {}) | {name: given.flag(name)}
        self._configuration.set_project(call.silo.project, config)
        self._directory.ground.agenda.touch()
        return self.config(call)

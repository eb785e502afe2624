"""Projects' and tenants' settings, kept as the resources of Identity Platform's admin API v2."""

import json
import secrets
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from emulators.journal import Journal

Resource = dict[str, Any]

_MFA_ON = {
    "state": "ENABLED",
    "enabledProviders": ["PHONE_SMS"],
    "providerConfigs": [{"state": "ENABLED", "totpProviderConfig": {"adjacentIntervals": 5}}],
}


@dataclass(frozen=True)
class Settings:
    """What is in force in one silo. `mfa` is the API's `MultiFactorAuthConfig`.

    `test_phone_numbers`: number -> the code it always has.
    """

    disabled: bool
    passwords: bool
    email_links: bool
    anonymous: bool
    phone: bool
    test_phone_numbers: dict[str, str]
    duplicate_emails: bool
    email_privacy: bool
    password_policy: Resource
    mfa: Resource


def project_defaults(project: str) -> Resource:
    """A new project: every way of signing in is on, unlike in the cloud, so that tests can begin;
    e-mail enumeration protection is on as it is for new projects there.
    """
    return {
        "name": f"projects/{project}/config",
        "signIn": {
            "email": {"enabled": True, "passwordRequired": False},
            "phoneNumber": {"enabled": True, "testPhoneNumbers": {}},
            "anonymous": {"enabled": True},
            "allowDuplicateEmails": False,
        },
        "mfa": deepcopy(_MFA_ON),
        "multiTenant": {"allowTenants": True},
        "authorizedDomains": ["localhost", f"{project}.firebaseapp.com", f"{project}.web.app"],
        "emailPrivacyConfig": {"enableImprovedEmailPrivacy": True},
        "notification": {},
        "quota": {},
        "monitoring": {"requestLogging": {}},
        "blockingFunctions": {},
        "client": {"permissions": {}},
    }


class Configuration:
    """The `Config` of each project and its `Tenant`s, by id in the order they were made."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._projects: dict[str, Resource] = {}
        self._tenants: dict[str, dict[str, Resource]] = {}
        for key, value in journal.items("config/"):
            self._projects[key.removeprefix("config/")] = json.loads(value)
        for key, value in journal.items("tenant/"):
            project, tenant = key.removeprefix("tenant/").split("/")
            self._tenants.setdefault(project, {})[tenant] = json.loads(value)

    def project(self, project: str) -> Resource:
        """A copy of the project's configuration."""
        return deepcopy(self._projects.get(project) or project_defaults(project))

    def set_project(self, project: str, config: Resource) -> None:
        self._journal.put(f"config/{project}", json.dumps(config).encode())
        self._projects[project] = deepcopy(config)

    def own_domains(self, project: str) -> list[str]:
        """The authorized domains, where a project has chosen any; else none, which allows all."""
        chosen = self._projects.get(project, {}).get("authorizedDomains") or []
        return [] if chosen == project_defaults(project)["authorizedDomains"] else chosen

    def has_tenant(self, project: str, tenant: str) -> bool:
        return tenant in self._tenants.get(project, {})

    def tenant(self, project: str, tenant: str) -> Resource:
        """A copy of the tenant, which must exist."""
        return deepcopy(self._tenants[project][tenant])

    def tenants(self, project: str) -> list[str]:
        """The ids of a project's tenants in their order."""
        return sorted(self._tenants.get(project, {}))

    def new_tenant_id(self, display_name: str) -> str:
        """An id as the platform makes it: the display name and five letters more."""
        letters = "abcdefghijklmnopqrstuvwxyz0123456789"
        suffix = "".join(secrets.choice(letters) for _ in range(5))
        return f"{display_name.lower() or 'tenant'}-{suffix}"

    def set_tenant(self, project: str, tenant: str, resource: Resource) -> None:
        self._journal.put(f"tenant/{project}/{tenant}", json.dumps(resource).encode())
        self._tenants.setdefault(project, {})[tenant] = deepcopy(resource)

    def delete_tenant(self, project: str, tenant: str) -> None:
        self._journal.delete(f"tenant/{project}/{tenant}")
        self._tenants.get(project, {}).pop(tenant, None)

    def settings(self, project: str, tenant: str) -> Settings:
        config = self._projects.get(project) or project_defaults(project)
        sign_in = config.get("signIn") or {}
        duplicates = bool(sign_in.get("allowDuplicateEmails"))
        if tenant:
            own = self._tenants[project][tenant]
            return Settings(
                disabled=bool(own.get("disableAuth")),
                passwords=bool(own.get("allowPasswordSignup")),
                email_links=bool(own.get("enableEmailLinkSignin")),
                anonymous=bool(own.get("enableAnonymousUser")),
                phone=False,
                test_phone_numbers=own.get("testPhoneNumbers") or {},
                duplicate_emails=duplicates,
                email_privacy=_privacy(own if "emailPrivacyConfig" in own else config),
                password_policy=own.get("passwordPolicyConfig") or {},
                mfa=own.get("mfaConfig") or {"state": "DISABLED"},
            )
        email, phone = sign_in.get("email") or {}, sign_in.get("phoneNumber") or {}
        return Settings(
            disabled=False,
            passwords=bool(email.get("enabled")),
            email_links=bool(email.get("enabled")) and not email.get("passwordRequired"),
            anonymous=bool((sign_in.get("anonymous") or {}).get("enabled")),
            phone=bool(phone.get("enabled")),
            test_phone_numbers=phone.get("testPhoneNumbers") or {},
            duplicate_emails=duplicates,
            email_privacy=_privacy(config),
            password_policy=config.get("passwordPolicyConfig") or {},
            mfa=config.get("mfa") or {"state": "DISABLED"},
        )


def _privacy(resource: Resource) -> bool:
    return bool((resource.get("emailPrivacyConfig") or {}).get("enableImprovedEmailPrivacy"))

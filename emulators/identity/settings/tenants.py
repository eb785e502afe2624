"""Projects' configuration and tenants: the admin API v2.

Source: https://cloud.google.com/identity-platform/docs/reference/rest/v2/projects.tenants
"""

import re
from itertools import islice
from typing import Any

from emulators.identity.accounts import password_policy
from emulators.identity.accounts.passwords import HASH_CONFIG
from emulators.identity.directory import Directory
from emulators.identity.factors.phone import check_test_numbers
from emulators.identity.factors.rules import Rules
from emulators.identity.routing import V1, V2, Access, Call, Route
from emulators.identity.settings.configuration import Resource, project_defaults
from emulators.identity.settings.field_masks import updated
from emulators.identity.wire import Body, Refused

_LARGEST_PAGE = 1000
_DISPLAY_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]{3,19}")
_CONFIG_FIELDS = frozenset(
    {
        *("autodeleteAnonymousUsers", "authorizedDomains", "blockingFunctions", "client"),
        *("emailPrivacyConfig", "mfa", "mobileLinksConfig", "monitoring", "multiTenant"),
        *("notification", "passwordPolicyConfig", "quota", "recaptchaConfig", "signIn"),
        *("smsRegionConfig", "usageMode", "subtype"),
    }
)
_FLAGS = ("allowPasswordSignup", "enableEmailLinkSignin", "enableAnonymousUser", "disableAuth")
_TENANT_FIELDS = frozenset(
    {
        *_FLAGS,
        *("autodeleteAnonymousUsers", "client", "displayName", "emailPrivacyConfig"),
        *("inheritance", "mfaConfig", "mobileLinksConfig", "monitoring"),
        *("passwordPolicyConfig", "recaptchaConfig", "smsRegionConfig", "testPhoneNumbers"),
    }
)
_TRIGGERS = frozenset({"beforeCreate", "beforeSignIn", "beforeSendEmail", "beforeSendSms"})


def routes(directory: Directory) -> list[Route]:
    """The configuration of projects, the CRUD of tenants, and what browsers ask first."""
    admin = Tenants(directory)
    project = f"{V2}/projects/{{project}}"
    tenant = project + "/tenants/{tenant}"

    def owned(method: str, path: str, operation: Any) -> Route:
        return Route(method, path, operation, Access.OWNER)

    return [
        Route("GET", f"{V1}/projects", admin.public_config),
        owned("GET", f"{project}/config", admin.config),
        owned("PATCH", f"{project}/config", admin.update_config),
        owned("POST", f"{project}/identityPlatform:initializeAuth", lambda _: {}),
        owned("GET", f"{project}/tenants", admin.page),
        owned("POST", f"{project}/tenants", admin.create),
        owned("GET", tenant, admin.get),
        owned("PATCH", tenant, admin.update),
        owned("DELETE", tenant, admin.delete),
    ]


class Tenants:
    """Each method takes a call and answers the response's body."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._configuration = directory.configuration

    def public_config(self, call: Call) -> dict[str, Any]:
        """What anybody with an API key may know of its project."""
        project = call.silo.project
        config = self._configuration.project(project)
        return {"projectId": project, "authorizedDomains": config.get("authorizedDomains", [])}

    def config(self, call: Call) -> dict[str, Any]:
        config = self._configuration.project(call.silo.project)
        config["signIn"] = config.get("signIn") or {}
        config["signIn"]["hashConfig"] = HASH_CONFIG
        return config

    def update_config(self, call: Call) -> dict[str, Any]:
        """Change the fields that `updateMask` names; without one, reset those not given."""
        project, update = call.silo.project, call.body.resource()
        _check_triggers(call)
        mask = call.query.text("updateMask")
        before = self._configuration.project(project) if mask else project_defaults(project)
        config = updated(before, update, mask, _CONFIG_FIELDS)
        _check_types(config)
        (config.get("signIn") or {}).pop("hashConfig", None)
        self._configuration.set_project(project, config)
        self._directory.ground.agenda.touch()
        return self.config(call)

    def create(self, call: Call) -> dict[str, Any]:
        """A new tenant, with every way of signing in off unless it says otherwise."""
        _need_project(call)
        given = call.body.resource()
        resource = {name: value for name, value in given.items() if name in _TENANT_FIELDS}
        tenant = self._configuration.new_tenant_id(call.body.text("displayName"))
        return self._kept(call, tenant, resource)

    def get(self, call: Call) -> dict[str, Any]:
        return self._configuration.tenant(call.silo.project, call.silo.tenant)

    def page(self, call: Call) -> dict[str, Any]:
        """Tenants in the order of their ids; the page token is the last id shown.

        A full page has one even if nothing follows, as the API's pages do.
        """
        _need_project(call)
        size = call.query.whole("pageSize") or 20
        if not 0 < size <= _LARGEST_PAGE:
            raise Refused("INVALID_PAGE_SIZE", status="INVALID_ARGUMENT")
        project, after = call.silo.project, call.query.text("pageToken")
        rest = (tenant for tenant in self._configuration.tenants(project) if tenant > after)
        page = list(islice(rest, size))
        answer: dict[str, Any] = {
            "tenants": [self._configuration.tenant(project, tenant) for tenant in page]
        }
        if len(page) == size:
            answer["nextPageToken"] = page[-1]
        return answer

    def update(self, call: Call) -> dict[str, Any]:
        """Change the fields that `updateMask` names."""
        update = call.body.resource()
        resource = updated(
            self._configuration.tenant(call.silo.project, call.silo.tenant),
            update,
            call.query.text("updateMask"),
            _TENANT_FIELDS,
        )
        return self._kept(call, call.silo.tenant, resource)

    def delete(self, call: Call) -> dict[str, Any]:
        """Delete the tenant with its accounts and providers."""
        project, tenant = call.silo.project, call.silo.tenant
        with self._directory.journal.batch():
            self._directory.forget(call.silo)
            self._configuration.delete_tenant(project, tenant)
        return {}

    def _kept(self, call: Call, tenant: str, resource: Resource) -> Resource:
        _check_types(resource)
        name = resource.get("displayName")
        if name and not _DISPLAY_NAME.fullmatch(name):
            raise Refused("INVALID_DISPLAY_NAME")
        mfa = {"state": "DISABLED", "enabledProviders": []} | (resource.get("mfaConfig") or {})
        project = call.silo.project
        resource |= {flag: bool(resource.get(flag)) for flag in _FLAGS}
        resource |= {
            "name": f"projects/{project}/tenants/{tenant}",
            "tenantId": tenant,
            "mfaConfig": mfa,
            "hashConfig": HASH_CONFIG,
        }
        self._configuration.set_tenant(project, tenant, resource)
        self._directory.ground.agenda.touch()
        return self._configuration.tenant(project, tenant)


def _need_project(call: Call) -> None:
    if call.silo.tenant:
        raise Refused("UNSUPPORTED_TENANT_OPERATION")


_OBJECTS = (
    *("signIn", "mfa", "mfaConfig", "emailPrivacyConfig", "blockingFunctions", "notification"),
    *("testPhoneNumbers", "multiTenant", "client", "monitoring", "quota", "inheritance"),
)


def _check_types(resource: Resource) -> None:
    """Raises `Refused` where a value would later be read as something it is not."""
    wrong = [
        *(name for name in _OBJECTS if not isinstance(resource.get(name) or {}, dict)),
        *(name for name in _FLAGS if not isinstance(resource.get(name) or False, bool)),
    ]
    sign_in = resource.get("signIn") or {}
    if isinstance(sign_in, dict):
        parts = ("email", "phoneNumber", "anonymous")
        wrong += [part for part in parts if not isinstance(sign_in.get(part) or {}, dict)]
    if not password_policy.is_valid(resource.get("passwordPolicyConfig") or {}):
        wrong.append("passwordPolicyConfig")
    if not isinstance(resource.get("displayName") or "", str):
        wrong.append("displayName")
    domains = resource.get("authorizedDomains") or []
    if not isinstance(domains, list) or not all(isinstance(domain, str) for domain in domains):
        wrong.append("authorizedDomains")
    if wrong:
        raise Refused(f"Invalid value at '{wrong[0]}'", status="INVALID_ARGUMENT")
    body = Body(resource)
    for name in ("mfa", "mfaConfig"):
        Rules.of(body.child(name).resource())
    for owner in (body, body.child("signIn").child("phoneNumber")):
        check_test_numbers(owner.child("testPhoneNumbers").resource())


def _check_triggers(call: Call) -> None:
    triggers = call.body.child("blockingFunctions").child("triggers").resource()
    for event, trigger in triggers.items():
        if event not in _TRIGGERS:
            raise Refused("INVALID_BLOCKING_FUNCTION : ((Event type is invalid.))")
        uri = trigger.get("functionUri") if isinstance(trigger, dict) else None
        if not isinstance(uri, str) or not re.match(r"https?://[^/]", uri):
            raise Refused(
                "INVALID_BLOCKING_FUNCTION : ((Expected an absolute URI with scheme and host.))"
            )

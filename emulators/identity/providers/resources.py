"""Identity providers of projects and tenants: the admin API v2's three kinds of configuration.

Source: https://cloud.google.com/identity-platform/docs/reference/rest/v2/projects.oauthIdpConfigs,
`projects.inboundSamlConfigs`, `projects.defaultSupportedIdpConfigs`.
"""

import re
from copy import deepcopy
from itertools import islice
from typing import Any

from emulators.identity.directory import Directory
from emulators.identity.providers.configs import KINDS, OIDC, Kind
from emulators.identity.routing import V2, Access, Call, Route
from emulators.identity.settings.configuration import Resource
from emulators.identity.settings.field_masks import updated
from emulators.identity.wire import Body, Refused

_LARGEST_PAGE = 100
_SUPPORTED = {
    "apple.com": "Apple",
    "facebook.com": "Facebook",
    "gc.apple.com": "Game Center",
    "github.com": "GitHub",
    "google.com": "Google",
    "linkedin.com": "LinkedIn",
    "microsoft.com": "Microsoft",
    "playgames.google.com": "Google Play Games",
    "twitter.com": "Twitter",
    "yahoo.com": "Yahoo",
}


def routes(directory: Directory) -> list[Route]:
    """The CRUD of each kind, for projects and for tenants."""
    made = [Route("GET", f"{V2}/defaultSupportedIdps", _supported)]
    for kind in KINDS:
        admin = ProviderAdmin(directory, kind)
        for parent in ("/projects/{project}", "/projects/{project}/tenants/{tenant}"):
            collection = f"{V2}{parent}/{kind.collection}"
            one = collection + "/{config}"
            made += [
                Route("POST", collection, admin.create, Access.OWNER),
                Route("GET", collection, admin.page, Access.OWNER),
                Route("GET", one, admin.get, Access.OWNER),
                Route("PATCH", one, admin.update, Access.OWNER),
                Route("DELETE", one, admin.delete, Access.OWNER),
            ]
    return made


class ProviderAdmin:
    """The methods of one kind; each takes a call and answers the response's body."""

    def __init__(self, directory: Directory, kind: Kind) -> None:
        self._directory = directory
        self._providers = directory.providers
        self._kind = kind

    def create(self, call: Call) -> dict[str, Any]:
        kind, name = self._kind, call.query.text(self._kind.id_parameter)
        if not re.fullmatch(kind.id_pattern, name):
            raise Refused("INVALID_CONFIG_ID")
        if self._providers.get(call.silo, kind, name) is not None:
            raise Refused("DUPLICATE_CONFIG_ID : The configuration exists.", 409, "ALREADY_EXISTS")
        given = call.body.resource()
        config = {field: value for field, value in given.items() if field in kind.fields}
        return self._kept(call, name, config)

    def get(self, call: Call) -> dict[str, Any]:
        return self._known(call)

    def page(self, call: Call) -> dict[str, Any]:
        """Configurations in the order of their ids; the page token is the last id shown."""
        size = call.query.whole("pageSize") or 20
        if not 0 < size <= _LARGEST_PAGE:
            raise Refused("INVALID_PAGE_SIZE", status="INVALID_ARGUMENT")
        after = call.query.text("pageToken")
        names = self._providers.names(call.silo, self._kind)
        rest = (name for name in names if name > after)
        page = list(islice(rest, size))
        found = [self._providers.get(call.silo, self._kind, name) for name in page]
        answer: dict[str, Any] = {self._kind.collection: found} if found else {}
        if next(rest, None) is not None:
            answer["nextPageToken"] = page[-1]
        return answer

    def update(self, call: Call) -> dict[str, Any]:
        """Change the fields that `updateMask` names."""
        mask = call.query.text("updateMask")
        config = updated(self._known(call), call.body.resource(), mask, self._kind.fields)
        return self._kept(call, call.path["config"], config)

    def delete(self, call: Call) -> dict[str, Any]:
        self._known(call)
        self._providers.delete(call.silo, self._kind, call.path["config"])
        return {}

    def _known(self, call: Call) -> Resource:
        config = self._providers.get(call.silo, self._kind, call.path["config"])
        if config is None:
            raise Refused("CONFIGURATION_NOT_FOUND", 404, "NOT_FOUND")
        return config

    def _kept(self, call: Call, name: str, config: Resource) -> Resource:
        for path, missing in self._kind.required.items():
            if not _at(config, path):
                raise Refused(missing)
        Body(config).flag("enabled")
        Body(config).text("displayName")
        parent = f"projects/{call.silo.project}"
        if call.silo.tenant:
            parent += f"/tenants/{call.silo.tenant}"
        config["name"] = f"{parent}/{self._kind.collection}/{name}"
        if self._kind is OIDC:
            config.setdefault("responseType", {"idToken": True})
        self._providers.put(call.silo, self._kind, name, config)
        self._directory.ground.agenda.touch()
        return deepcopy(config)


def _at(config: Resource, path: str) -> Any:
    found: Any = config
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _supported(_: Call) -> dict[str, Any]:
    idps = [{"idpId": name, "description": text} for name, text in _SUPPORTED.items()]
    return {"defaultSupportedIdps": idps}

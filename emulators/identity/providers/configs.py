"""The identity providers that projects and tenants have configured, by kind and id."""

import json
from copy import deepcopy
from dataclasses import dataclass

from emulators.identity.settings.configuration import Resource
from emulators.identity.silo import Silo
from emulators.journal import Journal


@dataclass(frozen=True)
class Kind:
    """One kind of provider configuration. `required`: path of a field -> code when it lacks."""

    collection: str
    id_parameter: str
    id_pattern: str
    fields: frozenset[str]
    required: dict[str, str]


OIDC = Kind(
    "oauthIdpConfigs",
    "oauthIdpConfigId",
    r"oidc\.[a-z0-9.-]{1,27}",
    frozenset({"displayName", "enabled", "clientId", "clientSecret", "issuer", "responseType"}),
    {"clientId": "MISSING_OAUTH_CLIENT_ID", "issuer": "MISSING_ISSUER"},
)
SAML = Kind(
    "inboundSamlConfigs",
    "inboundSamlConfigId",
    r"saml\.[a-z0-9.-]{1,27}",
    frozenset({"displayName", "enabled", "idpConfig", "spConfig"}),
    {
        "idpConfig.idpEntityId": "MISSING_IDP_ENTITY_ID",
        "idpConfig.ssoUrl": "MISSING_SSO_URL",
        "idpConfig.idpCertificates": "MISSING_IDP_CERTIFICATES",
        "spConfig.spEntityId": "MISSING_SP_ENTITY_ID",
    },
)
DEFAULT = Kind(
    "defaultSupportedIdpConfigs",
    "idpId",
    r"[a-z0-9.-]+\.(com|net|org)",
    frozenset({"enabled", "clientId", "clientSecret", "appleSignInConfig"}),
    {"clientId": "MISSING_OAUTH_CLIENT_ID"},
)
KINDS = (OIDC, SAML, DEFAULT)


class Providers:
    """The provider configurations of all silos, by kind and id; durable when a method returns."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._configs: dict[str, Resource] = {
            key: json.loads(value) for key, value in journal.items("idp/")
        }

    def get(self, silo: Silo, kind: Kind, name: str) -> Resource | None:
        return deepcopy(self._configs.get(_key(silo, kind, name)))

    def names(self, silo: Silo, kind: Kind) -> list[str]:
        prefix = _key(silo, kind, "")
        return sorted(key.removeprefix(prefix) for key in self._configs if key.startswith(prefix))

    def put(self, silo: Silo, kind: Kind, name: str, config: Resource) -> None:
        key = _key(silo, kind, name)
        self._journal.put(key, json.dumps(config).encode())
        self._configs[key] = config

    def delete(self, silo: Silo, kind: Kind, name: str) -> None:
        key = _key(silo, kind, name)
        self._journal.delete(key)
        self._configs.pop(key, None)

    def clear(self, silo: Silo) -> None:
        for kind in KINDS:
            for name in self.names(silo, kind):
                self.delete(silo, kind, name)


def _key(silo: Silo, kind: Kind, name: str) -> str:
    return f"idp/{silo.key}{kind.collection}/{name}"

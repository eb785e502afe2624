"""Tenants, their accounts and providers, and projects' configuration, by the official admin SDK."""

import os
from collections.abc import Iterator
from typing import Any

import firebase_admin
import httpx
import pytest
from firebase_admin import auth, credentials, exceptions, tenant_mgt
from firebase_admin._utils import EmulatorAdminCredentials

from tests.emulators.identity_client import (
    EMAIL,
    OWNER,
    PASSWORD,
    PROJECT,
    TOOLKIT,
    IdentityClient,
    refusal,
)


class Owner(credentials.Base):  # type: ignore[misc] # the SDK has no types
    """The credential that the SDK itself sends to an emulator."""

    def get_credential(self) -> Any:
        return EmulatorAdminCredentials()


@pytest.fixture
def app(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[firebase_admin.App]:
    """The SDK knows the emulator, but for the management of tenants, whose address is set here."""
    address = f"127.0.0.1:{port}"
    monkeypatch.setenv("FIREBASE_AUTH_EMULATOR_HOST", address)
    monkeypatch.setattr(
        tenant_mgt._TenantManagementService, "TENANT_MGT_URL", f"http://{address}{TOOLKIT}/v2"
    )
    app = firebase_admin.initialize_app(
        Owner(), options={"projectId": PROJECT}, name=f"test-{os.urandom(4).hex()}"
    )
    yield app
    service = tenant_mgt._get_tenant_mgt_service(app)
    for each in (*service.tenant_clients.values(), auth._get_client(app)):
        each._user_manager.http_client.session.close()
        each._provider_manager.http_client.session.close()
    service.client.session.close()
    firebase_admin.delete_app(app)


@pytest.fixture
def tenant(client: IdentityClient) -> str:
    """A tenant whose people sign in with passwords."""
    made = client.admin(
        "tenants", displayName="clinic-one", allowPasswordSignup=True, enableEmailLinkSignin=True
    )
    return str(made["tenantId"])


def test_sdk_creates_changes_and_deletes_a_tenant(app: firebase_admin.App) -> None:
    made = tenant_mgt.create_tenant("clinic-one", allow_password_sign_up=True, app=app)
    assert made.tenant_id.startswith("clinic-one-")
    assert tenant_mgt.get_tenant(made.tenant_id, app=app).allow_password_sign_up
    changed = tenant_mgt.update_tenant(
        made.tenant_id, display_name="clinic-two", enable_email_link_sign_in=True, app=app
    )
    assert (changed.display_name, changed.allow_password_sign_up) == ("clinic-two", True)
    tenant_mgt.delete_tenant(made.tenant_id, app=app)
    with pytest.raises(tenant_mgt.TenantNotFoundError):
        tenant_mgt.get_tenant(made.tenant_id, app=app)


def test_pages_list_every_tenant_once(app: firebase_admin.App) -> None:
    made = {tenant_mgt.create_tenant(f"clinic-{n}", app=app).tenant_id for n in range(5)}
    page = tenant_mgt.list_tenants(max_results=2, app=app)
    assert len(page.tenants) == 2
    listed = [tenant.tenant_id for tenant in page.iterate_all()]
    assert len(listed) == 5
    assert set(listed) == made


def test_accounts_of_tenants_know_nothing_of_one_another(
    app: firebase_admin.App, client: IdentityClient, tenant: str
) -> None:
    other = client.admin("tenants", displayName="clinic-two", allowPasswordSignup=True)["tenantId"]
    ids = {
        silo: client.call("signUp", email=EMAIL, password=PASSWORD, **silo_of(silo)).json()[
            "localId"
        ]
        for silo in ("", tenant, other)
    }
    assert len(set(ids.values())) == 3
    admin = tenant_mgt.auth_for_tenant(tenant, app=app)
    assert admin.get_user_by_email(EMAIL).uid == ids[tenant]
    assert admin.get_user(ids[tenant]).tenant_id == tenant
    with pytest.raises(auth.UserNotFoundError):
        admin.get_user(ids[""])
    assert auth.get_user_by_email(EMAIL, app=app).uid == ids[""]


def silo_of(tenant: str) -> dict[str, str]:
    return {"tenantId": tenant} if tenant else {}


def test_a_token_names_its_tenant_and_is_good_there_alone(
    app: firebase_admin.App, client: IdentityClient, tenant: str
) -> None:
    other = client.admin("tenants", displayName="clinic-two")["tenantId"]
    signed = client.call("signUp", email=EMAIL, password=PASSWORD, tenantId=tenant).json()
    assert client.claims(signed["idToken"])["firebase"]["tenant"] == tenant
    assert client.call("lookup", idToken=signed["idToken"]).status_code == 200
    foreign = client.call("lookup", idToken=signed["idToken"], tenantId=other)
    assert refusal(foreign) == "TENANT_ID_MISMATCH"
    admin = tenant_mgt.auth_for_tenant(tenant, app=app)
    assert admin.verify_id_token(signed["idToken"], check_revoked=True)["uid"] == signed["localId"]
    with pytest.raises(tenant_mgt.TenantIdMismatchError):
        tenant_mgt.auth_for_tenant(other, app=app).verify_id_token(signed["idToken"])


def test_a_refreshed_token_stays_in_its_tenant(client: IdentityClient, tenant: str) -> None:
    signed = client.call("signUp", email=EMAIL, password=PASSWORD, tenantId=tenant).json()
    fresh = client.refresh(signed["refreshToken"]).json()
    assert client.claims(fresh["id_token"])["firebase"]["tenant"] == tenant


def test_a_token_of_the_project_is_no_token_of_a_tenant(
    client: IdentityClient, tenant: str
) -> None:
    own = client.call("signUp", email=EMAIL, password=PASSWORD).json()["idToken"]
    answer = client.call("lookup", idToken=own, tenantId=tenant)
    assert refusal(answer) == "TENANT_ID_MISMATCH"


@pytest.mark.parametrize(
    ("settings", "verb", "body", "code"),
    [
        ({}, "signUp", {"email": EMAIL, "password": PASSWORD}, "OPERATION_NOT_ALLOWED"),
        ({}, "signUp", {}, "ADMIN_ONLY_OPERATION"),
        (
            {},
            "signInWithPassword",
            {"email": EMAIL, "password": PASSWORD},
            "PASSWORD_LOGIN_DISABLED",
        ),
        (
            {},
            "sendOobCode",
            {"requestType": "EMAIL_SIGNIN", "email": EMAIL},
            "OPERATION_NOT_ALLOWED",
        ),
        ({"disableAuth": True}, "signUp", {}, "PROJECT_DISABLED"),
    ],
)
def test_a_new_tenant_allows_only_what_it_says(
    client: IdentityClient,
    settings: dict[str, Any],
    verb: str,
    body: dict[str, Any],
    code: str,
) -> None:
    made = client.admin("tenants", displayName="clinic-one", **settings)["tenantId"]
    assert refusal(client.call(verb, tenantId=made, **body)) == code


def test_an_unknown_tenant_is_refused(client: IdentityClient) -> None:
    assert refusal(client.call("signUp", tenantId="nowhere")) == "TENANT_NOT_FOUND"


def test_a_deleted_tenant_leaves_no_account(client: IdentityClient, tenant: str) -> None:
    signed = client.call("signUp", email=EMAIL, password=PASSWORD, tenantId=tenant).json()
    client.admin(f"tenants/{tenant}", "DELETE")
    assert refusal(client.refresh(signed["refreshToken"])) == "INVALID_REFRESH_TOKEN"
    assert refusal(client.call("lookup", idToken=signed["idToken"])) == "TENANT_NOT_FOUND"


def test_a_link_of_a_tenant_is_good_there_alone(
    app: firebase_admin.App, client: IdentityClient, tenant: str
) -> None:
    client.call("signUp", email=EMAIL, password=PASSWORD)
    client.call("signUp", email=EMAIL, password=PASSWORD, tenantId=tenant)
    admin = tenant_mgt.auth_for_tenant(tenant, app=app)
    address = httpx.URL(admin.generate_password_reset_link(EMAIL))
    assert address.params["tenantId"] == tenant
    body = {"oobCode": address.params["oobCode"], "newPassword": "another horse"}
    assert refusal(client.call("resetPassword", **body)) == "INVALID_OOB_CODE"
    assert client.call("resetPassword", tenantId=tenant, **body).status_code == 200


@pytest.mark.parametrize("name", ["1abc", "abc", "a" * 21, "with space"])
def test_a_bad_display_name_is_refused(client: IdentityClient, name: str) -> None:
    path = f"{TOOLKIT}/v2/projects/{PROJECT}/tenants"
    answer = client.http.post(path, json={"displayName": name}, headers=OWNER)
    assert refusal(answer) == "INVALID_DISPLAY_NAME"


def test_sdk_manages_oidc_providers(app: firebase_admin.App) -> None:
    made = auth.create_oidc_provider_config(
        "oidc.clinic", client_id="web", issuer="https://oidc.example", enabled=True, app=app
    )
    assert (made.client_id, made.enabled) == ("web", True)
    changed = auth.update_oidc_provider_config("oidc.clinic", client_id="app", app=app)
    assert (changed.client_id, changed.issuer) == ("app", "https://oidc.example")
    page = auth.list_oidc_provider_configs(app=app)
    assert [config.provider_id for config in page.iterate_all()] == ["oidc.clinic"]
    auth.delete_oidc_provider_config("oidc.clinic", app=app)
    with pytest.raises(auth.ConfigurationNotFoundError):
        auth.get_oidc_provider_config("oidc.clinic", app=app)


def test_sdk_manages_saml_providers_of_a_tenant(app: firebase_admin.App, tenant: str) -> None:
    admin = tenant_mgt.auth_for_tenant(tenant, app=app)
    made = admin.create_saml_provider_config(
        "saml.clinic",
        idp_entity_id="idp",
        sso_url="https://sso.example",
        x509_certificates=["certificate"],
        rp_entity_id="rp",
        callback_url="https://rp.example",
        display_name="Clinic",
        enabled=True,
    )
    assert made.x509_certificates == ["certificate"]
    changed = admin.update_saml_provider_config(
        "saml.clinic", display_name=auth.DELETE_ATTRIBUTE, enabled=False
    )
    assert (changed.display_name, changed.enabled) == (None, False)
    assert [c.provider_id for c in admin.list_saml_provider_configs().iterate_all()] == [
        "saml.clinic"
    ]
    with pytest.raises(auth.ConfigurationNotFoundError):
        auth.get_saml_provider_config("saml.clinic", app=app)


def test_a_provider_is_made_once(app: firebase_admin.App) -> None:
    fields = {"client_id": "web", "issuer": "https://oidc.example"}
    auth.create_oidc_provider_config("oidc.clinic", **fields, app=app)
    with pytest.raises(exceptions.ConflictError):
        auth.create_oidc_provider_config("oidc.clinic", **fields, app=app)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("oauthIdpConfigs?oauthIdpConfigId=clinic", {}, "INVALID_CONFIG_ID"),
        ("oauthIdpConfigs?oauthIdpConfigId=oidc.a", {}, "MISSING_OAUTH_CLIENT_ID"),
        ("oauthIdpConfigs?oauthIdpConfigId=oidc.a", {"clientId": "web"}, "MISSING_ISSUER"),
        ("inboundSamlConfigs?inboundSamlConfigId=saml.a", {}, "MISSING_IDP_ENTITY_ID"),
    ],
)
def test_an_incomplete_provider_is_refused(
    client: IdentityClient, path: str, body: dict[str, Any], code: str
) -> None:
    answer = client.http.post(f"{TOOLKIT}/v2/projects/{PROJECT}/{path}", json=body, headers=OWNER)
    assert refusal(answer) == code


def test_configuration_changes_only_what_the_mask_names(client: IdentityClient) -> None:
    change = {"signIn": {"anonymous": {"enabled": False}, "allowDuplicateEmails": True}}
    config = client.admin("config?updateMask=signIn.anonymous.enabled", "PATCH", **change)
    assert config["signIn"]["anonymous"]["enabled"] is False
    assert config["signIn"]["allowDuplicateEmails"] is False
    assert client.admin("config", "GET") == config
    assert refusal(client.call("signUp")) == "ADMIN_ONLY_OPERATION"


def test_configuration_refuses_values_of_another_type(client: IdentityClient) -> None:
    path = f"{TOOLKIT}/v2/projects/{PROJECT}/config?updateMask=signIn"
    answer = client.http.patch(path, json={"signIn": "all"}, headers=OWNER)
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert client.call("signUp").status_code == 200


def test_tests_clear_accounts_and_change_settings_as_with_the_official_emulator(
    client: IdentityClient, tenant: str
) -> None:
    client.call("signUp", email=EMAIL, password=PASSWORD)
    client.call("signUp", email=EMAIL, password=PASSWORD, tenantId=tenant)
    project = f"/emulator/v1/projects/{PROJECT}"
    assert client.http.delete(f"{project}/accounts").json() == {}
    wrong = client.call("signInWithPassword", email=EMAIL, password=PASSWORD)
    assert refusal(wrong) == "INVALID_LOGIN_CREDENTIALS"
    kept = client.call("signInWithPassword", email=EMAIL, password=PASSWORD, tenantId=tenant)
    assert kept.status_code == 200
    change = {"emailPrivacyConfig": {"enableImprovedEmailPrivacy": False}}
    told = client.http.patch(f"{project}/config", json=change).json()
    assert told == {"signIn": {"allowDuplicateEmails": False}, **change}
    wrong = client.call("signInWithPassword", email=EMAIL, password=PASSWORD)
    assert refusal(wrong) == "EMAIL_NOT_FOUND"

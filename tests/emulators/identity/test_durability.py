"""What outlives the identity engine: a new one over the same folder takes up where it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from emulators.identity import Identity
from tests.emulators.conftest import Loop
from tests.emulators.engine_process import engine_process
from tests.emulators.identity_client import EMAIL, PASSWORD, PROJECT, IdentityClient, refusal


@pytest.fixture
def durable(make_loop: Callable[..., Loop], tmp_path: Path) -> Loop:
    return make_loop(tmp_path / "state")


@contextmanager
def running(loop: Loop) -> Iterator[IdentityClient]:
    """A client of an engine that is stopped abruptly at the end of the block."""

    async def start() -> tuple[Identity, int]:
        engine = Identity(loop.ground)
        return engine, await engine.start()

    engine, port = loop.run(start())
    client = IdentityClient(port)
    try:
        yield client
    finally:
        client.http.close()
        loop.run(engine.stop())


def test_accounts_sign_ins_and_codes_survive_a_restart(durable: Loop) -> None:
    with running(durable) as client:
        person = client.person(EMAIL)
        code = client.code_for("PASSWORD_RESET", email=EMAIL)
        used = client.code_for("PASSWORD_RESET", email=EMAIL)
        client.call("resetPassword", oobCode=used, newPassword="another horse")
    with running(durable) as client:
        assert client.account(person["localId"])["emailVerified"] is True
        done = client.call("resetPassword", oobCode=code, newPassword="third horse")
        assert done.status_code == 200
        again = client.call("resetPassword", oobCode=used, newPassword="fourth horse")
        assert refusal(again) == "INVALID_OOB_CODE"


def test_tenants_providers_and_configuration_survive_a_restart(durable: Loop) -> None:
    with running(durable) as client:
        client.admin("config?updateMask=signIn.anonymous.enabled", "PATCH", signIn={})
        tenant = client.admin("tenants", displayName="clinic-one", allowPasswordSignup=True)
        name = tenant["tenantId"]
        client.call("signUp", email=EMAIL, password=PASSWORD, tenantId=name)
        path = f"tenants/{name}/oauthIdpConfigs?oauthIdpConfigId=oidc.a"
        client.admin(path, clientId="web", issuer="https://oidc.example", enabled=True)
    with running(durable) as client:
        assert refusal(client.call("signUp")) == "ADMIN_ONLY_OPERATION"
        assert client.admin(f"tenants/{name}", "GET") == tenant
        assert client.sign_in(EMAIL, tenantId=name)["email"] == EMAIL
        config = client.admin(f"tenants/{name}/oauthIdpConfigs/oidc.a", "GET")
        assert config["clientId"] == "web"


def test_a_deleted_account_stays_deleted(durable: Loop) -> None:
    with running(durable) as client:
        person = client.person(EMAIL)
        client.admin("accounts:delete", localId=person["localId"])
    with running(durable) as client:
        assert refusal(client.refresh(person["refreshToken"])) == "INVALID_REFRESH_TOKEN"
        assert client.call("signUp", email=EMAIL, password=PASSWORD).status_code == 200


def test_the_service_accounts_key_survives_a_restart(durable: Loop) -> None:
    keys = []
    for _ in range(2):
        with running(durable) as client:
            path = f"/emulator/v1/projects/{PROJECT}/serviceAccountKey"
            keys.append(client.http.get(path).json()["private_key"])
    assert keys[0] == keys[1]


def test_what_was_acknowledged_survives_a_kill(durable: Loop, tmp_path: Path) -> None:
    with engine_process(Identity, tmp_path / "state") as (port, _):
        client = IdentityClient(port)
        people = [client.sign_up(f"p{n}@example.org") for n in range(20)]
        client.admin("accounts:update", localId=people[0]["localId"], disableUser=True)
        client.http.close()
    with running(durable) as client:
        for person in people[1:]:
            assert client.refresh(person["refreshToken"]).status_code == 200
        assert refusal(client.refresh(people[0]["refreshToken"])) == "USER_DISABLED"

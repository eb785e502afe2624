"""What outlives the identity engine: a new one over the same folder takes up where it was."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from emulators.identity import Identity
from tests.emulators.conftest import Loop
from tests.emulators.identity_client import PASSWORD, PROJECT, IdentityClient, refusal

EMAIL = "jane@example.org"


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


def code_for(client: IdentityClient, request: str, **body: Any) -> str:
    answer = client.admin(
        "accounts:sendOobCode", requestType=request, email=EMAIL, returnOobLink=True, **body
    )
    return str(answer["oobCode"])


def test_accounts_sign_ins_and_codes_survive_a_restart(durable: Loop) -> None:
    with running(durable) as client:
        person = client.person(EMAIL)
        code = code_for(client, "PASSWORD_RESET")
        used = code_for(client, "PASSWORD_RESET")
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


KILLED = """
import asyncio, pathlib, sys
from random import Random
from emulators.agenda import Agenda
from emulators.clock import VirtualClock
from emulators.engine import Ground
from emulators.faults import Faults
from emulators.identity import Identity
from emulators.journal import Journal
from emulators.tokens import TokenIssuer

async def main(folder):
    clock = VirtualClock(folder / "clock")
    tokens = TokenIssuer(clock, Journal(folder, "tokens"))
    ground = Ground(clock, Agenda(clock), Faults(clock, Random(1)), tokens, Random(1), folder)
    print(await Identity(ground).start(), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


def test_what_was_acknowledged_survives_a_kill(durable: Loop) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(durable.ground.folder)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        try:
            client = IdentityClient(int(process.stdout.readline()))
            people = [
                client.call("signUp", email=f"p{n}@example.org", password=PASSWORD).json()
                for n in range(20)
            ]
            client.admin("accounts:update", localId=people[0]["localId"], disableUser=True)
            client.http.close()
        finally:
            process.kill()
    with running(durable) as client:
        for person in people[1:]:
            assert client.refresh(person["refreshToken"]).status_code == 200
        assert refusal(client.refresh(people[0]["refreshToken"])) == "USER_DISABLED"

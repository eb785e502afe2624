"""The identity engine under test, and clients of it."""

import os
from collections.abc import Callable, Iterator

import firebase_admin
import pytest
from firebase_admin import auth

from emulators.identity import Identity
from tests.emulators.conftest import Loop
from tests.emulators.identity_client import PROJECT, FactorClient, IdentityClient


@pytest.fixture
def engine(start_engine: Callable[..., tuple[Identity, int]]) -> tuple[Identity, int]:
    return start_engine(Identity)


@pytest.fixture
def port(engine: tuple[Identity, int]) -> int:
    return engine[1]


@pytest.fixture
def client(port: int) -> Iterator[IdentityClient]:
    client = IdentityClient(port)
    yield client
    client.http.close()


@pytest.fixture
def device(port: int, loop: Loop) -> Iterator[FactorClient]:
    """A person's client with a phone and an authenticator app; time moves only when told to."""
    loop.ground.clock.freeze()
    client = FactorClient(port, loop)
    yield client
    client.http.close()


@pytest.fixture
def app(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[firebase_admin.App]:
    """The official SDK, pointed at the engine by its usual variable."""
    monkeypatch.setenv("FIREBASE_AUTH_EMULATOR_HOST", f"127.0.0.1:{port}")
    app = firebase_admin.initialize_app(
        options={"projectId": PROJECT}, name=f"test-{os.urandom(4).hex()}"
    )
    yield app
    auth._get_client(app)._user_manager.http_client.session.close()
    firebase_admin.delete_app(app)

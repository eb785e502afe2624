"""A running local cloud for the tests of any project.

In a conftest.py: `pytest_plugins = "emulators.pytest_plugin"`. A test that asks for an engine's
fixture finds it running and the variable set that Google's clients look for; the fixture's value
is the address. `local_cloud` is the cloud as a whole, with its time and its faults.

    def test_orders_wait_for_pubsub(pubsub_emulator, local_cloud):
        with local_cloud.fault("pubsub", "down", minutes=10):
            place_an_order()
        local_cloud.advance("+15min")

It starts once per test process, in memory, and lasts until the process ends: a test that wants to
be alone takes a project id of its own. docs/emulators.md says more.
"""

import os
from collections.abc import Iterator

import pytest

from emulators.cloud import Options
from emulators.parts import ENGINES
from emulators.running import FaultInForce, RunningCloud, running

__all__ = ["FaultInForce", "RunningCloud", "running"]


@pytest.fixture(scope="session")
def local_cloud_parts() -> frozenset[str]:
    """What starts with `local_cloud`: all engines and vendors; `postgres_url` adds PostgreSQL.

    Override it for fewer, or for `emulators.parts.PARTS`, which has Clinicloop's functions too.
    """
    return frozenset(ENGINES)


@pytest.fixture(scope="session")
def local_cloud_options(
    tmp_path_factory: pytest.TempPathFactory, local_cloud_parts: frozenset[str]
) -> Options:
    """How the cloud runs; override it for another project id, seed, first instant, frozen time."""
    return Options(
        tmp_path_factory.mktemp("local-cloud"),
        product="host" in local_cloud_parts,
        throwaway=True,
        in_memory=True,
    )


@pytest.fixture(scope="session")
def local_cloud(
    local_cloud_options: Options, local_cloud_parts: frozenset[str]
) -> Iterator[RunningCloud]:
    """The cloud, once per test process; virtual time runs unless a test moves it.

    `now`, `advance("+6mo")` and `settle()`; `fault("pubsub", "down", share=0.2, minutes=10)` as a
    context manager, or until `heal()`; `env`, the variables of all that runs; `inbox("twilio")`,
    what a vendor was told.
    """
    with running(local_cloud_options, local_cloud_parts) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def cloud_environment(local_cloud: RunningCloud) -> Iterator[pytest.MonkeyPatch]:
    """Sets variables of this process until it ends; GOOGLE_CLOUD_PROJECT unless there is one."""
    with pytest.MonkeyPatch.context() as patch:
        if "GOOGLE_CLOUD_PROJECT" not in os.environ:
            patch.setenv("GOOGLE_CLOUD_PROJECT", local_cloud.env["GOOGLE_CLOUD_PROJECT"])
        yield patch


def _told(cloud: RunningCloud, patch: pytest.MonkeyPatch, part: str, variable: str) -> str:
    """Start the part if need be, set its variable, and answer its value."""
    cloud.start(part)
    patch.setenv(variable, cloud.env[variable])
    return cloud.env[variable]


@pytest.fixture(scope="session")
def pubsub_emulator(local_cloud: RunningCloud, cloud_environment: pytest.MonkeyPatch) -> str:
    """Pub/Sub at `host:port`; sets PUBSUB_EMULATOR_HOST, which Google's clients obey."""
    return _told(local_cloud, cloud_environment, "pubsub", "PUBSUB_EMULATOR_HOST")


@pytest.fixture(scope="session")
def firestore_emulator(local_cloud: RunningCloud, cloud_environment: pytest.MonkeyPatch) -> str:
    """Firestore at `host:port`; sets FIRESTORE_EMULATOR_HOST, which Google's clients obey."""
    return _told(local_cloud, cloud_environment, "firestore", "FIRESTORE_EMULATOR_HOST")


@pytest.fixture(scope="session")
def cloud_tasks_emulator(local_cloud: RunningCloud, cloud_environment: pytest.MonkeyPatch) -> str:
    """Cloud Tasks at `host:port`, gRPC in plain text; sets CLOUD_TASKS_EMULATOR_HOST.

    Google's clients obey no variable here: give them a channel to this address.
    """
    return _told(local_cloud, cloud_environment, "tasks", "CLOUD_TASKS_EMULATOR_HOST")


@pytest.fixture(scope="session")
def cloud_scheduler_emulator(
    local_cloud: RunningCloud, cloud_environment: pytest.MonkeyPatch
) -> str:
    """Cloud Scheduler at `host:port`, gRPC in plain text; sets CLOUD_SCHEDULER_EMULATOR_HOST.

    Google's clients obey no variable here: give them a channel to this address.
    """
    return _told(local_cloud, cloud_environment, "scheduler", "CLOUD_SCHEDULER_EMULATOR_HOST")


@pytest.fixture(scope="session")
def auth_emulator(local_cloud: RunningCloud, cloud_environment: pytest.MonkeyPatch) -> str:
    """Identity Platform at `host:port`; sets FIREBASE_AUTH_EMULATOR_HOST, as firebase-admin wants.

    Its tokens are signed; `oidc_certs_url` has the certificates.
    """
    return _told(local_cloud, cloud_environment, "identity", "FIREBASE_AUTH_EMULATOR_HOST")


@pytest.fixture(scope="session")
def oidc_certs_url(local_cloud: RunningCloud, cloud_environment: pytest.MonkeyPatch) -> str:
    """Where the certificates of all tokens are published: key id -> PEM; sets OIDC_CERTS_URL."""
    cloud_environment.setenv("OIDC_CERTS_URL", local_cloud.env["OIDC_CERTS_URL"])
    return local_cloud.env["OIDC_CERTS_URL"]


@pytest.fixture(scope="session")
def postgres_url(local_cloud: RunningCloud, cloud_environment: pytest.MonkeyPatch) -> str:
    """An empty PostgreSQL 18 as `postgresql://user:password@host:port/name`; sets DATABASE_URL."""
    return _told(local_cloud, cloud_environment, "postgres", "DATABASE_URL")

"""The composed local cloud: functions, engines and PostgreSQL together."""

import os
import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from google.cloud.pubsub_v1 import PublisherClient
from google.cloud.pubsub_v1.types import PublisherOptions

from emulators.cloud import CloudError, Options
from emulators.host_process import HostFailed
from emulators.parts import UnknownPart
from emulators.pytest_plugin import RunningCloud, running
from tests.emulators.local_functions import seen, write_functions

NO_DATABASE = frozenset({"pubsub", "tasks", "scheduler", "host"})


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("few_functions")


@pytest.fixture(scope="module")
def cloud(functions: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    folder, wiring = write_functions(functions)
    options = Options(
        tmp_path_factory.mktemp("cloud"), throwaway=True, wiring=wiring, functions=folder
    )
    with running(options) as cloud:
        yield cloud


def options_in(folder: Path, **changes: Any) -> Options:
    functions, wiring = write_functions(folder / "few_functions", **changes)
    return Options(folder / "cloud", wiring=wiring, functions=functions, throwaway=True)


def publish(cloud: RunningCloud, event: str) -> None:
    """Publish by the official client an event of the type that the first agent is sent."""
    settings = PublisherOptions(enable_message_ordering=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBSUB_EMULATOR_HOST", cloud.env["PUBSUB_EMULATOR_HOST"])
        client = PublisherClient(publisher_options=settings)
    topic = client.topic_path(cloud.env["GOOGLE_CLOUD_PROJECT"], "contract-events")
    attributes = {"ce-id": event, "ce-type": "contract.created"}
    client.publish(topic, b"{}", ordering_key="subject", **attributes).result(20)
    client.stop()
    client.transport.close()


def events_of(functions: Path) -> list[str]:
    """Ids of the events that the first agent was sent."""
    notes = [note["body"] for note in seen(functions, "first_agent") if note["path"] == "/events"]
    return [body["message"]["attributes"]["ce-id"] for body in notes]


def test_a_published_event_reaches_its_function(cloud: RunningCloud, functions: Path) -> None:
    publish(cloud, "reaches")
    cloud.settle()
    assert events_of(functions).count("reaches") == 1


def test_an_api_answers_under_its_name(cloud: RunningCloud) -> None:
    assert httpx.get(f"{cloud.url}/front_api/contracts").json() == {"contracts": []}


def test_a_push_carries_a_signed_token_for_its_function(
    cloud: RunningCloud, functions: Path
) -> None:
    publish(cloud, "signed")
    cloud.settle()
    token = seen(functions, "first_agent")[-1]["token"].removeprefix("Bearer ")
    certificates = httpx.get(cloud.env["OIDC_CERTS_URL"]).json()
    key = certificates[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token,
        _public_key(key),
        ["RS256"],
        audience=f"{cloud.url}/first_agent",
        options={"verify_iat": False, "verify_exp": False},
    )
    assert claims["email"] == "pubsub-invoker@clinicloop-local.iam.gserviceaccount.com"


def _public_key(certificate: str) -> Any:
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(certificate.encode()).public_key()


def test_functions_read_virtual_time(cloud: RunningCloud) -> None:
    cloud.advance(days=40)
    now = datetime.fromisoformat(httpx.get(f"{cloud.url}/second_agent/now").json()["now"])
    assert abs(now - cloud.now) < timedelta(minutes=1)
    assert now > datetime.now(UTC) + timedelta(days=39)


def test_cron_jobs_run_as_time_moves(cloud: RunningCloud, functions: Path) -> None:
    def runs() -> int:
        return len([n for n in seen(functions, "second_agent") if n["path"] == "/crons/tick"])

    before = runs()
    cloud.advance(hours=3)
    assert runs() == before + 3


def test_time_does_not_move_back(cloud: RunningCloud) -> None:
    with pytest.raises(CloudError, match="has passed"):
        cloud.advance(cloud.now - timedelta(hours=1))


def test_functions_do_not_see_the_superusers_url(cloud: RunningCloud) -> None:
    assert httpx.get(f"{cloud.url}/second_agent/x").json()["admin"] is None
    assert "DATABASE_ADMIN_URL" not in cloud.env


def test_loading_functions_leaves_the_environment_as_it_was(cloud: RunningCloud) -> None:
    assert httpx.get(f"{cloud.url}/second_agent/x").json()["target"] is None


def test_unknown_functions_are_not_found(cloud: RunningCloud) -> None:
    assert httpx.get(f"{cloud.url}/third_agent/x").status_code == 404


def test_requests_count_as_activity(cloud: RunningCloud) -> None:
    before = cloud.agenda.activity
    httpx.get(f"{cloud.url}/second_agent/x")
    assert cloud.agenda.activity == before + 1


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/health", {}), ("/second_agent/crons/idle", {"X-CloudScheduler": "true"})],
)
def test_health_checks_and_idle_crons_are_no_activity(
    cloud: RunningCloud, path: str, headers: dict[str, str]
) -> None:
    before = cloud.agenda.activity
    httpx.get(cloud.url + path, headers=headers)
    assert cloud.agenda.activity == before


def test_an_engine_killed_and_restarted_keeps_its_subscriptions(
    cloud: RunningCloud, functions: Path
) -> None:
    cloud.restart("pubsub")
    publish(cloud, "after-restart")
    cloud.settle()
    assert "after-restart" in events_of(functions)


def test_an_event_published_while_the_host_is_down_arrives_later(
    cloud: RunningCloud, functions: Path
) -> None:
    host = cloud.cloud.host
    assert host is not None
    host.kill()
    publish(cloud, "while-down")
    cloud.restart("host")
    cloud.advance(minutes=20)
    assert "while-down" in events_of(functions)


def test_the_database_killed_and_restarted_answers_again(cloud: RunningCloud) -> None:
    cloud.restart("postgres")
    assert cloud.cloud.postgres is not None
    assert cloud.cloud.postgres.running


def test_a_part_that_is_not_there_cannot_be_restarted(cloud: RunningCloud) -> None:
    with pytest.raises(CloudError, match="not running"):
        cloud.restart("spanner")


def test_a_folder_in_use_is_refused(cloud: RunningCloud) -> None:
    with pytest.raises(CloudError, match="running on"), running(cloud.cloud.options):
        pass


def test_an_unknown_part_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(UnknownPart, match="unknown: spanner"),
        running(options_in(tmp_path), only=frozenset({"spanner"})),
    ):
        pass


def test_a_function_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    options = options_in(tmp_path)
    (options.functions / "first_agent" / "main.py").write_text("import no_such_module")
    with (
        pytest.raises(HostFailed, match="first_agent could not be loaded"),
        running(options, only=frozenset({"host"})),
    ):
        pass


def test_a_cloud_goes_on_where_it_stopped(tmp_path: Path) -> None:
    options = options_in(tmp_path)
    with running(options, only=NO_DATABASE) as cloud:
        cloud.advance("+2w")
        left = cloud.now
        port = cloud.url
    with running(options, only=NO_DATABASE) as cloud:
        assert cloud.now >= left
        assert cloud.url != port
        publish(cloud, "second-life")
        cloud.settle()
        assert events_of(options.functions) == ["second-life"]


def test_what_the_wiring_no_longer_names_is_removed(tmp_path: Path) -> None:
    with running(options_in(tmp_path), only=NO_DATABASE) as cloud:
        assert len(cloud.describe("pubsub")["subscriptions"]) == 1
        assert len(cloud.describe("scheduler")["jobs"]) == 1
    with running(options_in(tmp_path, subscriptions={}, jobs={}), only=NO_DATABASE) as cloud:
        assert cloud.describe("pubsub")["subscriptions"] == []
        assert cloud.describe("scheduler")["jobs"] == []


def test_an_official_emulator_is_used_when_its_variable_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:9999")
    with running(options_in(tmp_path), only=frozenset({"firestore", "tasks"})) as cloud:
        assert cloud.env["FIRESTORE_EMULATOR_HOST"] == "127.0.0.1:9999"
        assert list(cloud.cloud.engines) == ["tasks"]


def test_a_database_given_by_its_url_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+pg8000://someone@127.0.0.1:9/elsewhere")
    with running(options_in(tmp_path), only=frozenset({"tasks"})) as cloud:
        assert cloud.env["DATABASE_URL"] == os.environ["DATABASE_URL"]
        assert cloud.cloud.postgres is None


def test_frozen_time_stands_still_until_moved(tmp_path: Path) -> None:
    functions, wiring = write_functions(tmp_path / "few_functions")
    start = datetime(2040, 1, 1, tzinfo=UTC)
    options = Options(
        tmp_path / "cloud", functions=functions, wiring=wiring, starts=start, frozen=True
    )
    with running(options, only=frozenset({"tasks"})) as cloud:
        assert cloud.now == start
        cloud.advance(days=1)
        assert cloud.now == start + timedelta(days=1)


def test_a_cloud_for_other_projects_tells_nothing_of_ours(tmp_path: Path) -> None:
    options = Options(tmp_path, product=False, throwaway=True, in_memory=True, project="shop")
    with running(options, only=frozenset({"tasks", "twilio"})) as cloud:
        told = set(cloud.env)
    general = {"GOOGLE_CLOUD_PROJECT", "OIDC_CERTS_URL", "CLINICLOOP_CLOUD"}
    account = {"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_NUMBER"}
    assert told == general | account | {"CLOUD_TASKS_EMULATOR_HOST", "TWILIO_URL"}


def test_the_certificates_are_there_whatever_has_started(tmp_path: Path) -> None:
    options = Options(tmp_path, product=False, throwaway=True, in_memory=True)
    with running(options, only=frozenset({"tasks"})) as cloud:
        published = httpx.get(cloud.env["OIDC_CERTS_URL"]).json()
        token = cloud.cloud.ground.tokens.oidc("tasks@example.com", "https://shop.example.com")
    key = published[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, _public_key(key), ["RS256"], audience="https://shop.example.com")
    assert claims["email"] == "tasks@example.com"


def test_webhooks_go_where_they_are_wanted(tmp_path: Path) -> None:
    came: queue.Queue[str] = queue.Queue()

    class Hooks(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            came.put(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Hooks) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hooks = f"http://127.0.0.1:{server.server_port}/hooks/"
        options = Options(tmp_path, product=False, throwaway=True, in_memory=True, webhooks=hooks)
        with running(options, only=frozenset({"twilio"})) as cloud:
            message = {"from": "+4915900000001", "body": "hello"}
            httpx.post(f"{cloud.env['TWILIO_URL']}/_local/incoming", json=message)
            cloud.settle()
        server.shutdown()
    assert came.get(timeout=5) == "/hooks/twilio/incoming"

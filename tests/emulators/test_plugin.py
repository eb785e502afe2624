"""The pytest plugin, in a project that is not ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emulators.wiring import ROOT

CONFTEST = 'pytest_plugins = "emulators.pytest_plugin"\n'

EXAMPLE = """
import json
import os
from datetime import timedelta
from urllib.request import Request, urlopen

import grpc
import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.cloud import firestore, scheduler_v1, tasks_v2
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.cloud.scheduler_v1.services.cloud_scheduler import transports as scheduling
from google.cloud.tasks_v2.services.cloud_tasks import transports as tasking

from emulators.cloud import CloudError

PLACE = "projects/shop/locations/europe-west1"


def test_pubsub(pubsub_emulator):
    assert os.environ["PUBSUB_EMULATOR_HOST"] == pubsub_emulator
    with PublisherClient() as publisher, SubscriberClient() as subscriber:
        topic = publisher.topic_path("shop", "orders")
        subscription = subscriber.subscription_path("shop", "orders")
        publisher.create_topic(name=topic)
        subscriber.create_subscription(name=subscription, topic=topic)
        publisher.publish(topic, b"order").result(20)
        answer = subscriber.pull(subscription=subscription, max_messages=1)
        assert answer.received_messages[0].message.data == b"order"


def test_firestore(firestore_emulator):
    client = firestore.Client(project="shop")
    client.document("orders/1").set({"paid": True})
    assert client.document("orders/1").get().to_dict() == {"paid": True}
    client.close()


def test_an_engine_without_a_journal_is_not_restarted(pubsub_emulator, local_cloud):
    with pytest.raises(CloudError, match="pubsub would start empty"):
        local_cloud.restart("pubsub")


def test_time_moves_tasks(cloud_tasks_emulator, local_cloud):
    with grpc.insecure_channel(cloud_tasks_emulator) as channel:
        transport = tasking.CloudTasksGrpcTransport(channel=channel)
        client = tasks_v2.CloudTasksClient(transport=transport)
        queue = client.create_queue(parent=PLACE, queue={"name": PLACE + "/queues/mails"})
        due = local_cloud.now + timedelta(days=3)
        request = {"url": "http://127.0.0.1:9/mails"}
        client.create_task(
            parent=queue.name, task={"http_request": request, "schedule_time": due}
        )
        local_cloud.advance("+2d")
        [waiting] = client.list_tasks(parent=queue.name)
        assert waiting.dispatch_count == 0
        local_cloud.advance("+1d1min")
        [tried] = client.list_tasks(parent=queue.name)
        assert tried.dispatch_count > 0


def test_scheduler(cloud_scheduler_emulator):
    with grpc.insecure_channel(cloud_scheduler_emulator) as channel:
        client = scheduler_v1.CloudSchedulerClient(
            transport=scheduling.CloudSchedulerGrpcTransport(channel=channel)
        )
        assert list(client.list_jobs(parent=PLACE)) == []


def test_faults_end_with_their_block(firestore_emulator, local_cloud):
    client = firestore.Client(project="shop")
    with local_cloud.fault("firestore", "down", minutes=10):
        with pytest.raises(ServiceUnavailable):
            client.document("orders/1").get(retry=None)
    assert client.document("orders/2").get().exists is False
    client.close()


def test_identity(auth_emulator, oidc_certs_url):
    account = {"email": "ada@example.com", "password": "correct horse", "returnSecureToken": True}
    request = Request(
        f"http://{auth_emulator}/identitytoolkit.googleapis.com/v1/accounts:signUp?key=any",
        json.dumps(account).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(request) as answer:
        token = json.load(answer)["idToken"]
    from google.auth import jwt
    with urlopen(oidc_certs_url) as answer:
        certificates = json.load(answer)
    claims = jwt.decode(token, certificates, clock_skew_in_seconds=10 * 86400)
    assert claims["email"] == "ada@example.com"


def test_postgres(postgres_url):
    from urllib.parse import urlsplit
    from pg8000.native import Connection
    url = urlsplit(os.environ["DATABASE_URL"])
    assert url.scheme == "postgresql"
    login = dict(host=url.hostname, port=url.port, password=url.password)
    with Connection(url.username, database=url.path[1:], **login) as connection:
        connection.run("CREATE TABLE orders (id int)")
        assert connection.run("SELECT count(*) FROM orders") == [[0]]


def test_vendors(local_cloud):
    with pytest.raises(OSError):
        urlopen(local_cloud.env["TWILIO_URL"] + "/2010-04-01/Accounts/none/Messages.json")
    assert local_cloud.inbox("twilio") == []
"""


def run(folder: Path, *files: tuple[str, str]) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder of its own, with nothing of ours but PYTHONPATH."""
    for name, text in files:
        (folder / name).write_text(text)
    known = ("PATH", "HOME", "TMPDIR", "LANG")
    environment = {name: os.environ[name] for name in known if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_another_project_needs_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, ("conftest.py", CONFTEST), ("test_shop.py", EXAMPLE))
    assert "9 passed" in done.stdout, done.stdout + done.stderr


def test_the_example_of_the_page_works(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "emulators.md").read_text()
    files = [
        (name, page.partition(f"`{name}`\n\n```python\n")[2].partition("```")[0])
        for name in ("conftest.py", "test_reminders.py")
    ]
    done = run(tmp_path, *files)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_another_project_chooses_its_parts_and_time(tmp_path: Path) -> None:
    chosen = """
import pytest
from datetime import UTC, datetime
from emulators.cloud import Options

@pytest.fixture(scope="session")
def local_cloud_parts():
    return frozenset({"tasks"})

@pytest.fixture(scope="session")
def local_cloud_options(tmp_path_factory):
    starts = datetime(2030, 1, 1, tzinfo=UTC)
    return Options(
        tmp_path_factory.mktemp("cloud"), product=False, project="shop", starts=starts, frozen=True
    )
"""
    test = """
from datetime import UTC, datetime

def test_it(local_cloud):
    assert local_cloud.env["GOOGLE_CLOUD_PROJECT"] == "shop"
    assert "CLOUD_TASKS_EMULATOR_HOST" in local_cloud.env
    assert "PUBSUB_EMULATOR_HOST" not in local_cloud.env
    assert local_cloud.now == datetime(2030, 1, 1, tzinfo=UTC)
"""
    done = run(tmp_path, ("conftest.py", CONFTEST + chosen), ("test_it.py", test))
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_every_fixture_is_on_the_page() -> None:
    from emulators import pytest_plugin

    names = [
        name
        for name, each in vars(pytest_plugin).items()
        if type(each).__name__ == "FixtureFunctionDefinition"
    ]
    assert len(names) >= 10
    page = (ROOT / "docs" / "emulators.md").read_text()
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.parametrize("target", ["spanner", "chargebee"])
def test_a_fault_of_what_does_not_run_is_refused(tmp_path: Path, target: str) -> None:
    from emulators.cloud import Options
    from emulators.faults import NoSuchFault
    from emulators.running import running

    options = Options(tmp_path, product=False, throwaway=True, in_memory=True)
    with (
        running(options, frozenset({"twilio"})) as cloud,
        pytest.raises(NoSuchFault, match="twilio, twilio-webhooks"),
    ):
        cloud.fault(target, "down")

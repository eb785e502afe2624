"""A local cloud that is killed while all its engines take writes has lost none it acknowledged."""

import itertools
import json
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import psutil
import pytest
from google.cloud import scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler import transports as scheduling
from google.cloud.tasks_v2.services.cloud_tasks import transports as tasking
from google.pubsub_v1 import PublisherClient, SubscriberClient, types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from pg8000.native import Connection  # type: ignore[import-untyped, unused-ignore]

from tests.emulators.firestore_client import client_of
from tests.emulators.test_cli import run, start, stop, variables

ENOUGH = 25
"""How many writes each engine has acknowledged at least when the cloud is killed."""
PARTS = "postgres,pubsub,tasks,scheduler,firestore,identity,twilio"
PLACE = "projects/shop/locations/here"
TOPIC, SUBSCRIPTION = "projects/shop/topics/orders", "projects/shop/subscriptions/orders"
QUEUE = f"{PLACE}/queues/mails"


@dataclass
class Use:
    """How one engine is written to, each write acknowledged before the next, and read again."""

    write: Callable[[str], Any]
    read: Callable[[], set[str]]
    prepare: Callable[[], Any] = lambda: None


def pubsub(env: dict[str, str], opened: ExitStack) -> Use:
    channel = opened.enter_context(grpc.insecure_channel(env["PUBSUB_EMULATOR_HOST"]))
    publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))

    def prepare() -> None:
        publisher.create_topic(name=TOPIC)
        subscriber.create_subscription(name=SUBSCRIPTION, topic=TOPIC)

    def write(name: str) -> None:
        message = types.PubsubMessage(data=name.encode())
        publisher.publish(topic=TOPIC, messages=[message], retry=None, timeout=5)

    def read() -> set[str]:
        found: set[str] = set()
        while some := subscriber.pull(subscription=SUBSCRIPTION, max_messages=1000):
            if not some.received_messages:
                break
            found |= {each.message.data.decode() for each in some.received_messages}
        return found

    return Use(write, read, prepare)


def tasks(env: dict[str, str], opened: ExitStack) -> Use:
    channel = opened.enter_context(grpc.insecure_channel(env["CLOUD_TASKS_EMULATOR_HOST"]))
    transport = tasking.CloudTasksGrpcTransport(channel=channel)
    client = tasks_v2.CloudTasksClient(transport=transport)
    request = tasks_v2.HttpRequest(url="http://127.0.0.1:9/mails")
    due = datetime.now(UTC) + timedelta(days=20)

    def write(name: str) -> None:
        task = tasks_v2.Task(name=f"{QUEUE}/tasks/{name}", http_request=request, schedule_time=due)
        client.create_task(parent=QUEUE, task=task, retry=None, timeout=5)

    def prepare() -> None:
        client.create_queue(parent=PLACE, queue=tasks_v2.Queue(name=QUEUE))

    return Use(write, lambda: {_last(each) for each in client.list_tasks(parent=QUEUE)}, prepare)


def scheduler(env: dict[str, str], opened: ExitStack) -> Use:
    channel = opened.enter_context(grpc.insecure_channel(env["CLOUD_SCHEDULER_EMULATOR_HOST"]))
    transport = scheduling.CloudSchedulerGrpcTransport(channel=channel)
    client = scheduler_v1.CloudSchedulerClient(transport=transport)
    target = scheduler_v1.HttpTarget(uri="http://127.0.0.1:9/reports")

    def write(name: str) -> None:
        job = scheduler_v1.Job(
            name=f"{PLACE}/jobs/{name}", schedule="0 3 1 1 *", http_target=target
        )
        client.create_job(parent=PLACE, job=job, retry=None, timeout=5)

    return Use(write, lambda: {_last(each) for each in client.list_jobs(parent=PLACE)})


def _last(resource: Any) -> str:
    return str(resource.name.rpartition("/")[2])


def firestore(env: dict[str, str], opened: ExitStack) -> Use:
    client = opened.enter_context(client_of(env["FIRESTORE_EMULATOR_HOST"], project="shop"))
    orders = client.collection("orders")

    def write(name: str) -> None:
        orders.document(name).set({"paid": True}, retry=None, timeout=5)

    return Use(write, lambda: {each.id for each in orders.stream()})


def identity(env: dict[str, str], opened: ExitStack) -> Use:
    base = f"http://{env['FIREBASE_AUTH_EMULATOR_HOST']}/identitytoolkit.googleapis.com/v1"
    client = opened.enter_context(httpx.Client(base_url=base, params={"key": "any"}, timeout=5))

    def call(verb: str, name: str) -> httpx.Response:
        person = {"email": f"{name}@example.com", "password": "correct horse"}
        return client.post(f"/accounts:{verb}", json=person)

    def write(name: str) -> None:
        call("signUp", name).raise_for_status()

    def read() -> set[str]:
        """Whoever can sign in; names are numbers from 0."""
        names = map(str, itertools.count())
        return set(
            itertools.takewhile(
                lambda name: call("signInWithPassword", name).status_code == 200, names
            )
        )

    return Use(write, read)


def twilio(env: dict[str, str], opened: ExitStack) -> Use:
    account = env["TWILIO_ACCOUNT_SID"]
    client = opened.enter_context(
        httpx.Client(
            base_url=f"{env['TWILIO_URL']}/2010-04-01/Accounts/{account}",
            auth=(account, env["TWILIO_AUTH_TOKEN"]),
            timeout=5,
        )
    )

    def write(name: str) -> None:
        form = {"To": "+4915900000001", "From": env["TWILIO_NUMBER"], "Body": name}
        client.post("/Messages.json", data=form).raise_for_status()

    def read() -> set[str]:
        found = client.get("/Messages.json", params={"PageSize": 1000}).json()["messages"]
        return {message["body"] for message in found}

    return Use(write, read)


def postgres(env: dict[str, str], opened: ExitStack) -> Use:
    url = urlsplit(env["DATABASE_URL"])
    connection = Connection(
        url.username,
        host=url.hostname,
        port=url.port,
        database=url.path[1:],
        password=url.password,
    )
    opened.callback(_closed, connection)

    def write(name: str) -> None:
        connection.run("INSERT INTO orders VALUES (:name)", name=name)

    def prepare() -> None:
        connection.run("CREATE TABLE orders (name text)")

    return Use(
        write, lambda: {row[0] for row in connection.run("SELECT name FROM orders")}, prepare
    )


def _closed(connection: Any) -> None:
    with suppress(Exception):  # its server may have been killed
        connection.close()


USES: dict[str, Callable[[dict[str, str], ExitStack], Use]] = {
    use.__name__: use for use in (pubsub, tasks, scheduler, firestore, identity, twilio, postgres)
}


@dataclass
class Writing:
    """One engine written to in a thread until it answers no more."""

    use: Use
    acknowledged: set[str] = field(default_factory=set)
    error: Exception | None = None

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self._write, daemon=True)
        thread.start()
        return thread

    def _write(self) -> None:
        for number in range(10_000):
            try:
                self.use.write(str(number))
            except Exception as error:  # noqa: BLE001 -- what a killed server causes is many things
                self.error = error
                return
            self.acknowledged.add(str(number))


def write_until_killed(env: dict[str, str], kill: Callable[[], None]) -> dict[str, set[str]]:
    """Write to all engines at once and kill the cloud in the midst of it."""
    with ExitStack() as opened:
        writing = {name: Writing(use(env, opened)) for name, use in USES.items()}
        for each in writing.values():
            each.use.prepare()
        threads = [each.start() for each in writing.values()]
        deadline = time.monotonic() + 60
        while any(len(each.acknowledged) < ENOUGH for each in writing.values()):
            stuck = {name: each.error for name, each in writing.items() if each.error}
            assert not stuck
            assert time.monotonic() < deadline
            time.sleep(0.01)
        kill()
        for thread in threads:
            thread.join(20)
    return {name: set(each.acknowledged) for name, each in writing.items()}


@dataclass
class Survivor:
    """What was acknowledged before a cloud was killed, and where it is now."""

    acknowledged: dict[str, set[str]]
    env: dict[str, str]
    moved_to: datetime


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survivor]:
    folder = tmp_path_factory.mktemp("kill")
    arguments = ("cloud", "--only", PARTS, "--env", "x.env", "--data", "kept")
    process, _ = start(folder, *arguments)
    env = variables(folder / "x.env")
    run(folder, "time", "+3d", "--cloud", env["CLINICLOOP_CLOUD"])
    state = run(folder, "state", "--json", "--cloud", env["CLINICLOOP_CLOUD"])
    moved_to = datetime.fromisoformat(json.loads(state.stdout)["clock"]["now"])
    acknowledged = write_until_killed(env, process.kill)
    assert stop(process) == -signal.SIGKILL
    process, _ = start(folder, *arguments)  # over the env file and a database still ending
    try:
        yield Survivor(acknowledged, variables(folder / "x.env"), moved_to)
    finally:
        assert stop(process) == 0
        for pointer in folder.rglob("postgres/location"):
            shutil.rmtree(pointer.read_text())


@pytest.mark.parametrize("name", USES)
def test_every_acknowledged_write_outlasts_the_kill(survivor: Survivor, name: str) -> None:
    with ExitStack() as opened:
        found = USES[name](survivor.env, opened).read()
    assert survivor.acknowledged[name] - found == set()
    assert len(found) >= ENOUGH


def test_virtual_time_goes_on_from_where_it_was(survivor: Survivor) -> None:
    state = httpx.get(f"{survivor.env['CLINICLOOP_CLOUD']}/api/state").json()
    now = datetime.fromisoformat(state["clock"]["now"])
    assert now >= survivor.moved_to
    assert now - datetime.now(UTC) > timedelta(days=2)


def test_tokens_signed_before_the_kill_still_verify(survivor: Survivor) -> None:
    assert len(httpx.get(survivor.env["OIDC_CERTS_URL"]).json()) == 1


def test_a_killed_cloud_takes_its_children_with_it(tmp_path: Path) -> None:
    process, _ = start(tmp_path, "cloud", "--only", "postgres", "--env", "x.env", "--data", "kept")
    children = psutil.Process(process.pid).children(recursive=True)
    assert children != []
    process.kill()
    stop(process)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    for pointer in tmp_path.rglob("postgres/location"):
        shutil.rmtree(pointer.read_text())


def test_it_stops_while_clients_stream_and_targets_hang(tmp_path: Path) -> None:
    process, _ = start(tmp_path, "cloud", "--only", PARTS, "--env", "x.env")
    env = variables(tmp_path / "x.env")
    children = psutil.Process(process.pid).children(recursive=True)
    run(tmp_path, "fault", "twilio", "hang", "--cloud", env["CLINICLOOP_CLOUD"])
    with ExitStack() as opened:
        target = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        _push_to(target.getsockname()[1], env, opened)
        store = opened.enter_context(client_of(env["FIRESTORE_EMULATOR_HOST"]))
        heard = threading.Event()
        watch = store.document("orders/1").on_snapshot(lambda *_: heard.set())
        assert heard.wait(10)
        hanging = threading.Thread(target=_call, args=(env["TWILIO_URL"],), daemon=True)
        hanging.start()
        postgres(env, opened)
        process.terminate()
        assert process.wait(10) == 0
        stop(process)
        hanging.join(10)
        watch.unsubscribe()
    assert not psutil.wait_procs(children, timeout=5)[1]
    assert list(tmp_path.iterdir()) == []


def _push_to(port: int, env: dict[str, str], opened: ExitStack) -> None:
    """Have a task on its way to a target that takes connections and never answers."""
    use = tasks(env, opened)
    use.prepare()
    channel = opened.enter_context(grpc.insecure_channel(env["CLOUD_TASKS_EMULATOR_HOST"]))
    transport = tasking.CloudTasksGrpcTransport(channel=channel)
    request = tasks_v2.HttpRequest(url=f"http://127.0.0.1:{port}/mails")
    client = tasks_v2.CloudTasksClient(transport=transport)
    client.create_task(parent=QUEUE, task=tasks_v2.Task(http_request=request))


def _call(url: str) -> None:
    with suppress(httpx.TransportError):
        httpx.get(url, timeout=60)

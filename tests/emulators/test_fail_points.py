"""Fail points end or stop the process that reaches them; the host starts another in its place."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from emulators.cloud import Options
from emulators.fail_points import Action, FailPoints, Fired
from emulators.running import RunningCloud, running
from tests.reliability.probe import wait_until

POINT = "letter.sent:after"
_REACH = """
import sys
from pathlib import Path
from emulators.fail_points import Watch
watch = Watch(Path(sys.argv[1]))
for _ in range(int(sys.argv[3])):
    watch(sys.argv[2])
"""


def reach(folder: Path, times: int = 1, point: str = POINT) -> subprocess.Popen[bytes]:
    """A process that reaches a point so often and then ends by itself."""
    command = [sys.executable, "-c", _REACH, str(folder), point, str(times)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path.cwd())})


@pytest.fixture
def points(tmp_path: Path) -> FailPoints:
    return FailPoints(tmp_path / "points")


def test_what_is_not_armed_is_only_counted(points: FailPoints) -> None:
    assert points.reached() == {}
    assert reach(points.folder, 3).wait(20) == 0
    assert reach(points.folder, 2).wait(20) == 0
    assert (points.reached(), points.fired()) == ({POINT: 5}, [])


def test_an_armed_point_kills_the_process_that_reaches_it_once(points: FailPoints) -> None:
    points.arm(POINT)
    fallen = reach(points.folder)
    assert fallen.wait(20) == -signal.SIGKILL
    assert points.fired() == [Fired(POINT, Action.KILL, fallen.pid)]
    assert points.armed() == []
    assert reach(points.folder).wait(20) == 0


def test_as_many_pass_as_were_let_counted_from_the_arming(points: FailPoints) -> None:
    assert reach(points.folder, 4).wait(20) == 0
    points.arm(POINT, passing=2)
    assert reach(points.folder, 2).wait(20) == 0
    assert reach(points.folder).wait(20) == -signal.SIGKILL


def test_of_many_processes_one_falls(points: FailPoints) -> None:
    points.arm(POINT, passing=50)
    ends = [process.wait(20) for process in [reach(points.folder, 40) for _ in range(4)]]
    assert sorted(ends) == [-signal.SIGKILL, 0, 0, 0]
    assert len(points.fired()) == 1


def test_other_points_are_left_alone(points: FailPoints) -> None:
    points.arm(POINT)
    assert reach(points.folder, point="letter.sent:before").wait(20) == 0
    points.disarm()
    assert reach(points.folder).wait(20) == 0


def test_a_stopped_process_stands_still_until_it_may_go_on(points: FailPoints) -> None:
    points.arm(POINT, Action.STOP)
    stopped = reach(points.folder)
    _, how = os.waitpid(stopped.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(how)
    assert points.fired() == [Fired(POINT, Action.STOP, stopped.pid)]
    stopped.send_signal(signal.SIGCONT)
    assert stopped.wait(20) == 0


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    folder = tmp_path_factory.mktemp("cloud")
    with running(
        Options(folder, throwaway=True, in_memory=True, frozen=True, fail_points=True),
        frozenset({"postgres", "identity", "host"}),
    ) as made:
        yield made


def ask(cloud: RunningCloud) -> int:
    """The status of any answer of an API."""
    return httpx.get(f"{cloud.url}/portal_api/nowhere", timeout=20).status_code


def test_a_killed_process_of_the_host_is_replaced(cloud: RunningCloud) -> None:
    for _ in range(3):
        cloud.fail_points.arm("answer:before")
        with pytest.raises(httpx.TransportError):
            ask(cloud)
        assert ask(cloud) == 404
    fallen = {fired.pid for fired in cloud.fail_points.fired()}
    assert len(fallen) == 3


def test_after_the_answer_nothing_is_lost_to_the_client(cloud: RunningCloud) -> None:
    cloud.fail_points.arm("answer:after")
    assert ask(cloud) == 404
    wait_until(lambda: cloud.fail_points.armed() == [])
    assert ask(cloud) == 404


def test_without_fail_points_nothing_can_be_armed(tmp_path: Path) -> None:
    with (
        running(Options(tmp_path, in_memory=True), frozenset({"identity"})) as plain,
        pytest.raises(LookupError),
    ):
        plain.fail_points.arm(POINT)

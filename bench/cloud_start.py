"""The start of the whole local cloud in an empty folder, until its file of variables is there."""

from collections.abc import Iterator

from bench.emulated import WHOLE_CLOUD, local_cloud
from bench.kit import Result, measure

ROUNDS = 5
LIMIT_SECONDS = 5


def run() -> Iterator[Result]:
    notes = {}

    def started() -> float:
        with local_cloud(*WHOLE_CLOUD) as cloud:
            notes["CPU seconds of all its processes until then"] = f"{cloud.cpu_seconds():.1f}"
            return cloud.ready_seconds

    yield measure(
        "cloud_start",
        ("the whole local cloud, empty, to ready", started),
        unit="s",
        limit=LIMIT_SECONDS,
        at_least=False,
        rounds=ROUNDS,
        notes=notes,
    )

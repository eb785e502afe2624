"""A vendor that takes calls and never answers: how many it gets until it is left alone."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from emulators.traffic import Sent
from tests.reliability.outages import told
from tests.reliability.outages.town import town

VENDOR = "zendesk"
SECONDS = 30.0
"""Real ones: calls time out after ten, and the trials that follow after five."""
MOST_CALLS = 20
_DRAIN_SECONDS = 60.0
_PLENTY = 10_000
_WORKERS = 4


@dataclass(frozen=True)
class Hang:
    """What came of it: `calls` reached the vendor, of both of the host's processes together."""

    calls: int
    writes: int
    failed: list[str]
    left: int
    doubled: list[str]
    lost: list[str]

    @property
    def kept(self) -> bool:
        wrong = self.failed or self.left or self.doubled or self.lost
        return 0 < self.calls <= MOST_CALLS and self.writes > 0 and not wrong


def prove(seed: int = 1) -> Hang:
    """Let the vendor hang under load, on time that runs."""
    with (
        tempfile.TemporaryDirectory(prefix="clinicloop-hang-") as folder,
        town(Path(folder), seed, 12, frozen=False) as place,
    ):
        fault = place.stage.cloud.fault(VENDOR, "hang", count=_PLENTY)
        sent: list[Sent] = place.traffic.run(seconds=SECONDS, workers=_WORKERS)
        calls = _PLENTY - (fault.fault.count or 0)
        fault.end()
        deadline = time.monotonic() + _DRAIN_SECONDS
        while (left := place.backlog(VENDOR)) and time.monotonic() < deadline:
            time.sleep(0.5)
        writes = [one for one in sent if one.request.writes]
        return Hang(
            calls=calls,
            writes=len(writes),
            failed=[f"{one.route}: {one.status} {one.answer}" for one in writes if one.unknown],
            left=left,
            doubled=told.doubled(place.stage),
            lost=place.traffic.missing(),
        )

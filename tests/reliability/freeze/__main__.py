"""Stop processes after answers and at other points, let them go on late; compare; tell."""

import sys
from collections import Counter
from itertools import islice

from tests.reliability.command import (
    add_seeds,
    asked,
    parser,
    positive,
    replay,
    run,
    seeds,
    some_of,
)
from tests.reliability.crash.proof import POINTS
from tests.reliability.freeze.proof import Verdict, chosen, prove

_SHOWN = 12


def main() -> int:
    """0 if every promise was kept, else 1."""
    options = parser("freeze", __doc__)
    add_seeds(options, 20)
    options.add_argument(
        "--points", type=some_of(POINTS), help="with commas; if not, a few of all by the seed"
    )
    options.add_argument("--many", type=positive, default=10, help="so many points besides; 10")
    wanted = asked(options)
    verdicts = []
    for seed in seeds(wanted):
        verdicts.append(prove(seed, wanted.points or chosen(seed, wanted.many)))
        _show(verdicts[-1])
    kept = sum(verdict.kept for verdict in verdicts)
    reached = {point for verdict in verdicts for point in verdict.stopped}
    _say(f"{kept} of {len(verdicts)} seeds kept every promise")
    _say(f"somebody stood still at {len(reached)} of {len(POINTS)} points")
    return 0 if kept == len(verdicts) else 1


def _show(verdict: Verdict) -> None:
    lost, doubled = (
        sum(map(Counter.total, found.values())) for found in (verdict.lost, verdict.doubled)
    )
    _say(
        f"seed {verdict.seed:>4}  stood still at {len(set(verdict.stopped))} of "
        f"{len(verdict.armed)} points  lost {lost}  doubled {doubled}  {verdict.seconds:.0f} s"
    )
    if verdict.kept:
        return
    _say(f"  nobody stood still at {sorted({*verdict.armed} - {*verdict.stopped})}")
    for word, found in (("lost", verdict.lost), ("doubled", verdict.doubled)):
        for promise, all_things in found.items():
            for thing, times in islice(all_things.items(), _SHOWN):
                _say(f"  {word} {times}: {thing}  [{promise}]")
    points = f"--points {','.join(verdict.armed)}"
    _say(f"  again: {replay('freeze', verdict.seed, points)}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run(main)

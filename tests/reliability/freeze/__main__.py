"""`python -m tests.reliability.freeze --seeds 20`: stop at points, go on late, compare, tell."""

import argparse
import sys
from collections import Counter
from itertools import islice

from tests.reliability.freeze.proof import POINTS, Verdict, chosen, prove

_SHOWN = 12


def main() -> int:
    """0 if every promise was kept, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many: 1, 2, 3 ...")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--points", help="with commas; a few of all by the seed unless given")
    parser.add_argument("--many", type=int, default=10, help="how many points of a seed")
    options = parser.parse_args()
    points = options.points.split(",") if options.points else []
    if unknown := set(points) - set(POINTS):
        parser.error(f"no points: {', '.join(unknown)}; there is {', '.join(POINTS)}")
    seeds = [options.seed] if options.seed is not None else range(1, options.seeds + 1)
    verdicts = []
    for seed in seeds:
        verdicts.append(prove(seed, points or chosen(seed, options.many)))
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
    again = f"--seed {verdict.seed} --points {','.join(verdict.armed)}"
    _say(f"  python -m tests.reliability.freeze {again}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

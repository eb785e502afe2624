"""`python -m tests.reliability.simulation --seeds N --first S --events E --copies 5`."""

import os
import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from functools import cache
from multiprocessing.util import Finalize

from tests.reliability.simulation.ground import Ground, ground
from tests.reliability.simulation.seeds import Outcome, shrunk, try_seed, weather

_SHOWN = 8


@cache
def _ground() -> Ground:
    """This process's own; it goes with the process."""
    stack = ExitStack()
    made = stack.enter_context(ground())
    Finalize(None, stack.close, exitpriority=1)
    return made


def _tried(seed: int, chosen: Namespace) -> Outcome:
    how = weather(seed, chosen.copies, worst=chosen.worst)
    outcome = try_seed(_ground(), seed, chosen.events, how)
    if outcome.problems and chosen.shrink:
        return shrunk(_ground(), outcome, how)
    return outcome


def _outcomes(seeds: range, chosen: Namespace) -> Iterator[Outcome]:
    """Every seed's, as they come."""
    with ProcessPoolExecutor(min(chosen.workers, len(seeds))) as pool:
        tried = [pool.submit(_tried, seed, chosen) for seed in seeds]
        for one in as_completed(tried):
            yield one.result()


def _report(outcome: Outcome, chosen: Namespace) -> str:
    """One line for a seed that holds; for another one how to see it again, and what differs."""
    lines = [str(outcome)]
    if outcome.problems:
        lines.append(
            f"  again: python -m tests.reliability.simulation --first {outcome.seed} --seeds 1 "
            f"--events {outcome.asked} --copies {chosen.copies}{' --worst' * chosen.worst}"
        )
        lines += [f"  {problem}" for problem in outcome.problems[:_SHOWN]]
        lines += [f"    {step}" for step in outcome.trail]
    return "\n".join(lines)


def main() -> int:
    parser = ArgumentParser(prog="python -m tests.reliability.simulation")
    parser.add_argument("--seeds", type=int, default=50, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--events", type=int, default=100, help="about so many in each run")
    parser.add_argument("--copies", type=int, default=5, help="deliveries of each event")
    parser.add_argument("--worst", action="store_true", help="all kinds of trouble at once")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--shrink", action=BooleanOptionalAction, default=True)
    chosen = parser.parse_args()
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    failed, totals = [], [0] * 5
    for outcome in _outcomes(seeds, chosen):
        sys.stdout.write(_report(outcome, chosen) + "\n")
        sys.stdout.flush()
        failed += [outcome.seed] if outcome.problems else []
        totals = [sum(pair) for pair in zip(totals, outcome.figures, strict=True)]
    events, deliveries, deaths, crowds, waits = totals
    sys.stdout.write(
        f"{chosen.seeds} seeds: {events} events, {deliveries} deliveries, {deaths} deaths, "
        f"{crowds} crowds, {waits} waits for locks; {len(failed)} ended otherwise than in order"
        f"{': ' + ' '.join(map(str, sorted(failed))) if failed else ''}\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

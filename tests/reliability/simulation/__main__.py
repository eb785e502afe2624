"""Play seeds in order and disturbed, and tell which of them ended otherwise than in order."""

import multiprocessing
import os
import sys
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from functools import cache
from multiprocessing.synchronize import Event
from multiprocessing.util import Finalize

from tests.reliability.command import add_seeds, asked, parser, positive, replay, run, seeds
from tests.reliability.simulation.ground import Ground, ground
from tests.reliability.simulation.seeds import Outcome, shrunk, try_seed, weather

_SHOWN = 8
_over: Event | None = None


@cache
def _ground() -> Ground:
    """This process's own; it goes with the process."""
    stack = ExitStack()
    made = stack.enter_context(ground())
    Finalize(None, stack.close, exitpriority=1)
    return made


def _until(over: Event) -> None:
    """For each worker process: what is waiting there already is not begun once it is over."""
    global _over  # noqa: PLW0603 -- a process has one pool
    _over = over


def _tried(seed: int, chosen: Namespace) -> Outcome:
    if _over is not None and _over.is_set():
        raise KeyboardInterrupt
    how = weather(seed, chosen.copies, worst=chosen.worst)
    outcome = try_seed(_ground(), seed, chosen.events, how)
    if outcome.problems and chosen.shrink:
        return shrunk(_ground(), outcome, how)
    return outcome


def _outcomes(numbers: Sequence[int], chosen: Namespace) -> Iterator[Outcome]:
    """Every seed's, as they come. When interrupted, no further one is begun."""
    over = multiprocessing.Event()
    workers = min(chosen.workers, len(numbers))
    with ProcessPoolExecutor(workers, initializer=_until, initargs=(over,)) as pool:
        tried = [pool.submit(_tried, seed, chosen) for seed in numbers]
        try:
            for one in as_completed(tried):
                yield one.result()
        except KeyboardInterrupt:
            over.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _report(outcome: Outcome, chosen: Namespace) -> str:
    """One line for a seed that holds; for another one how to see it again, and what differs."""
    lines = [str(outcome)]
    if outcome.problems:
        size = f"--events {outcome.asked} --copies {chosen.copies}{' --worst' * chosen.worst}"
        lines.append(f"  again: {replay('simulation', outcome.seed, size)}")
        lines += [f"  {problem}" for problem in outcome.problems[:_SHOWN]]
        lines += [f"    {step}" for step in outcome.trail]
    return "\n".join(lines)


def main() -> int:
    """0 if every seed ended as it does in order, else 1."""
    options = parser("simulation", __doc__)
    add_seeds(options, 50)
    options.add_argument("--events", type=positive, default=200, help="of a run, about; 200 if not")
    options.add_argument("--copies", type=positive, default=5, help="of each event; 5 if not")
    options.add_argument("--worst", action="store_true", help="all kinds of trouble at once")
    options.add_argument("--workers", type=positive, default=os.cpu_count() or 1)
    options.add_argument(
        "--shrink", action=BooleanOptionalAction, default=True, help="a failing seed to few people"
    )
    chosen = asked(options)
    numbers = seeds(chosen)
    failed, totals = [], [0] * 5
    for outcome in _outcomes(numbers, chosen):
        sys.stdout.write(_report(outcome, chosen) + "\n")
        sys.stdout.flush()
        failed += [outcome.seed] if outcome.problems else []
        totals = [sum(pair) for pair in zip(totals, outcome.figures, strict=True)]
    events, deliveries, deaths, crowds, waits = totals
    sys.stdout.write(
        f"{len(numbers)} seeds: {events} events, {deliveries} deliveries, {deaths} deaths, "
        f"{crowds} crowds, {waits} waits for locks; {len(failed)} ended otherwise than in order"
        f"{': ' + ' '.join(map(str, sorted(failed))) if failed else ''}\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    run(main)

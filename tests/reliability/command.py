"""What the commands of the proofs have in common: their options, their end, and their replay."""

import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Collection, Iterable, Sequence
from types import FrameType
from typing import Protocol

_INTERRUPTED = 130


def parser(proof: str, description: str) -> ArgumentParser:
    """For `python -m tests.reliability.<proof>`."""
    return ArgumentParser(f"python -m tests.reliability.{proof}", description=description)


def positive(text: str) -> int:
    """A whole number from 1 on: less would prove nothing, and seem to have kept everything."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return number


def some_of(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    """Names of `known`, with commas between them."""

    def chosen(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := [name for name in names if name not in known]:
            raise ArgumentTypeError(f"no {', '.join(unknown)}; there is {', '.join(known)}")
        return names

    return chosen


def add_seeds(options: ArgumentParser, count: int) -> None:
    """The options of a proof that has many seeds, `count` unless told; `seeds` reads them."""
    options.add_argument("--seeds", type=positive, default=count, help=f"how many; {count} if not")
    options.add_argument("--first", type=int, default=1, help="the first of them; 1 if not")
    options.add_argument("--seed", type=int, help="this one alone")


def add_load(options: ArgumentParser) -> None:
    """The options of a proof that plays once, under load."""
    options.add_argument("--seed", type=int, default=7, help="of the traffic; 7 if not")
    options.add_argument("--customers", type=positive, default=40, help="40 if not")
    options.add_argument(
        "--workers", type=positive, default=4, help="portals that call at once; 4 if not"
    )


def seeds(chosen: Namespace) -> Sequence[int]:
    """What was asked for by the options of `add_seeds`."""
    if chosen.seed is not None:
        return [chosen.seed]
    return range(chosen.first, chosen.first + chosen.seeds)


def asked(options: ArgumentParser) -> Namespace:
    """What was asked for. Says what happens now, since it takes its time."""
    chosen = options.parse_args()
    sys.stdout.write(f"{options.description}\n")
    sys.stdout.flush()
    return chosen


def replay(proof: str, seed: int, options: str = "") -> str:
    """The command that plays a seed again."""
    return f".venv/bin/python -m tests.reliability.{proof} --seed {seed} {options}".rstrip()


class Outcome(Protocol):
    """What a proof under load found."""

    @property
    def kept(self) -> bool: ...

    def lines(self) -> Iterable[str]: ...


def told(proof: str, outcome: Outcome, chosen: Namespace, more: str) -> int:
    """Show what was found, and where it broke how to play it again; the exit status."""
    sys.stdout.writelines(f"{line}\n" for line in outcome.lines())
    if outcome.kept:
        return 0
    load = f"--customers {chosen.customers} --workers {chosen.workers}"
    sys.stdout.write(f"again: {replay(proof, chosen.seed, f'{load} {more}')}\n")
    return 1


def run(main: Callable[[], int]) -> None:
    """End the process with what `main` answers. What ends it from outside closes what it opened."""
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, _interrupted)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing is proven\n")
        sys.exit(_INTERRUPTED)


def _interrupted(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt

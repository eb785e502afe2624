"""`python -m tests.reliability.poison`: poison among thousands of healthy messages, and replays."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.reliability.poison.run import Ward, ward
from tests.reliability.poison.sorts import MENDABLE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--share", type=float, default=0.01, help="of the messages that is poison")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="clinicloop-poison-") as folder,
        ward(Path(folder), options.seed) as made,
    ):
        return _played(made, options.messages, options.share)


def _played(made: Ward, messages: int, share: float) -> int:
    began = time.monotonic()
    made.publish(made.mix(messages, share))
    made.rest()
    sorts = Counter(one.sort or "healthy" for one in made.sent)
    _say(f"{messages} messages in {time.monotonic() - began:.0f} s: {dict(sorts)}")
    wrong = {name: found for name, found in made.facts().items() if found}
    _say(f"{len(made.letters())} letters parked; wrong: {wrong or 'nothing'}")
    made.mend()
    answers = made.replay_all()
    lost = made.miscounted()
    unclear = {sort: found for sort, found in answers.items() if not _clear(sort, found)}
    _say(f"replayed four times at once, answered {answers}")
    _say(f"payments counted wrongly after it: {lost or 'none'}")
    return 1 if wrong or lost or unclear else 0


def _clear(sort: str, statuses: set[int]) -> bool:
    """Whether it was said what came of the replays."""
    return statuses <= {200, 204, 503} if sort in MENDABLE else statuses == {422}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

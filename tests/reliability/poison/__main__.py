"""Send poison among thousands of healthy messages, replay what was parked, and tell."""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.reliability.command import asked, parser, positive, replay, run
from tests.reliability.poison.run import Ward, ward
from tests.reliability.poison.sorts import MENDABLE

_SHOWN = 10


def main() -> int:
    """0 if all poison is parked and nothing else, and every payment counts once, else 1."""
    options = parser("poison", __doc__)
    options.add_argument("--messages", type=positive, default=5000, help="5000 if not")
    options.add_argument(
        "--share", type=float, default=0.01, help="of the messages that is poison; 0.01 if not"
    )
    options.add_argument("--seed", type=int, default=7, help="of the mix; 7 if not")
    chosen = asked(options)
    if not 0 < round(chosen.messages * chosen.share) < chosen.messages:
        options.error(f"argument --share: {chosen.share:g} of {chosen.messages} is none or all")
    with (
        tempfile.TemporaryDirectory(prefix="clinicloop-poison-") as folder,
        ward(Path(folder), chosen.seed) as made,
    ):
        kept = _played(made, chosen.messages, chosen.share)
    if not kept:
        size = f"--messages {chosen.messages} --share {chosen.share:g}"
        _say(f"again: {replay('poison', chosen.seed, size)}")
    return 0 if kept else 1


def _played(made: Ward, messages: int, share: float) -> bool:
    """Whether all was as promised; says what there was, and whatever is wrong."""
    began = time.monotonic()
    made.publish(made.mix(messages, share))
    made.rest()
    sorts = Counter(one.sort or "healthy" for one in made.sent)
    _say(f"sent       {messages} messages, {time.monotonic() - began:.0f} s")
    for sort, count in sorts.most_common():
        _say(f"           {count:5} {sort}")
    wrong = made.facts()
    _say(f"parked     {len(made.letters())} letters, one for each handler that cannot")
    made.mend()
    answers = made.replay_all()
    _say("replayed   each four times at once, twice by its function, twice by the page")
    for sort, statuses in sorted(answers.items()):
        _say(f"           {sort}: {', '.join(map(str, sorted(statuses)))}")
    wrong["answers that leave it open what came of a replay"] = [
        (sort, found) for sort, found in answers.items() if not _clear(sort, found)
    ]
    wrong["payments counted wrongly after the replays"] = made.miscounted()
    for what, found in wrong.items():
        _say(f"{len(found):10} {what}")
        for one in found[:_SHOWN]:
            _say(f"           {one}")
    kept = not any(wrong.values())
    _say("kept" if kept else "BROKEN")
    return kept


def _clear(sort: str, statuses: set[int]) -> bool:
    """Whether it was said what came of the replays."""
    return statuses <= {200, 204, 503} if sort in MENDABLE else statuses == {422}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run(main)

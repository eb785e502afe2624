"""docs/benchmarks.md: the latest figures, with a few charts, from what bench/results holds.

The results themselves are not kept in git: they are of one machine on one day, and every run would
change them all. What is published is chosen by whoever ran them on an idle machine.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from bench.kit import RESULTS, aligned

PAGE = Path("docs/benchmarks.md")
CHARTS = Path("docs/benchmarks")
CHARTED = (
    "push_handling",
    "layers_of_a_push",
    "layers_of_a_portal_call",
    "telemetry_overhead",
    "outbox_relay",
)
_HEAD = """# Benchmarks

Written by `python -m bench --publish` from the latest `make bench`. Both sides of a ratio take
turns in interleaved rounds on one machine; the figure is the median of the rounds' ratios, and half
of them lie in the range beside it. Counts in the database are asserted in every round.

| | figure | middle half | wanted | rounds that kept it | against | revision |
|---|---|---|---|---|---|---|
"""


def write() -> None:
    """Write the page; results that are not there are left out of it."""
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    parts = [_HEAD, *(_row(result) for result in found)]
    for result in found:
        if result["name"] in CHARTED:
            CHARTS.mkdir(exist_ok=True)
            shutil.copy(RESULTS / f"{result['name']}.svg", CHARTS)
            parts.append(f"\n![{result['name']}](benchmarks/{result['name']}.svg)\n")
            parts += _table(result["table"])
    if found:
        parts.append(_surroundings(found[-1]["on"]))
    PAGE.write_text("".join(parts))


def _row(result: dict[str, Any]) -> str:
    unit = "" if result["ratios"] else f" {result['unit']}"
    low, high = result["middle_half"]
    rounds = len(result["ratios"] or result["our_values"])
    wanted, kept = "", ""
    if result["limit"] is not None:
        wanted = f"{'>=' if result['at_least'] else '<='} {result['limit']:g}"
        kept = f"{result['rounds_kept']} of {rounds}"
    against = result["peer"] if result["ratios"] or not result["peer"] else "absent"
    revision = result["on"]["revision"].partition(" ")[0]
    figure = f"{result['judged']:,.2f}{unit}"
    cells = [result["name"], figure, f"{low:,.2f}-{high:,.2f}", wanted, kept, against, revision]
    return f"| {' | '.join(cells)} |\n"


def _table(table: list[dict[str, str | float]]) -> list[str]:
    return ["\n```\n", *(f"{line}\n" for line in aligned(table)), "```\n"] if table else []


def _surroundings(on: dict[str, Any]) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in on["libraries"].items())
    cores = f"{on['cores']} cores of {on['cpu']} with {on['memory_gib']} GiB"
    return f"\nTaken on {cores}, {on['python']}; {libraries}.\n"

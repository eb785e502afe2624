"""Charts say what was measured, to anybody's eyes."""

from collections.abc import Iterator
from xml.etree import ElementTree as Xml

import pytest

from bench import chart

SVG = "{http://www.w3.org/2000/svg}"


def elements(svg: str, name: str, kind: str = "") -> Iterator[Xml.Element]:
    for element in Xml.fromstring(svg).iter(f"{SVG}{name}"):
        if not kind or element.get("class") == kind:
            yield element


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in elements(svg, "text")]


def height(svg: str, kind: str) -> float:
    (line,) = elements(svg, "line", kind)
    assert line.get("y1") == line.get("y2")
    return float(line.get("y1", ""))


def test_every_round_is_a_dot_at_its_height() -> None:
    svg = chart.rounds("race", [1.0, 1.2, 0.9], None)
    heights = [float(dot.get("cy", "")) for dot in elements(svg, "circle")]
    assert heights[1] < heights[0] < heights[2]


def test_the_median_and_the_limit_are_lines_with_their_values() -> None:
    svg = chart.rounds("race", [1.0, 1.2, 1.1], 0.8)
    assert height(svg, "median") < height(svg, "limit")
    assert {"median 1.1", "limit 0.8"} <= set(texts(svg))


def test_without_a_limit_there_is_no_line_for_it() -> None:
    assert not list(elements(chart.rounds("race", [1.0], None), "line", "limit"))


@pytest.mark.parametrize(
    "values", [[1.0], [0.0], [5.0, 5.0], [-1.0, 1.0], [15_540.0, 16_248.08], [1e-6, 2e-6]]
)
@pytest.mark.parametrize("limit", [None, 0, 20])
def test_everything_lies_inside_the_picture(values: list[float], limit: float | None) -> None:
    svg = chart.rounds("race", values, limit)
    places = [float(dot.get("cy", "")) for dot in elements(svg, "circle")]
    places += [float(line.get("y1", "")) for line in elements(svg, "line")]
    assert len(places) > len(values)
    assert all(30 <= place <= 190 for place in places)


def test_labels_of_a_median_near_the_limit_do_not_cover_each_other() -> None:
    svg = chart.rounds("race", [0.9, 0.901, 0.4], 0.9)
    heights = [
        float(element.get("y", ""))
        for element in elements(svg, "text")
        if (element.text or "").startswith(("median", "limit"))
    ]
    assert abs(heights[0] - heights[1]) >= 13


def test_a_saving_goes_to_the_left_of_nought() -> None:
    svg = chart.bars("layers", [("by hand", 100.0), ("prepared", -40.0), ("typed", 20.0)])
    (saved,) = elements(svg, "rect", "saved")
    cost, _ = elements(svg, "rect", "bar")
    right = float(saved.get("x", "")) + float(saved.get("width", ""))
    assert right == pytest.approx(float(cost.get("x", "")), abs=0.2)
    assert float(saved.get("width", "")) == pytest.approx(0.4 * float(cost.get("width", "")), 0.01)


def test_a_chart_has_colours_for_light_and_for_dark_ground() -> None:
    (style,) = elements(chart.rounds("race", [1.0], None), "style")
    assert "prefers-color-scheme: dark" in (style.text or "")


def test_names_are_escaped() -> None:
    assert "a < b & c" in texts(chart.bars("layers", [("a < b & c", 1.0)]))

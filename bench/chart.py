"""Small SVG charts, readable on light and dark ground."""

import math
import statistics
from collections.abc import Sequence
from xml.etree import ElementTree as Xml

_WIDTH = 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 100, 36, 32
_STYLE = """
  .ground { fill: #ffffff } text { fill: #24292f; font: 12px sans-serif } .title { font-size: 13px }
  .grid { stroke: #d0d7de } .dot, .bar { fill: #0969da } .saved { fill: #1a7f37 }
  .median { stroke: #0969da } .limit { stroke: #cf222e; stroke-dasharray: 5 4 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117 } text { fill: #e6edf3 } .grid { stroke: #30363d }
    .dot, .bar { fill: #58a6ff } .saved { fill: #3fb950 }
    .median { stroke: #58a6ff } .limit { stroke: #ff7b72 }
  }
"""


def rounds(title: str, values: Sequence[float], limit: float | None) -> str:
    """A dot for each round, a line at their median, a dashed one at the limit."""
    height = 220
    svg = _canvas(title, height)
    low, high, step = _scale([*values, *([] if limit is None else [limit])])
    bottom, right = height - _BOTTOM, _WIDTH - _RIGHT

    def y(value: float) -> float:
        return round(bottom - (value - low) / (high - low) * (bottom - _TOP), 1)

    for tick in range(round((high - low) / step) + 1):
        value = low + tick * step
        _line(svg, "grid", _LEFT, y(value), right, y(value))
        _text(svg, f"{_shown(value)}", _LEFT - 8, y(value) + 4, "end")
    median = statistics.median(values)
    marks = [("median", median)] + ([("limit", limit)] if limit is not None else [])
    for name, value in marks:
        _line(svg, name, _LEFT, y(value), right, y(value))
    for (name, value), place in zip(marks, _apart([y(value) for _, value in marks]), strict=True):
        _text(svg, f"{name} {_shown(value)}", right + 8, place + 4)
    for number, value in enumerate(values):
        x = round(_LEFT + (number + 0.5) * (right - _LEFT) / len(values), 1)
        dot = Xml.SubElement(svg, "circle", {"class": "dot", "cx": f"{x}", "cy": f"{y(value)}"})
        dot.set("r", "4")
        Xml.SubElement(dot, "title").text = f"round {number + 1}: {_shown(value)}"
        _text(svg, str(number + 1), x, height - 12, "middle")
    return _written(svg)


def bars(title: str, values: Sequence[tuple[str, float]]) -> str:
    """A horizontal bar for each; what is below zero is a saving and goes to the left."""
    height = _TOP + 24 * len(values) + 12
    svg = _canvas(title, height)
    left, right = 250, _WIDTH - 70
    low = min(0.0, *(value for _, value in values))
    high = max(0.0, *(value for _, value in values))
    scale = (right - left) / ((high - low) or 1)
    zero = left - low * scale
    for number, (name, value) in enumerate(values):
        y = _TOP + 24 * number
        x, length = min(zero, zero + value * scale), abs(value) * scale
        kind = "bar" if value >= 0 else "saved"
        place = {"x": f"{x:.1f}", "y": str(y), "width": f"{length:.1f}", "height": "16"}
        Xml.SubElement(svg, "rect", {"class": kind} | place)
        _text(svg, name, 12, y + 12)
        _text(svg, f"{_shown(value)}", max(zero, x + length) + 6, y + 12)
    _line(svg, "grid", zero, _TOP - 4, zero, height - 12)
    return _written(svg)


def _canvas(title: str, height: int) -> Xml.Element:
    size = {"width": str(_WIDTH), "height": str(height), "viewBox": f"0 0 {_WIDTH} {height}"}
    svg = Xml.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img"} | size)
    Xml.SubElement(svg, "title").text = title
    Xml.SubElement(svg, "style").text = _STYLE
    Xml.SubElement(svg, "rect", {"class": "ground", "width": "100%", "height": "100%"})
    _text(svg, title, 12, 20).set("class", "title")
    return svg


def _line(svg: Xml.Element, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    Xml.SubElement(svg, "line", {"class": kind} | ends)


def _text(svg: Xml.Element, text: str, x: float, y: float, anchor: str = "start") -> Xml.Element:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    element = Xml.SubElement(svg, "text", place)
    element.text = text
    return element


def _written(svg: Xml.Element) -> str:
    Xml.indent(svg)
    return Xml.tostring(svg, encoding="unicode") + "\n"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"


def _scale(values: Sequence[float]) -> tuple[float, float, float]:
    """Round numbers below and above all values, and a round step between."""
    low, high = min(values), max(values)
    span = (high - low) or abs(high) or 1.0
    rough = span / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    bottom, top = math.floor(low / step) * step, math.ceil(high / step) * step
    return bottom, top if top > bottom else bottom + step, step


def _apart(places: Sequence[float]) -> list[float]:
    """The heights of at most two labels, moved until they do not cover each other."""
    if len(places) < 2 or abs(places[0] - places[1]) >= 14:
        return list(places)
    middle = (places[0] + places[1]) / 2
    up = places[0] <= places[1]
    return [middle - 7, middle + 7] if up else [middle + 7, middle - 7]

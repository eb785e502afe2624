// Traces as pictures, and metrics as numbers.

import { h, instant, short, tag } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 8; // classes .colour-0 ... in console.css
const TICKS = 5;
const pictures = new Map(); // trace id -> [number of spans, the picture of them]

const milliseconds = (value) => (value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2));

function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** The spans in the order of a tree: [span, depth], children by their start below their parent. */
function tree(spans) {
  const known = new Set(spans.map((span) => span.id));
  const below = new Map();
  for (const span of spans) {
    const parent = known.has(span.parent) ? span.parent : null;
    below.set(parent, [...(below.get(parent) ?? []), span]);
  }
  const rows = [];
  const visit = (parent, depth) => {
    for (const span of below.get(parent) ?? []) { rows.push([span, depth]); visit(span.id, depth + 1); }
  };
  visit(null, 0);
  return rows;
}

function described(span) {
  const { name, service, kind, start, attributes, links } = span;
  const facts = { service, kind, start: `${milliseconds(start)} ms`, took: `${milliseconds(span.milliseconds)} ms` };
  if (links.length) facts.links = links.join(" ");
  return [name, ...Object.entries({ ...facts, ...attributes }).map(([key, value]) => `${key} = ${value}`)].join("\n");
}

function lane(span, length, colour) {
  const share = (value) => `${(100 * value / length).toFixed(3)}%`;
  const bar = svg("rect", {
    x: share(span.start), width: share(span.milliseconds), y: 3, height: 12, rx: 2,
    class: `bar colour-${colour}${span.failed ? " failed" : ""}`,
  });
  return svg("svg", { class: "lane", height: 18, "aria-hidden": "true" }, ...grid(), bar);
}

function grid() {
  return Array.from({ length: TICKS }, (_, tick) => {
    const x = `${(100 * tick) / TICKS}%`;
    return svg("line", { x1: x, x2: x, y1: 0, y2: 18, class: "tick" });
  });
}

function axis(length) {
  const labels = Array.from({ length: TICKS }, (_, tick) =>
    svg("text", { x: `${(100 * tick) / TICKS}%`, y: 13, dx: 3 }, `${milliseconds((length * tick) / TICKS)} ms`));
  return svg("svg", { class: "lane", height: 18, "aria-hidden": "true" }, ...grid(), ...labels);
}

/** A waterfall: one row for each span, which opens to show what is known of it. */
function waterfall(trace) {
  const services = [...new Set(trace.spans.map((span) => span.service))];
  const colour = (span) => services.indexOf(span.service) % COLOURS;
  const length = Math.max(trace.milliseconds, 0.001);
  const legend = services.map((name, index) =>
    h("span", {}, svg("svg", { width: 11, height: 11, "aria-hidden": "true" },
      svg("rect", { width: 11, height: 11, rx: 2, class: `colour-${index % COLOURS}` })), " ", name));
  const rows = tree(trace.spans).map(([span, depth]) => {
    const name = h("span", { class: `name depth-${Math.min(depth, 12)}` },
      span.failed ? h("span", { class: "bad" }, "✕ ") : null, span.name);
    return h("details", { class: "span" },
      h("summary", { title: described(span) }, name, lane(span, length, colour(span)),
        h("span", { class: "took" }, milliseconds(span.milliseconds))),
      h("pre", {}, described(span)));
  });
  return h("div", { class: "waterfall" },
    h("p", { class: "legend" }, legend),
    h("div", { class: "axis" }, h("span", { class: "soft" }, "Span"), axis(length), h("span", { class: "took soft" }, "ms")),
    rows);
}

/** The picture of a trace; it is fetched when it is first looked at, and when spans were added. */
function picture(row) {
  const [count, shown] = pictures.get(row.id) ?? [0, null];
  if (count === row.spans) return shown;
  const box = h("div", {}, shown ?? h("p", { class: "soft" }, "Fetching…"));
  fetch(`/api/traces/${row.id}`).then((answer) => (answer.ok ? answer.json() : null)).then((trace) => {
    if (trace) box.replaceChildren(waterfall(trace));
  });
  pictures.set(row.id, [row.spans, box]);
  return box;
}

export function traces(plain) {
  const wanted = { text: "", least: 0 };
  const fits = (row) => row.milliseconds >= wanted.least
    && (!wanted.text || [row.name, row.id, ...row.services, ...row.correlations].some((text) => text.includes(wanted.text)));
  return plain("traces", "Traces", "No trace fits; functions send theirs within a second.", [
    { name: "Began with", cell: (row) => row.name },
    { name: "Trace", class: "nowrap", cell: (row) => short(row.id) },
    { name: "Start, real time", cell: (row) => instant(row.start) },
    { name: "Took, ms", class: "number", cell: (row) => milliseconds(row.milliseconds) },
    { name: "Spans", class: "number", cell: (row) => String(row.spans) },
    { name: "Errors", class: "number", cell: (row) => (row.errors ? tag(String(row.errors), "bad") : "") },
    { name: "Functions", class: "wide", cell: (row) => row.services.join(", ") },
  ], {
    rows: (state) => (state.traces ?? []).filter(fits),
    detail: picture,
    tools: ({ redraw }) => {
      const text = h("input", { type: "search", placeholder: "name, function or correlation id", size: 30,
        "aria-label": "Traces with", oninput: () => { wanted.text = text.value.trim(); redraw(); } });
      const least = h("input", { type: "number", min: 0, placeholder: "ms at least", "aria-label": "Milliseconds at least",
        oninput: () => { wanted.least = Number(least.value); redraw(); } });
      return [text, least];
    },
  });
}

/** The bound below which 95 % of a histogram's values are, or null where the last one is passed. */
function bound95(row) {
  let below = 0;
  for (const [index, count] of row.buckets.entries()) {
    below += count;
    if (below >= 0.95 * row.count) return row.bounds[index] ?? null;
  }
  return null;
}

function amount(row) {
  if (row.kind !== "histogram") return String(Math.round(row.value * 1000) / 1000);
  const bound = bound95(row);
  const most = bound === null ? `above ${row.bounds.at(-1)}` : `at most ${bound}`;
  return `${row.count} × ${(row.sum / row.count).toPrecision(3)}, 95 % ${most}`;
}

export function metrics(plain) {
  return plain("metrics", "Metrics", "No function has sent metrics yet.", [
    { name: "Metric", cell: (row) => row.name },
    { name: "Of", class: "wide", cell: (row) => Object.values(row.attributes).join(" ") },
    { name: "Value", class: "nowrap", cell: amount },
    { name: "Unit", cell: (row) => row.unit },
  ], { key: (row) => row.name + JSON.stringify(row.attributes) });
}

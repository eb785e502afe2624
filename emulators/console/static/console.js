// Polls /api/state and redraws the sections that changed.

import { h, rowId } from "./dom.js";
import { sections } from "./sections.js";

const PACE = 1000; // milliseconds between two looks
const SILENT = "The local cloud does not answer.";
const drawn = new Map(); // section id -> the JSON it was last drawn from
const seen = new Map(); // section id -> keys of the rows shown before
const message = document.getElementById("message");
let moving = false;

function complain(text) {
  message.textContent = text;
  message.hidden = !text;
}

/** Calls the API; a problem's detail is shown, until something else succeeds, and null returned. */
async function ask(method, path, body) {
  try {
    const answer = await fetch(path, {
      method,
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body ? JSON.stringify(body) : undefined,
    });
    const found = await answer.json();
    if (answer.ok) {
      if (method !== "GET" || message.textContent === SILENT) complain("");
      return found;
    }
    complain(found.detail ?? `The answer was ${answer.status}.`);
  } catch {
    complain(SILENT);
  }
  return null;
}

async function act(method, path, body) {
  const found = await ask(method, path, body);
  await look();
  return found;
}

function drawHead(state) {
  const now = new Date(state.clock.now).toISOString();
  const clock = document.getElementById("now");
  clock.textContent = `${now.slice(0, 10)} ${now.slice(11, 19)}`;
  clock.setAttribute("datetime", state.clock.now);
  const pace = moving || state.clock.moving ? "UTC, moving" : state.clock.frozen ? "UTC, standing still" : "UTC";
  const work = state.clock.under_way ? `, ${state.clock.under_way} under way` : "";
  const shown = document.getElementById("pace");
  if (shown.textContent !== pace + work) shown.textContent = pace + work;
  const parts = state.engines.map((part) =>
    h("span", {}, h("b", {}, part.name), " ", part.running ? `:${part.port}` : h("span", { class: "bad" }, "down")));
  document.getElementById("parts").replaceChildren(...parts);
}

function drawNav(state) {
  const links = sections.map((section) => {
    const count = section.rows(state).length;
    const alarm = section.alarm?.(state) ? " alarm" : "";
    return h("li", {}, h("a", { href: `#${section.id}` }, section.title, " ",
      h("span", { class: `count${alarm}` }, String(count))));
  });
  const nav = document.getElementById("nav");
  const text = links.map((link) => link.textContent).join("|");
  if (nav.dataset.shown !== text) { nav.replaceChildren(...links); nav.dataset.shown = text; }
}

function drawSection(section, state) {
  const rows = section.rows(state);
  const text = JSON.stringify(rows);
  if (drawn.get(section.id) === text) return;
  const first = !seen.has(section.id);
  drawn.set(section.id, text);
  const keys = new Set(rows.map(section.key));
  const before = seen.get(section.id) ?? new Set();
  const fresh = new Set(first ? [] : [...keys].filter((key) => !before.has(key)));
  seen.set(section.id, keys);
  const element = document.getElementById(section.id) ?? frame(section, state);
  const scrolled = element.querySelector(".scroll")?.scrollTop ?? 0;
  element.querySelector(".body").replaceChildren(
    rows.length ? section.draw(rows, { act, fresh, state }) : h("p", { class: "empty" }, section.empty));
  const scroll = element.querySelector(".scroll");
  if (scroll) scroll.scrollTop = scrolled;
}

function frame(section) {
  const redraw = () => { drawn.delete(section.id); look(); };
  const element = h("section", { id: section.id, "aria-labelledby": `${section.id}-title` },
    h("div", { class: "head" }, h("h2", { id: `${section.id}-title` }, section.title),
      h("div", { class: "tools" }, section.tools?.({ act, redraw }) ?? [])),
    h("div", { class: "body" }));
  document.getElementById("main").append(element);
  return element;
}

async function look() {
  const looks = ["/api/state", "/api/traces", "/api/metrics"].map((path) => ask("GET", path));
  const [state, ...telemetry] = await Promise.all(looks);
  if (!state) return;
  Object.assign(state, ...telemetry);
  drawHead(state);
  drawNav(state);
  for (const section of sections) drawSection(section, state);
}

async function move(body) {
  const buttons = document.querySelectorAll("#move button");
  moving = true;
  buttons.forEach((button) => { button.disabled = true; });
  const moved = await ask("POST", "/api/time", body);
  moving = false;
  buttons.forEach((button) => { button.disabled = false; });
  const problem = moved ? "" : message.textContent;
  await look();
  if (problem) complain(problem);
}

document.getElementById("move").addEventListener("click", (event) => {
  if (event.target.dataset.by) move({ by: event.target.dataset.by });
});
document.getElementById("move").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = document.getElementById("to").value.trim();
  move(/^[+P]/.test(text) ? { by: text } : { to: text });
});

/** Opens the row that the address's fragment names, and brings it into view. */
async function openNamed() {
  const name = decodeURIComponent(location.hash.slice(1));
  for (const section of sections) {
    const key = [...(seen.get(section.id) ?? [])].find((each) => rowId(each) === name);
    if (!key) continue;
    section.open.add(key);
    drawn.delete(section.id);
    await look();
    document.getElementById(name)?.scrollIntoView({ block: "center" });
  }
}
window.addEventListener("hashchange", openNamed);

async function follow() {
  if (!document.hidden) await look();
  setTimeout(follow, PACE);
}
follow().then(openNamed);

// The sections of the page: what each shows of the state.

import { h, instant, json, rowId, short, table, tag } from "./dom.js";
import { metrics, traces } from "./telemetry.js";

const MOODS = { acked: "good", nacked: "bad", "dead-lettered": "bad", expired: "warn" };

function plain(id, title, empty, columns, more = {}) {
  const open = new Set();
  return {
    id, title, empty, open,
    rows: (state) => state[id] ?? [],
    key: (row) => String(row.id ?? row.name),
    draw(rows, { act, fresh, state }) {
      const shown = typeof columns === "function" ? columns(act, state) : columns;
      const detail = more.detail ? (row) => more.detail(row, state) : null;
      return table({ caption: title, columns: shown, rows, key: this.key, detail, open, fresh });
    },
    ...more,
  };
}

/** The way of an event: published, delivered to each subscription, and what it caused. */
function way(event, state) {
  const known = new Map(state.events.map((each) => [each.id, each]));
  const bySubscription = Map.groupBy
    ? Map.groupBy(event.deliveries, (step) => step.subscription)
    : event.deliveries.reduce((all, step) =>
      all.set(step.subscription, [...(all.get(step.subscription) ?? []), step]), new Map());
  const steps = [...bySubscription].map(([subscription, attempts]) =>
    h("li", {}, h("strong", {}, subscription), h("ol", {}, attempts.map((step) =>
      h("li", {}, tag(step.outcome, MOODS[step.outcome]), " ", step.status ? `${step.status} ` : "",
        step.milliseconds === null ? "" : `${step.milliseconds.toFixed(1)} ms `, "at ", instant(step.at))))));
  const link = (id) => {
    const other = known.get(id);
    return other ? h("a", { href: `#${rowId(id)}` }, other.type) : short(id);
  };
  return h("div", { class: "way" },
    h("div", {}, h("h3", {}, "Published"),
      h("p", {}, "to ", h("code", {}, event.topic), " at ", instant(event.sent_at),
        event.causation_id && event.causation_id !== event.id ? [", caused by ", link(event.causation_id)] : [])),
    h("div", {}, h("h3", {}, "Delivered"),
      steps.length ? h("ul", {}, steps) : h("p", { class: "soft" }, "No delivery on record.")),
    event.caused.length
      ? h("div", {}, h("h3", {}, "Caused"), h("ul", {}, event.caused.map((id) => h("li", {}, link(id)))))
      : null,
    h("div", {}, h("h3", {}, "Event ", h("code", {}, event.id)), event.payload ? json(event.payload) : null));
}

function delivered(event) {
  const last = new Map(event.deliveries.map((step) => [step.subscription, step]));
  const bad = [...last.values()].filter((step) => step.outcome !== "acked").length;
  if (!last.size) return tag(event.sent_at ? "no delivery" : "waiting", "soft");
  return bad ? tag(`${bad} of ${last.size} failing`, "bad") : tag(`${last.size} acked`, "good");
}

const slowest = (event) => {
  const times = event.deliveries.map((step) => step.milliseconds).filter((value) => value !== null);
  return times.length ? Math.max(...times).toFixed(1) : "";
};

const events = plain("events", "Events", "No event has been published yet.", [
  { name: "Event", cell: (row) => row.type || short(row.id) },
  { name: "Subject", cell: (row) => short(row.subject) },
  { name: "Topic", cell: (row) => row.topic },
  { name: "Written", cell: (row) => instant(row.created_at) },
  { name: "Published", cell: (row) => (row.sent_at ? tag("yes", "good") : tag("not yet", "warn")) },
  { name: "Delivered", cell: delivered },
  { name: "Slowest, ms", class: "number", cell: slowest },
  { name: "Caused", class: "number", cell: (row) => String(row.caused.length || "") },
], { detail: way });

const inboxes = (() => {
  let vendor = "";
  const section = plain("inboxes", "Vendor in-boxes", "Nothing has been sent to a vendor yet.", [
    { name: "What", cell: (row) => row.kind },
    { name: "Vendor", cell: (row) => row.vendor },
    { name: "To", class: "wide", cell: (row) => row.to },
    { name: "Subject", class: "wide", cell: (row) => row.subject },
    { name: "At", cell: (row) => instant(row.at) },
  ], {
    key: (row) => `${row.vendor}-${row.id}`,
    detail: (row) => json(row.body),
    rows: (state) => state.inboxes.filter((row) => !vendor || row.vendor === vendor),
    tools: ({ redraw }) => {
      const names = ["", "chargebee", "iterable", "zendesk", "twilio", "sendgrid", "fcm"];
      const choice = h("select", { "aria-label": "Vendor", onchange: () => { vendor = choice.value; redraw(); } },
        names.map((name) => h("option", { value: name }, name || "all vendors")));
      return [choice];
    },
  });
  return section;
})();

const functions = plain("functions", "Functions", "The wiring names no function yet.", [
  { name: "Function", cell: (row) => row.name },
  { name: "Kind", cell: (row) => row.kind },
  { name: "Subscriptions", class: "number", cell: (row) => String(row.subscriptions.length || "") },
  { name: "Jobs", class: "number", cell: (row) => String(row.jobs.length || "") },
], {
  detail: (row) => h("div", { class: "way" },
    h("ul", {}, row.subscriptions.map((part) =>
      h("li", {}, h("strong", {}, part.name), " on ", h("code", {}, part.topic),
        part.filter ? [" where ", h("code", {}, part.filter)] : []))),
    row.jobs.length ? h("p", {}, "Jobs: ", row.jobs.join(", ")) : null),
});

const mirrors = plain("mirrors", "Status mirrors", "Firestore holds no document yet.", [
  { name: "Document", cell: (row) => h("code", {}, row.path) },
  { name: "Fields", class: "wide", cell: (row) => fields(row.fields) },
  { name: "Updated", cell: (row) => instant(row.updated_at) },
], { key: (row) => row.path });

const fields = (data) => Object.entries(data).filter(([name]) => name !== "updated_at").map(([name, value]) =>
  `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`).join("  ");

const TIMER_MOODS = { scheduled: "good", fired: "soft", cancelled: "soft" };
const timers = plain("timers", "Timers", "No timer is set.", [
  { name: "Timer", cell: (row) => row.kind },
  { name: "Subject", cell: (row) => short(row.subject) },
  { name: "Due", cell: (row) => instant(row.due_at) },
  { name: "State", cell: (row) => tag(row.state, TIMER_MOODS[row.state]) },
  { name: "Version", class: "number", cell: (row) => String(row.version) },
  { name: "Task queued", cell: (row) => instant(row.queued_at) },
]);

const tasks = plain("tasks", "Tasks", "No task is waiting in a queue.", [
  { name: "Task", cell: (row) => short(row.name) },
  { name: "Queue", cell: (row) => row.queue },
  { name: "Due", cell: (row) => instant(row.schedule_time) },
  { name: "Target", class: "wide", cell: (row) => row.url.replace(/^https?:\/\/[^/]+/, "") },
  { name: "Attempts", class: "number", cell: (row) => String(row.attempts) },
]);

const LETTERS = "/api/dead-letters";

/** The data of a parked push as text, where it is in base64. */
function data(letter) {
  const encoded = letter.body?.message?.data;
  if (!encoded) return null;
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(encoded), (one) => one.charCodeAt(0)));
  } catch { return null; }
}

const deadLetters = (() => {
  const alike = (row) => `${row.handler || row.function}: ${row.reason}`;
  const waits = (row) => !row.replayed_at;
  const choice = h("select", { "aria-label": "Which dead letters" }, h("option", { value: "" }, "all"));
  const outcome = h("span", { role: "status", class: "soft" });
  let shown = [];

  function offer(kinds) {
    const known = [...choice.options].slice(1).map((option) => option.value);
    if (known.join("\n") === kinds.join("\n")) return;
    const chosen = choice.value;
    choice.replaceChildren(...["", ...kinds].map((kind) => h("option", { value: kind }, kind || "all")));
    choice.value = kinds.includes(chosen) ? chosen : "";
  }

  async function replay(row, act) {
    const done = await act("POST", `${LETTERS}/${encodeURIComponent(row.id)}/replay`);
    outcome.textContent = done ? "Replayed." : "Not replayed, see above.";
  }

  async function replayAll(act) {
    const kinds = new Map(shown.filter(waits).map((row) => [alike(row) + row.function, row]));
    let replayed = 0;
    let failed = 0;
    for (const { function: owner, handler, reason } of kinds.values()) {
      let after = null;
      do {
        const done = await act("POST", `${LETTERS}/replay`, { function: owner, handler, reason, after });
        if (!done) { outcome.textContent = "Stopped, see above."; return; }
        replayed += done.replayed;
        failed += done.failed.length;
        after = done.next;
      } while (after);
    }
    outcome.textContent = `${replayed} replayed, ${failed} still waiting.`;
  }

  return plain("dead_letters", "Dead letters", "No message is parked.", (act) => [
    { name: "Handler", cell: (row) => row.handler || "(the whole request)" },
    { name: "Function", cell: (row) => row.function },
    { name: "Type", cell: (row) => row.attributes["ce-type"] ?? row.path },
    { name: "Reason", class: "wide", cell: (row) => row.reason },
    { name: "Parked", cell: (row) => instant(row.created_at) },
    { name: "Replayed", cell: (row) => (waits(row) ? h("button", {
      type: "button", class: "small", onclick: () => replay(row, act),
    }, "Replay") : instant(row.replayed_at)) },
  ], {
    alarm: (state) => state.dead_letters.some(waits),
    rows: (state) => {
      offer([...new Set(state.dead_letters.filter(waits).map(alike))].sort());
      shown = state.dead_letters.filter((row) => !choice.value || alike(row) === choice.value);
      return shown;
    },
    tools: ({ act, redraw }) => {
      choice.addEventListener("change", redraw);
      return [outcome, choice, h("button", { type: "button", onclick: () => replayAll(act) }, "Replay these")];
    },
    detail: (row) => h("div", { class: "way" },
      h("div", {}, h("h3", {}, "Reason"), h("p", {}, row.reason)),
      data(row) === null ? null : h("div", {}, h("h3", {}, "Data"), json(data(row))),
      h("div", {}, h("h3", {}, "Attributes"), json(row.attributes)),
      h("div", {}, h("h3", {}, `Body as it came, ${row.bytes} bytes`), json(row.body))),
  });
})();

const outcome = (status) => (status ? tag(String(status), /^(2\d\d|OK)/.test(status) ? "good" : "bad") : "");

const jobs = plain("jobs", "Scheduler jobs", "No job is scheduled.", [
  { name: "Job", cell: (row) => row.name },
  { name: "Schedule", cell: (row) => h("code", {}, row.schedule ?? "") },
  { name: "Zone", cell: (row) => row.time_zone ?? "" },
  { name: "Next", cell: (row) => instant(row.next_run) },
  { name: "Last", cell: (row) => instant(row.last_run) },
  { name: "Last answer", cell: (row) => outcome(row.last_status) },
  { name: "Runs", class: "number", cell: (row) => String(row.runs ?? "") },
  { name: "Skipped, nothing to see", class: "number", cell: (row) => String(row.skipped ?? "") },
]);

const faults = plain("faults", "Faults in force", "Everything works.", (act) => [
  { name: "Target", cell: (row) => row.target },
  { name: "Fault", cell: (row) => tag(row.late ? `${row.kind} ${row.late} s` : row.kind, "bad") },
  { name: "Share", class: "number", cell: (row) => `${Math.round(row.share * 100)} %` },
  { name: "Until", cell: (row) => (row.until ? instant(row.until) : "cleared") },
  { name: "Strikes left", class: "number", cell: (row) => String(row.count ?? "") },
  { name: "Path", cell: (row) => row.path },
  { name: "", cell: (row) => h("button", {
    type: "button", class: "small",
    onclick: () => act("DELETE", `/api/faults?target=${encodeURIComponent(row.target)}`),
  }, "Clear") },
], {
  key: (row) => [row.target, row.kind, row.until, row.path].join(),
  alarm: (state) => state.faults.length > 0,
});

export const sections = [
  events, traces(plain), inboxes, functions, mirrors, timers, tasks, deadLetters, jobs, faults,
  metrics(plain),
];

// Small building blocks: elements, tables, the wording of instants.

export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An instant in UTC to the second, or to the minute in tables. */
export function instant(iso, seconds = true) {
  if (!iso) return h("span", { class: "soft" }, "–");
  const text = new Date(iso).toISOString();
  const shown = text.slice(0, 10) + " " + text.slice(11, seconds ? 19 : 16);
  return h("time", { datetime: iso, title: iso }, shown);
}

export function tag(text, mood = "soft") {
  return h("span", { class: `tag ${mood}` }, text);
}

export function short(id) {
  const text = String(id ?? "");
  return h("code", { title: text }, text.length > 13 ? `…${text.slice(-12)}` : text);
}

export function json(value) {
  const text = typeof value === "string" ? parsed(value) : value;
  return h("pre", {}, typeof text === "string" ? text : JSON.stringify(text, null, 1));
}

function parsed(text) {
  try { return JSON.parse(text); } catch { return text; }
}

/** A table with a header row; `detail(row)` makes rows that open, `open` remembers which. */
export function table({ caption, columns, rows, key, detail, open, fresh }) {
  const body = rows.flatMap((row) => {
    const id = key(row);
    const cells = columns.map((column, index) => {
      const content = column.cell(row);
      const toggle = detail && index === 0 ? toggleFor(id, row, detail, open, columns.length) : null;
      return h(index === 0 ? "th" : "td", { scope: index === 0 ? "row" : null, class: column.class }, toggle, content);
    });
    const line = h("tr", { class: fresh?.has(id) ? "flash" : null, id: detail ? rowId(id) : null }, cells);
    return detail && open.has(id) ? [line, detailRow(id, row, detail, columns.length)] : [line];
  });
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {},
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.class }, column.name)))),
      h("tbody", {}, body)));
}

export const rowId = (id) => `row-${id}`;

function toggleFor(id, row, detail, open, width) {
  const button = h("button", {
    type: "button", class: "toggle", "aria-expanded": String(open.has(id)), "aria-label": "Details",
    onclick: () => {
      const line = button.closest("tr");
      const opened = open.has(id);
      if (opened) { open.delete(id); line.nextElementSibling?.remove(); }
      else { open.add(id); line.after(detailRow(id, row, detail, width)); }
      button.textContent = opened ? "▸" : "▾";
      button.setAttribute("aria-expanded", String(!opened));
    },
  }, open.has(id) ? "▾" : "▸");
  return button;
}

function detailRow(id, row, detail, width) {
  return h("tr", { class: "detail" }, h("td", { colspan: width }, detail(row)));
}

// Tables sort by a click on a heading and filter by what is typed; all else on the page works without this.
"use strict";
const few = 6; // rows up to which there is nothing to look for
const number = /[-+\u2212]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?/i;

function value(cell) {
  const found = cell.match(/^[^A-Za-z]*$/) || /^[<\[]?[-+]?\d/.test(cell) ? cell.match(number) : null;
  return found ? Number(found[0].replaceAll(",", "").replace("\u2212", "-")) : null;
}

function compare(one, other) {
  const [left, right] = [value(one), value(other)];
  if (left !== null && right !== null) return left - right;
  if (left !== null || right !== null) return left !== null ? -1 : 1;
  return one.localeCompare(other);
}

function sortable(table) {
  const body = table.tBodies[0], seen = [...body.rows];
  [...table.tHead.rows[0].cells].forEach((heading, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" };
      const order = next[heading.getAttribute("aria-sort") || "none"];
      for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
      const rows = [...seen];
      if (order !== "none") {
        heading.setAttribute("aria-sort", order);
        const text = row => row.cells[place].textContent.trim();
        const empty = row => /^[\u2013\s]*$/.test(text(row));
        rows.sort((one, other) => {
          if (empty(one) || empty(other)) return empty(one) - empty(other); // what is not known stays last
          return (order === "ascending" ? 1 : -1) * compare(text(one), text(other));
        });
      }
      body.append(...rows);
    });
  });
}

function filterable(table) {
  const label = document.createElement("label"), input = document.createElement("input");
  label.className = "filter";
  input.type = "search";
  label.append("Filter rows ", input, " (headings sort)");
  table.parentElement.before(label);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
    }
  });
}

for (const table of document.querySelectorAll(".scroll > table")) {
  if (table.tBodies[0].rows.length < 2 || table.tHead.rows[0].cells.length < 3) continue;
  sortable(table);
  if (table.tBodies[0].rows.length > few) filterable(table);
}

function openTarget() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const fold = target && target.querySelector("details.part");
  if (fold) fold.open = true;
}
addEventListener("hashchange", openTarget);
openTarget();

let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const each of opened) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of opened) each.open = false;
});

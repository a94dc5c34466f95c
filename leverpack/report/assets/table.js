// Tables that sort by any column; the trade table holds all trades and shows some.
"use strict";
(async () => {
  const PAGE = 200;

  function compare(a, b, up) {  // what has no value comes last, whichever way
    if (a === null || b === null) return (a === null) - (b === null);
    return (a < b ? -1 : a > b ? 1 : 0) * up;
  }

  function sortable(table, order) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      if (button) button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up > 0 ? "ascending" : "descending");
        order(column, up);
      });
    });
  }

  function keyOf(cell) {
    const text = cell.dataset.sort ?? cell.textContent;
    if (text === "") return null;
    return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  }

  for (const table of document.querySelectorAll("table.sortable:not(#trades)")) {
    sortable(table, (column, up) => {
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => compare(keyOf(a.cells[column]), keyOf(b.cells[column]), up));
      table.tBodies[0].append(...rows);
    });
  }

  const table = document.getElementById("trades");
  if (!table) return;
  const all = JSON.parse(await columns.text(document.getElementById("all-trades").textContent));
  const more = document.getElementById("more-trades");
  const model = table.tBodies[0].rows[0];
  let shown = Math.min(PAGE, all.length);

  function rowOf(trade) {
    const row = model.cloneNode(true);
    trade.cells.forEach((text, i) => {
      const cell = row.cells[i], button = cell.querySelector("button");
      (button ?? cell).textContent = text;
      if (cell.classList.contains("signed")) {
        cell.classList.toggle("good", trade.keys[i] > 0);
        cell.classList.toggle("bad", trade.keys[i] < 0);
      }
    });
    row.querySelector("button").addEventListener("click", async () => {
      const [start, end] = trade.when;
      (await charts).focusOn(trade.symbol, start, end);
    });
    return row;
  }
  function fill() {
    table.tBodies[0].replaceChildren(...all.slice(0, shown).map(rowOf));
    more.hidden = shown >= all.length;
    more.querySelector("span").textContent =
      `${shown.toLocaleString("en-US")} of ${all.length.toLocaleString("en-US")} trades shown.`;
  }
  sortable(table, (column, up) => {
    all.sort((a, b) => compare(a.keys[column], b.keys[column], up));
    fill();
  });
  more.querySelector("button").addEventListener("click", () => { shown += PAGE; fill(); });
  addEventListener("beforeprint", () => { shown = Math.max(shown, Math.min(all.length, 1000)); fill(); });
  fill();
})();

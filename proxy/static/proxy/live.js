// Keeps a list of live rows current: fetches the same page every few seconds, unless someone is choosing rows.
"use strict";
(() => {
  const REFRESH_MS = 5000;

  const rowsOf = (page) => [...page.querySelectorAll("#result_list tbody tr")];
  const isBusy = () =>
    document.hidden ||
    document.querySelector("#result_list input:checked, #toolbar input:focus, .actions select:focus") !== null;

  // Cells change in place, checkboxes stay the same nodes: Django's actions.js holds on to them.
  function show(row, fresh) {
    for (const [index, cell] of [...row.cells].entries()) {
      const box = cell.querySelector("input.action-select");
      const next = fresh.cells[index];
      if (!box) cell.innerHTML = next.innerHTML;
      else for (const name of ["value", "aria-label"]) box.setAttribute(name, next.firstElementChild.getAttribute(name));
    }
  }

  async function refresh() {
    if (isBusy()) return;
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(REFRESH_MS) });
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (isBusy()) return;
    const [rows, fresh] = [rowsOf(document), rowsOf(page)];
    if (rows.length !== fresh.length) return location.reload();
    rows.forEach((row, index) => show(row, fresh[index]));
    const summary = document.querySelector("#gateway-summary");
    if (summary) summary.innerHTML = page.querySelector("#gateway-summary").innerHTML;
  }

  document.addEventListener("DOMContentLoaded", () => {
    if (document.querySelector("#result_list")) setInterval(() => refresh().catch(() => {}), REFRESH_MS);
  });
})();

// The table that stands in the page: sorted by its headings, filtered, one run chosen. The page has
// the rows of the first runs; those of others are made when they come to be shown.
const Table = (() => {
  const { byId, element, finite, short } = Page;
  const { columns, everyRun, links, state } = Sweep;
  const MOST_ROWS = 1000;
  const body = document.querySelector("#runs tbody");
  const rows = [...body.rows];
  let order = everyRun;
  const collator = new Intl.Collator("en", { numeric: true });
  const ordered = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));

  // The first click puts the best first: what that is, the column says; without a best, the least.
  function sort(heading, { values, better }) {
    const first = better === "high" ? "descending" : "ascending";
    const other = better === "high" ? "ascending" : "descending";
    const now = heading.getAttribute("aria-sort") === first ? other : first;
    for (const each of heading.parentElement.children) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", now);
    order = [...everyRun].sort((a, b) => {
      if (values[a] === null || values[b] === null) return (values[a] === null) - (values[b] === null);
      return now === "descending" ? ordered(values[b], values[a]) : ordered(values[a], values[b]);
    });
    fill();
  }

  function rowOf(run) {
    return (rows[run] ??= made(run));
  }

  function made(run) {
    const row = element("tr", "", { "data-run": run });
    const head = element("th", "", { scope: "row" });
    const [href, kind] = links[run];
    head.append(element("a", columns[0].values[run], { href, class: kind, title: `${kind} of the run` }));
    row.append(head, ...columns.slice(1).map(({ key, given, values }) => {
      const value = values[run];
      if (typeof value === "number") return element("td", given ? String(Number(value.toPrecision(6))) : short(value), { class: "number" });
      const text = value === null ? "" : String(value);
      return element("td", text, { class: key === "status" ? `status ${text}` : text.length > 40 ? "long" : "" });
    }));
    return row;
  }

  function fill() {
    const shown = new Set(state.shown);
    body.replaceChildren(...order.filter((run) => shown.has(run)).slice(0, MOST_ROWS).map(rowOf));
  }

  function choose(run) {
    if (state.chosen !== null) rowOf(state.chosen).removeAttribute("aria-current");
    state.chosen = run;
    if (run !== null) {
      rowOf(run).setAttribute("aria-current", "true");
      const scroller = document.querySelector(".scroller");
      const head = scroller.querySelector("thead").offsetHeight;
      const { offsetTop, offsetHeight } = rows[run];
      if (offsetTop - head < scroller.scrollTop) scroller.scrollTop = offsetTop - head;
      const below = offsetTop + offsetHeight - scroller.clientHeight;
      if (below > scroller.scrollTop) scroller.scrollTop = below;
    }
    Lines.highlight();
  }

  function move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") choose(null);
    if (!step || event.target.closest("a, button")) return;
    event.preventDefault();
    const visible = [...body.rows];
    const next = visible[visible.indexOf(rows[state.chosen]) + step] ?? visible[step > 0 ? 0 : visible.length - 1];
    if (next) choose(Number(next.dataset.run));
  }

  function filter() {
    let problem = "";
    try {
      state.shown = everyRun.filter(Filter.read(byId("filter").value));
    } catch (error) {
      state.shown = [];
      problem = `: ${error.message}`;
    }
    const number = state.shown.length;
    const part = number > MOST_ROWS ? `, the first ${MOST_ROWS} of them in the table` : "";
    byId("count").textContent = `${number} of ${everyRun.length} runs shown${part}${problem}`;
    fill();
  }

  function enhance() {
    [...document.querySelectorAll("#runs thead th")].forEach((heading, index) => {
      const button = element("button", heading.textContent, { type: "button" });
      heading.replaceChildren(button);
      const numeric = finite(columns[index].values).every((value) => typeof value === "number");
      heading.classList.toggle("number", numeric);
      button.addEventListener("click", () => sort(heading, columns[index]));
    });
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row && !event.target.closest("a")) choose(Number(row.dataset.run));
    });
    document.querySelector(".scroller").addEventListener("keydown", move);
  }

  return { choose, enhance, filter };
})();

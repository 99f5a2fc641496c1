// Sorts and filters the table that stands in the page, and draws its runs with plotly.js.
//
// Data go into the page as text only: by textContent in the DOM, and through escaped() in plotly.
// Runs are drawn together, one trace for each of BINS colours
// with gaps between the runs, since a trace for each of 1,000 runs would take minutes.
(() => {
  const { byId, colour, dark, element, escaped, extent, finite, readTheme, root, short, show, spaced, startDrawing } = Page;
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const { objective, settings, effects, columns, completed, curves, epochs } = data;
  const BINS = 12;
  const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const rows = [...document.querySelectorAll("#runs tbody tr")];
  const everyRun = rows.map((_, run) => run);
  const state = { shown: everyRun, chosen: null };

  // ---- the filter

  function term(text) {
    const plain = text.replaceAll('"', "").toLowerCase();
    const found = text.startsWith('"') ? null : /^([^=!<>]+)(!=|<=|>=|=|<|>)(.*)$/.exec(text);
    if (!found) return (run) => columns.some(({ values }) => lower(values[run]).includes(plain));
    const [name, sign, wanted] = [found[1], found[2], found[3].replaceAll('"', "")];
    const column = columns.find(({ key, heading }) => key === name || heading === name);
    if (!column) throw new Error(`no column is called “${name}”`);
    const compare = {
      "=": same, "!=": (a, b) => !same(a, b),
      "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
    }[sign];
    return (run) => {
      const value = column.values[run];
      if (typeof value === "number") return wanted !== "" && compare(value, Number(wanted));
      return (value !== null || sign.includes("=")) && compare(lower(value), wanted.toLowerCase());
    };
  }

  // Equal as the table shows them: fractions in six digits.
  const rounded = (value) => (typeof value !== "number" || Number.isInteger(value) ? value : Number(value.toPrecision(6)));
  const same = (a, b) => rounded(a) === rounded(b);
  const lower = (value) => (value === null ? "" : String(value).toLowerCase());

  function filter() {
    let problem = "";
    try {
      const terms = (byId("filter").value.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? []).map(term);
      state.shown = everyRun.filter((run) => terms.every((holds) => holds(run)));
    } catch (error) {
      state.shown = [];
      problem = `: ${error.message}`;
    }
    const shown = new Set(state.shown);
    for (const row of rows) row.hidden = !shown.has(Number(row.dataset.run));
    byId("count").textContent = `${shown.size} of ${rows.length} runs shown${problem}`;
    draw();
  }

  // ---- the table

  const collator = new Intl.Collator("en", { numeric: true });
  const ordered = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));

  function sort(heading, { values }) {
    const falling = heading.getAttribute("aria-sort") === "ascending";
    for (const each of heading.parentElement.children) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const inOrder = [...everyRun].sort((a, b) => {
      if (values[a] === null || values[b] === null) return (values[a] === null) - (values[b] === null);
      return falling ? ordered(values[b], values[a]) : ordered(values[a], values[b]);
    });
    rows[0]?.parentElement.append(...inOrder.map((run) => rows[run]));
  }

  function choose(run) {
    if (state.chosen !== null) rows[state.chosen].removeAttribute("aria-current");
    state.chosen = run;
    if (run !== null) {
      rows[run].setAttribute("aria-current", "true");
      const scroller = document.querySelector(".scroller");
      const head = scroller.querySelector("thead").offsetHeight;
      const { offsetTop, offsetHeight } = rows[run];
      if (offsetTop - head < scroller.scrollTop) scroller.scrollTop = offsetTop - head;
      const below = offsetTop + offsetHeight - scroller.clientHeight;
      if (below > scroller.scrollTop) scroller.scrollTop = below;
    }
    for (const [plot, path] of [[byId("curves"), curvePath], [byId("parallel"), parallelPath]]) {
      if (plot.data) Plotly.restyle(plot, chosenLine(path), [plot.data.length - 1]);
    }
  }

  function move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") choose(null);
    if (!step || event.target.closest("a, button")) return;
    event.preventDefault();
    const visible = [...document.querySelectorAll("#runs tbody tr:not([hidden])")];
    const next = visible[visible.indexOf(rows[state.chosen]) + step] ?? visible[step > 0 ? 0 : visible.length - 1];
    if (next) choose(Number(next.dataset.run));
  }

  function enhanceTable() {
    [...document.querySelectorAll("#runs thead th")].forEach((heading, index) => {
      const button = element("button", heading.textContent, { type: "button" });
      heading.replaceChildren(button);
      const numeric = finite(columns[index].values).every((value) => typeof value === "number");
      heading.classList.toggle("number", numeric);
      button.addEventListener("click", () => sort(heading, columns[index]));
    });
    document.querySelector("#runs tbody").addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row && !event.target.closest("a")) choose(Number(row.dataset.run));
    });
    document.querySelector(".scroller").addEventListener("keydown", move);
  }

  // ---- colours and lines

  function bin(run) {
    const [low, high] = objective.colours;
    const value = objective.values[run];
    if (value === null) return -1;
    const along = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 1;
    const good = objective.direction === "maximise" || high <= low ? along : 1 - along;
    return Math.min(BINS - 1, Math.floor(good * BINS));
  }

  // The best stand out from the paper: dark on white, bright on black.
  function binColour(index) {
    if (index < 0) return colour("soft");
    const good = index / (BINS - 1);
    const place = 4 * (dark() ? 0.25 + 0.75 * good : 0.85 * (1 - good));
    const before = Math.min(3, Math.floor(place));
    const mixed = VIRIDIS[before].map((v, i) => Math.round(v + (place - before) * (VIRIDIS[before + 1][i] - v)));
    return `rgb(${mixed.join(",")})`;
  }

  const labels = everyRun.map((run) => {
    const of = settings.map(({ label, texts, places }) =>
      places[run] === null ? null : `${label} = ${texts[places[run]].slice(0, 60)}`);
    const reached = `${spaced(objective.name)} = ${short(objective.values[run])}`;
    return [`run ${columns[0].values[run]}, ${columns[1].values[run]}`, ...finite(of), reached]
      .map(escaped).join("<br>");
  });

  const drawn = (value) => value !== null && value !== undefined;

  function lines(path) {
    const traces = new Map();
    for (const run of state.shown) {
      const { x, y } = path(run);
      if (!y.some(drawn)) continue;
      const [index, solid] = [bin(run), completed[run]];
      const key = 2 * index + solid;
      if (!traces.has(key)) {
        const line = { color: binColour(index), dash: solid ? "solid" : "dot" };
        line.width = state.shown.length > 200 ? 1.1 : 1.6;
        traces.set(key, { key, mode: "lines", line, opacity: 0.85, x: [], y: [], text: [], customdata: [] });
      }
      const trace = traces.get(key);
      y.forEach((value, i) => add(trace, run, x[i], value));
      add(trace, run, null, null);
    }
    return [...traces.values()].sort((a, b) => a.key - b.key).map(({ key, ...trace }) => trace);
  }

  function add(trace, run, x, y) {
    trace.x.push(x);
    trace.y.push(y);
    trace.text.push(labels[run]);
    trace.customdata.push(run);
  }

  // A line needs two points: what stands between gaps is drawn as a dot.
  function dots(traces) {
    const made = { mode: "markers", marker: { size: 5, color: [] }, x: [], y: [], text: [], customdata: [] };
    for (const { x, y, line, customdata } of traces) {
      y.forEach((value, i) => {
        if (!drawn(value) || drawn(y[i - 1]) || drawn(y[i + 1])) return;
        add(made, customdata[i], x[i], value);
        made.marker.color.push(line.color);
      });
    }
    return made;
  }

  function chosenLine(path) {
    const { x, y } = state.shown.includes(state.chosen) ? path(state.chosen) : { x: [], y: [] };
    const mode = finite(y).length < 2 ? "markers" : "lines";
    return { x: [x], y: [y], text: [x.map(() => labels[state.chosen])], customdata: [x.map(() => state.chosen)], mode: [mode] };
  }

  function runTraces(path, hover) {
    const traces = lines(path);
    const accent = colour("accent");
    const chosen = { line: { color: accent, width: 4 }, marker: { color: accent, size: 9 } };
    for (const [key, [value]] of Object.entries(chosenLine(path))) chosen[key] = value;
    const common = { type: "scatter", showlegend: false, hovertemplate: hover };
    return [...traces, dots(traces), chosen].map((trace) => ({ ...common, ...trace }));
  }

  function drawLegends() {
    const [low, high] = objective.colours;
    const all = extent(objective.values);
    const [worst, best] = objective.direction === "maximise" ? [low, high] : [high, low];
    const text = (value) => `${value === low && all[0] < low ? "≤ " : value === high && all[1] > high ? "≥ " : ""}${short(value)}`;
    for (const legend of document.querySelectorAll(".legend")) {
      const scale = element("span", "", { class: "scale" });
      scale.append(...Array.from({ length: BINS }, (_, index) => {
        const swatch = element("i", "");
        swatch.style.background = binColour(index);
        return swatch;
      }));
      const named = element("span", `${spaced(objective.name)}, worst to best:`);
      const known = Number.isFinite(all[0]) ? [named, element("span", text(worst)), scale, element("span", text(best))] : [];
      legend.replaceChildren(...known, element("span", "(grey: no value; dotted: not completed)"));
    }
  }

  // ---- learning curves

  function curvePath(run) {
    const y = curves[byId("column").value]?.[run] ?? [];
    return { x: epochs[run].slice(0, y.length), y };
  }

  function drawCurves() {
    const name = byId("column").value;
    const type = byId("log").checked ? "log" : "linear";
    const [first, most] = extent(epochs.flat().length ? epochs.flat() : [1]);
    const last = Math.max(first + 1, most);
    show(byId("curves"), runTraces(curvePath, "%{text}<br>epoch %{x}: %{y:.4g}<extra></extra>"), {
      xaxis: { title: { text: "epoch" }, tickformat: "d", ...(last - first < 12 ? { dtick: 1, tick0: first } : {}), showgrid: false, range: [first - (last - first) / 60, last + (last - first) / 60] },
      yaxis: { title: { text: escaped(spaced(name)) }, type, exponentformat: "e", ...(type === "log" ? { dtick: "D2", nticks: 8 } : {}) },
    });
  }

  function chooseScale() {
    const [low, high] = extent(curves[byId("column").value]?.flat() ?? []);
    byId("log").checked = low > 0 && high / low >= 1000;
  }

  // ---- parallel coordinates

  function parallelAxis({ label, texts, numbers, places, scale }) {
    const values = scale === "category" ? texts.map((_, i) => i) : numbers.map(scale === "log" ? Math.log10 : Number);
    const [low, high] = extent(values);
    const bottom = places.includes(null) ? 0.12 : 0;
    const position = (value) => bottom + (1 - bottom) * (high > low ? (value - low) / (high - low) : 0.5);
    let ticks = values.map((value, i) => [position(value), texts[i]]);
    if (texts.length > 12 && scale !== "category") {
      ticks = roundTicks(low, high, scale).map((value) => [position(value), scale === "log" ? short(10 ** value) : short(value)]);
    }
    const spread = [];
    for (const tick of ticks) if (!spread.length || tick[0] - spread.at(-1)[0] > 0.045) spread.push(tick);
    if (bottom) spread.unshift([0, "none"]);
    return { label, ticks: spread, at: places.map((place) => (place === null ? 0 : position(values[place]))) };
  }

  function roundTicks(low, high, scale) {
    const rough = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
    const whole = scale === "log" ? Math.max(1, Math.round(step)) : step;
    const ticks = [];
    for (let tick = Math.ceil(low / whole - 1e-9); tick * whole <= high + 1e-9 * whole; tick++) ticks.push(tick * whole);
    return ticks;
  }

  function objectiveSetting() {
    const numbers = [...new Set(finite(state.shown.map((run) => objective.values[run])))].sort((a, b) => a - b);
    const place = new Map(numbers.map((value, index) => [value, index]));
    const scale = objective.scale === "log" ? "log" : "linear";
    return {
      label: spaced(objective.name), scale, numbers, texts: numbers.map(short),
      places: objective.values.map((value) => place.get(value) ?? null),
    };
  }

  let parallelAxes = [];
  const parallelPath = (run) => ({ x: parallelAxes.map((_, i) => i), y: parallelAxes.map(({ at }) => at[run]) });

  function drawParallel() {
    const plot = byId("parallel");
    parallelAxes = [...settings, objectiveSetting()].map(parallelAxis);
    plot.style.minWidth = `${110 * parallelAxes.length}px`;
    const common = { showarrow: false, xref: "x", yref: "y" };
    const annotations = parallelAxes.flatMap(({ label, ticks }, i) => [
      { ...common, x: i, y: 1, yshift: 14, yanchor: "bottom", text: `<b>${wrapped(label)}</b>` },
      ...ticks.map(([y, text]) => ({
        ...common, x: i, y, xanchor: "left", xshift: 4, text: escaped(text.length > 18 ? `${text.slice(0, 17)}…` : text),
        bgcolor: colour("paper"), borderpad: 1, opacity: 0.85,
      })),
    ]);
    const line = { color: colour("soft"), width: 1 };
    const shapes = parallelAxes.map((_, i) => ({ type: "line", x0: i, x1: i, y0: 0, y1: 1, line }));
    const hidden = { visible: false, fixedrange: true };
    show(plot, runTraces(parallelPath, "%{text}<extra></extra>"), {
      annotations, shapes, dragmode: false, margin: { l: 45, r: 75, t: 60, b: 15 },
      xaxis: { ...hidden, range: parallelAxes.length > 1 ? [0, parallelAxes.length - 1] : [-1, 1] }, yaxis: { ...hidden, range: [-0.04, 1.02] },
    });
  }

  const wrapped = (label) => label.split(/(?<=[.])| /).map(escaped).join("<br>");

  // ---- effects

  function effectNote({ over, points }) {
    const [fewest, most] = extent(points.map(({ of }) => of));
    if (!points.length) return "no completed run has a value";
    if (most === 1) return "single runs, no error bar";
    const number = fewest === most ? most : `${fewest} to ${most}`;
    const unit = over === "combinations" ? "combinations of the others" : over;
    const hollow = points.some(({ left }) => left) ? "; hollow: further runs did not complete" : "";
    return `mean ± standard deviation over ${number} ${unit}${hollow}`;
  }

  function drawEffect(plot, { key, points }, range) {
    const setting = settings.find((each) => each.key === key);
    const { scale, texts, numbers } = setting;
    const plain = scale === "category";
    const few = points.length <= 6 && !plain;
    const xaxis = plain
      ? { tickvals: texts.map((_, i) => i), ticktext: texts.map((text) => escaped(text.length > 14 ? `${text.slice(0, 13)}…` : text)), range: [-0.5, texts.length - 0.5] }
      : { type: scale, ...(few ? { tickvals: points.map(({ place }) => numbers[place]), ticktext: points.map(({ place }) => texts[place]) } : scale === "log" ? { dtick: 1 } : { nticks: 6 }) };
    const trace = {
      type: "scatter", mode: plain || points.every(({ deviation }) => deviation === null) ? "markers" : "lines+markers",
      x: points.map(({ place }) => (plain ? place : numbers[place])), y: points.map((point) => point.mean),
      text: points.map(({ place, deviation, of, left }) =>
        escaped(`${setting.label} = ${texts[place].slice(0, 60)}`) + `<br>n = ${of}${deviation === null ? "" : `, ± ${short(deviation)}`}`
          + (left ? `<br>further runs, not completed: ${left}` : "")),
      hovertemplate: "%{text}<br>mean %{y:.4g}<extra></extra>",
      error_y: { type: "data", array: points.map(({ deviation }) => deviation ?? 0), thickness: 1.3, width: 4, color: colour("soft") },
      line: { color: colour("link"), width: 1.3 }, 
      marker: { size: 7, color: points.map(({ left }) => colour(left ? "paper" : "link")), line: { width: 1.5, color: colour("link") } },
    };
    show(plot, [trace], {
      dragmode: false, margin: { l: 50, r: 10, t: 8, b: 30 }, xaxis: { fixedrange: true, showgrid: false, showline: true, exponentformat: "e", ...xaxis },
      yaxis: { fixedrange: true, range, nticks: 6, title: { text: escaped(spaced(objective.name)), font: { size: 11 } } },
    });
  }

  function drawEffects() {
    const [low, high] = extent(effects.flatMap(({ points }) => points.flatMap((point) => [point.mean - point.deviation, point.mean + point.deviation])));
    const margin = 0.06 * (high - low) || Math.abs(high) / 20 || 1;
    const range = Number.isFinite(low) ? [low - margin, high + margin] : [0, 1];
    effects.forEach((each, index) => {
      const figure = byId("effects").children[index];
      figure.querySelector("figcaption span").textContent = effectNote(each);
      drawEffect(figure.querySelector(".plot"), each, range);
    });
  }

  function makeEffects() {
    const seeds = settings.some(({ key }) => key === "seed") ? " Runs that differ in nothing but the seed are averaged first, and the error bar is over what else differs; where nothing else does, it is over the seeds." : "";
    const note = `The mean of ${spaced(objective.name)} over all completed runs with each value, whatever the filter.${seeds} All have the same vertical axis.`;
    byId("effects-note").textContent = effects.length ? note : "The runs differ in no setting but the seed.";
    for (const { key } of effects) {
      const figure = element("figure", "");
      const caption = element("figcaption", key);
      caption.append(element("span", ""));
      figure.append(caption, element("div", "", { class: "plot" }));
      byId("effects").append(figure);
    }
  }

  // ---- all of it

  function draw() {
    readTheme();
    drawLegends();
    drawCurves();
    drawParallel();
    drawEffects();
  }

  function start() {
    root.classList.add("enhanced");
    enhanceTable();
    byId("column").append(...Object.keys(curves).map((name) => element("option", spaced(name), { value: name })));
    byId("column").value = data.shown;
    makeEffects();
    chooseScale();
    filter();
    let waiting;
    byId("filter").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 150); });
    byId("column").addEventListener("change", () => { chooseScale(); drawCurves(); });
    byId("log").addEventListener("change", drawCurves);
    for (const plot of [byId("curves"), byId("parallel")]) {
      plot.on("plotly_click", ({ points }) => choose(points[0].customdata));
    }
    startDrawing(draw);
  }

  start();
})();

// Lines of runs in a plot, one trace for each colour with gaps between the runs, since a trace for
// each of 1,000 runs would take minutes; and the chosen run over them. Of very many runs some are
// drawn, from the worst to the best.
const Lines = (() => {
  const { byId, colour, finite } = Page;
  const { completed, drawn, labels, objective, state } = Sweep;
  const MOST_RUNS = 1000;
  const plots = new Map();

  function add(trace, run, x, y) {
    trace.x.push(x);
    trace.y.push(y);
    trace.text.push(labels[run]);
    trace.customdata.push(run);
  }

  function chosenRuns() {
    const { shown } = state;
    if (shown.length <= MOST_RUNS) return shown;
    const value = (run) => objective.values[run] ?? -Infinity;
    const inOrder = [...shown].sort((a, b) => value(a) - value(b));
    return Array.from({ length: MOST_RUNS }, (_, i) => inOrder[Math.round((i * (shown.length - 1)) / (MOST_RUNS - 1))]);
  }

  function note() {
    const more = state.shown.length > MOST_RUNS;
    return more ? `Drawn: ${MOST_RUNS} of ${state.shown.length} runs, evenly from the worst to the best.` : "";
  }

  function lines(path) {
    const traces = new Map();
    for (const run of chosenRuns()) {
      const { x, y } = path(run);
      if (!y.some(drawn)) continue;
      const [index, solid] = [Colours.of(run), completed[run]];
      const key = 2 * index + solid;
      if (!traces.has(key)) {
        const line = { color: Colours.swatch(index), dash: solid ? "solid" : "dot" };
        line.width = state.shown.length > 200 ? 1.1 : 1.6;
        traces.set(key, { key, mode: "lines", line, opacity: 0.85, x: [], y: [], text: [], customdata: [] });
      }
      const trace = traces.get(key);
      y.forEach((value, i) => add(trace, run, x[i], value));
      add(trace, run, null, null);
    }
    return [...traces.values()].sort((a, b) => a.key - b.key).map(({ key, ...trace }) => trace);
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

  // The traces of the runs that are shown, the last one that of the chosen run.
  function traces(id, path, hover) {
    plots.set(id, path);
    const found = lines(path);
    const accent = colour("accent");
    const chosen = { line: { color: accent, width: 4 }, marker: { color: accent, size: 9 } };
    for (const [key, [value]] of Object.entries(chosenLine(path))) chosen[key] = value;
    const common = { type: "scatter", showlegend: false, hovertemplate: hover };
    return [...found, dots(found), chosen].map((trace) => ({ ...common, ...trace }));
  }

  function highlight() {
    for (const [id, path] of plots) {
      const { data } = byId(id);
      Plotly.restyle(byId(id), chosenLine(path), [data.length - 1]);
    }
  }

  return { highlight, note, traces };
})();

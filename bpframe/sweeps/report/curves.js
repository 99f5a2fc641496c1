// Learning curves: of each run, or the mean and the range of those that differ in the seed alone.
const Curves = (() => {
  const { byId, escaped, extent, faint, finite, show, spaced } = Page;
  const { completed, curves, drawn, epochs, everyRun, mean, settings, settingsOf, state } = Sweep;
  const MOST_BANDS = 40;

  function path(run) {
    const y = curves[byId("column").value]?.[run] ?? [];
    return { x: epochs[run].slice(0, y.length), y };
  }

  // The completed runs by what else is set than the seed; only groups of several.
  function groups(runs) {
    const found = new Map();
    for (const run of runs) {
      const key = settings.map(({ key, places }) => (key === "seed" ? "" : places[run])).join();
      if (completed[run]) found.set(key, [...(found.get(key) ?? []), run]);
    }
    return [...found.values()];
  }
  const hasSeeds = settings.some(({ key }) => key === "seed") && groups(everyRun).some((group) => group.length > 1);

  // Mean and range at the epochs at which every run of a group has a value.
  function band(group) {
    const values = new Map();
    for (const run of group) {
      const { x, y } = path(run);
      x.forEach((epoch, i) => drawn(y[i]) && values.set(epoch, [...(values.get(epoch) ?? []), y[i]]));
    }
    const whole = [...values].filter(([, each]) => each.length === group.length).sort(([a], [b]) => a - b);
    const of = (measure) => whole.map(([, each]) => measure(each));
    return { x: whole.map(([epoch]) => epoch), y: of(mean), low: of((each) => Math.min(...each)), high: of((each) => Math.max(...each)) };
  }

  function bands() {
    const found = groups(state.shown);
    byId("bands-note").textContent = found.length > MOST_BANDS
      ? `Means over the seeds of ${found.length} settings; their ranges are drawn for at most ${MOST_BANDS}, so filter.`
      : "Lines: means over the seeds. Bands: from the lowest to the highest run. Runs that did not complete are left out.";
    return found.flatMap((group) => {
      const { x, y, low, high } = band(group);
      const tint = Colours.swatch(Colours.of(group[0]));
      const edge = { type: "scatter", mode: "lines", line: { width: 0 }, x, hoverinfo: "skip", showlegend: false };
      const range = [{ ...edge, y: low }, { ...edge, y: high, fill: "tonexty", fillcolor: translucent(tint) }];
      const text = [...settingsOf(group[0], ["seed"]), `${group.length} seeds`].map(escaped).join("<br>");
      const middle = {
        type: "scatter", mode: finite(y).length < 2 ? "markers" : "lines", line: { color: tint, width: 2 }, marker: { color: tint },
        x, y, text: x.map(() => text), customdata: x.map(() => group[0]), showlegend: false,
        hovertemplate: "%{text}<br>epoch %{x}: mean %{y:.4g}<extra></extra>",
      };
      return found.length > MOST_BANDS || group.length < 2 ? [middle] : [...range, middle];
    });
  }
  const translucent = (tint) => (tint.startsWith("#") ? faint(tint) : tint.replace("rgb(", "rgba(").replace(")", ",0.18)"));

  function draw() {
    const name = byId("column").value;
    const type = byId("log").checked ? "log" : "linear";
    const all = epochs.flat();
    const [first, most] = extent(all.length ? all : [1]);
    const last = Math.max(first + 1, most);
    const asBands = byId("seeds").checked;
    byId("bands-note").hidden = !asBands;
    const traces = Lines.traces("curves", path, "%{text}<br>epoch %{x}: %{y:.4g}<extra></extra>");
    show(byId("curves"), asBands ? [...bands(), traces.at(-1)] : traces, {
      xaxis: { title: { text: "epoch" }, tickformat: "d", ...(last - first < 12 ? { dtick: 1, tick0: first } : {}), showgrid: false, range: [first - (last - first) / 60, last + (last - first) / 60] },
      yaxis: { title: { text: escaped(spaced(name)) }, type, exponentformat: "e", ...(type === "log" ? { dtick: "D2", nticks: 8 } : {}) },
    });
  }

  function chooseScale() {
    const [low, high] = extent(curves[byId("column").value]?.flat() ?? []);
    byId("log").checked = low > 0 && high / low >= 1000;
  }

  function start() {
    const { element } = Page;
    byId("column").append(...Object.keys(curves).map((name) => element("option", spaced(name), { value: name })));
    byId("column").value = Sweep.first;
    byId("seeds").parentElement.hidden = !hasSeeds;
    chooseScale();
    byId("column").addEventListener("change", () => { chooseScale(); draw(); });
    for (const id of ["log", "seeds"]) byId(id).addEventListener("change", draw);
  }

  return { draw, start };
})();

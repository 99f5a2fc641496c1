// Parallel coordinates: a line for each run, from setting to setting to the objective.
const Parallel = (() => {
  const { byId, colour, escaped, extent, finite, short, show, spaced } = Page;
  const { objective, settings, state } = Sweep;
  let axes = [];

  function axis({ label, texts, numbers, places, scale }) {
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
    return {
      label: spaced(objective.name), scale: objective.scale === "log" ? "log" : "linear", numbers, texts: numbers.map(short),
      places: objective.values.map((value) => place.get(value) ?? null),
    };
  }

  const path = (run) => ({ x: axes.map((_, i) => i), y: axes.map(({ at }) => at[run]) });
  const wrapped = (label) => label.split(/(?<=[.])| /).map(escaped).join("<br>");

  function draw() {
    const plot = byId("parallel");
    axes = [...settings, objectiveSetting()].map(axis);
    plot.style.minWidth = `${110 * axes.length}px`;
    const common = { showarrow: false, xref: "x", yref: "y" };
    const annotations = axes.flatMap(({ label, ticks }, i) => [
      { ...common, x: i, y: 1, yshift: 14, yanchor: "bottom", text: `<b>${wrapped(label)}</b>` },
      ...ticks.map(([y, text]) => ({
        ...common, x: i, y, xanchor: "left", xshift: 4, text: escaped(text.length > 18 ? `${text.slice(0, 17)}…` : text),
        bgcolor: colour("paper"), borderpad: 1, opacity: 0.85,
      })),
    ]);
    const line = { color: colour("soft"), width: 1 };
    const shapes = axes.map((_, i) => ({ type: "line", x0: i, x1: i, y0: 0, y1: 1, line }));
    const hidden = { visible: false, fixedrange: true };
    show(plot, Lines.traces("parallel", path, "%{text}<extra></extra>"), {
      annotations, shapes, dragmode: false, margin: { l: 45, r: 75, t: 60, b: 15 },
      xaxis: { ...hidden, range: axes.length > 1 ? [0, axes.length - 1] : [-1, 1] }, yaxis: { ...hidden, range: [-0.04, 1.02] },
    });
  }

  return { draw };
})();

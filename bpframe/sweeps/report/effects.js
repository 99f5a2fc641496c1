// What each value of a setting does to the objective, and what each pair of two settings' values.
const Effects = (() => {
  const { byId, colour, element, escaped, extent, finite, short, show, spaced } = Page;
  const { completed, effects, everyRun, mean, objective, settings } = Sweep;
  const MOST_VALUES = 40;
  const [least, most] = objective.bounds.map((bound, i) => bound ?? [-Infinity, Infinity][i]);
  const above = ({ mean, deviation }) => Math.min(most, mean + deviation) - mean;
  const below = ({ mean, deviation }) => mean - Math.max(least, mean - deviation);

  function note({ over, points }) {
    const [fewest, largest] = extent(points.map(({ of }) => of));
    if (!points.length) return "no completed run has a value";
    if (largest === 1) return "single runs, no error bar";
    const number = fewest === largest ? largest : `${fewest} to ${largest}`;
    const unit = over === "combinations" ? "combinations of the others" : over;
    const hollow = points.some(({ left }) => left) ? "; hollow: further runs did not complete" : "";
    return `mean ± standard deviation over ${number} ${unit}${hollow}`;
  }

  const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

  function drawEffect(plot, { key, points }, range) {
    const setting = settings.find((each) => each.key === key);
    const { scale, texts, numbers } = setting;
    const plain = scale === "category";
    const few = points.length <= 6 && !plain;
    const xaxis = plain
      ? { tickvals: texts.map((_, i) => i), ticktext: texts.map((text) => escaped(cut(text, 14))), range: [-0.5, texts.length - 0.5] }
      : { type: scale, ...(few ? { tickvals: points.map(({ place }) => numbers[place]), ticktext: points.map(({ place }) => texts[place]) } : scale === "log" ? { dtick: 1 } : { nticks: 6 }) };
    const trace = {
      type: "scatter", mode: plain || points.every(({ deviation }) => deviation === null) ? "markers" : "lines+markers",
      x: points.map(({ place }) => (plain ? place : numbers[place])), y: points.map((point) => point.mean),
      text: points.map(({ place, deviation, of, left }) =>
        escaped(`${setting.label} = ${texts[place].slice(0, 60)}`) + `<br>n = ${of}${deviation === null ? "" : `, ± ${short(deviation)}`}`
          + (left ? `<br>further runs, not completed: ${left}` : "")),
      hovertemplate: "%{text}<br>mean %{y:.4g}<extra></extra>",
      error_y: { type: "data", array: points.map(above), arrayminus: points.map(below), thickness: 1.3, width: 4, color: colour("soft") },
      line: { color: colour("link"), width: 1.3 },
      marker: { size: 7, color: points.map(({ left }) => colour(left ? "paper" : "link")), line: { width: 1.5, color: colour("link") } },
    };
    show(plot, [trace], {
      dragmode: false, margin: { l: 50, r: 10, t: 8, b: 30 }, xaxis: { fixedrange: true, showgrid: false, showline: true, exponentformat: "e", ...xaxis },
      yaxis: { fixedrange: true, range, nticks: 6, title: { text: escaped(spaced(objective.name)), font: { size: 11 } } },
    });
  }

  // ---- two settings: a table, whose cells are coloured

  const fitting = settings.filter(({ key, texts }) => key !== "seed" && texts.length > 1 && texts.length <= MOST_VALUES);
  const settingOf = (id) => fitting.find(({ key }) => key === byId(id).value);

  function drawPairs() {
    const [across, down] = [settingOf("across"), settingOf("down")];
    const cells = down.texts.map(() => across.texts.map(() => []));
    for (const run of everyRun) {
      const [x, y, value] = [across.places[run], down.places[run], objective.values[run]];
      if (completed[run] && x !== null && y !== null && value !== null) cells[y][x].push(value);
    }
    const means = finite(cells.flat().map((values) => (values.length ? mean(values) : null)));
    const [low, high] = extent(means);
    const head = element("tr", "");
    head.append(element("th", `${down.label} ↓  ${across.label} →`, { scope: "col" }), ...across.texts.map((text) => element("th", cut(text, 20), { scope: "col", title: text })));
    const rows = cells.map((values, y) => {
      const row = element("tr", "");
      row.append(element("th", cut(down.texts[y], 20), { scope: "row", title: down.texts[y] }), ...values.map((each) => cell(each, low, high)));
      return row;
    });
    byId("pairs").replaceChildren(head, ...rows.reverse());
  }

  function cell(values, low, high) {
    if (!values.length) return element("td", "–", { title: "no completed run" });
    const value = mean(values);
    const along = high > low ? (value - low) / (high - low) : 1;
    const good = objective.direction === "maximise" || high <= low ? along : 1 - along;
    const made = element("td", short(value), { title: `mean of ${values.length} completed run${values.length > 1 ? "s" : ""}` });
    made.style.background = Colours.shade(good);
    const [red, green, blue] = Colours.shade(good).match(/\d+/g).map(Number);
    made.style.color = 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#000" : "#fff";
    return made;
  }

  // ---- both

  function draw() {
    const ends = effects.flatMap(({ points }) => points.flatMap((point) => [point.mean - below(point), point.mean + above(point)]));
    const [low, high] = extent(ends);
    const margin = 0.06 * (high - low) || Math.abs(high) / 20 || 1;
    const range = Number.isFinite(low) ? [low - margin, high + margin] : [0, 1];
    effects.forEach((each, index) => {
      const figure = byId("effects").children[index];
      figure.querySelector("figcaption span").textContent = note(each);
      drawEffect(figure.querySelector(".plot"), each, range);
    });
    if (fitting.length > 1) drawPairs();
  }

  function start() {
    const seeds = settings.some(({ key }) => key === "seed") ? " Runs that differ in nothing but the seed are averaged first, and the error bar is over what else differs; where nothing else does, it is over the seeds." : "";
    const bounded = Number.isFinite(least) || Number.isFinite(most) ? " An error bar ends where values do." : "";
    const text = `The mean of ${spaced(objective.name)} over all completed runs with each value, whatever the filter.${seeds}${bounded} All have the same vertical axis.`;
    byId("effects-note").textContent = effects.length ? text : "The runs differ in no setting but the seed.";
    for (const { key } of effects) {
      const figure = element("figure", "");
      const caption = element("figcaption", key);
      caption.append(element("span", ""));
      figure.append(caption, element("div", "", { class: "plot" }));
      byId("effects").append(figure);
    }
    byId("pairs-section").hidden = fitting.length < 2;
    for (const [id, first] of [["across", 0], ["down", 1]]) {
      byId(id).append(...fitting.map(({ key }) => element("option", key, { value: key })));
      if (fitting.length > 1) byId(id).value = fitting[first].key;
      byId(id).addEventListener("change", drawPairs);
    }
    byId("pairs-note").textContent = `Means of ${spaced(objective.name)} over the completed runs with both values, whatever the filter.`;
  }

  return { draw, start };
})();

// The colours of the runs: by the objective, or by any setting; and the legends that say so.
const Colours = (() => {
  const { byId, colour, dark, distinct, element, extent, short, spaced } = Page;
  const { objective, settings } = Sweep;
  const BINS = 12;
  const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

  // From 0 to 1; 1 stands out from the paper: dark on white, bright on black.
  function shade(along) {
    const place = 4 * (dark() ? 0.25 + 0.75 * along : 0.85 * (1 - along));
    const before = Math.min(3, Math.floor(place));
    const mixed = VIRIDIS[before].map((v, i) => Math.round(v + (place - before) * (VIRIDIS[before + 1][i] - v)));
    return `rgb(${mixed.join(",")})`;
  }

  // `of` gives the class of a run, -1 where it has no value; `swatch` the colour of a class. In the
  // legend stand the names of the classes, or a scale between two ends.
  function byObjective() {
    const [low, high] = objective.colours;
    const all = extent(objective.values);
    const [worst, best] = objective.direction === "maximise" ? [low, high] : [high, low];
    const text = (value) => `${value === low && all[0] < low ? "≤ " : value === high && all[1] > high ? "≥ " : ""}${short(value)}`;
    return {
      of(run) {
        const value = objective.values[run];
        if (value === null) return -1;
        const along = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 1;
        const good = objective.direction === "maximise" || high <= low ? along : 1 - along;
        return Math.min(BINS - 1, Math.floor(good * BINS));
      },
      swatch: (index) => shade(index / (BINS - 1)),
      title: `${spaced(objective.name)}, worst to best:`,
      classes: BINS,
      ends: Number.isFinite(all[0]) ? [text(worst), text(best)] : null,
      names: [],
    };
  }

  function bySetting({ label, texts, numbers, places }) {
    const ordered = numbers !== null || texts.length > distinct().length;
    return {
      of: (run) => places[run] ?? -1,
      swatch: (index) => (ordered ? shade(texts.length > 1 ? index / (texts.length - 1) : 1) : distinct()[index]),
      title: `${label}:`,
      classes: texts.length,
      ends: texts.length > BINS ? [texts[0], texts.at(-1)] : null,
      names: texts.length > BINS ? [] : texts,
    };
  }

  let current = byObjective();
  const swatch = (index) => (index < 0 ? colour("soft") : current.swatch(index));

  function choose() {
    const setting = settings.find(({ key }) => key === byId("colour").value);
    current = setting ? bySetting(setting) : byObjective();
  }

  function fill(select) {
    const option = (text, value) => element("option", text, { value });
    select.append(option(spaced(objective.name), ""), ...settings.map(({ key }) => option(key, key)));
  }

  function painted(index) {
    const made = element("i", "");
    made.style.background = swatch(index);
    return made;
  }

  function entry(text, index) {
    const made = element("span", "", { class: "entry" });
    made.append(painted(index), element("span", text.length > 40 ? `${text.slice(0, 39)}…` : text));
    return made;
  }

  function scale({ classes, ends: [first, last] }) {
    const bar = element("span", "", { class: "scale" });
    const along = Array.from({ length: BINS }, (_, i) => Math.round((i * (classes - 1)) / (BINS - 1)));
    bar.append(...along.map(painted));
    return [element("span", first), bar, element("span", last)];
  }

  function drawLegends() {
    for (const legend of document.querySelectorAll(".legend")) {
      const known = current.ends ? scale(current) : current.names.map(entry);
      const title = known.length ? [element("span", current.title)] : [];
      legend.replaceChildren(...title, ...known, element("span", "(grey: no value; dotted: not completed)"));
    }
  }

  return { choose, drawLegends, fill, of: (run) => current.of(run), shade, swatch };
})();

// What the parts of a sweep's page share: its data, which runs are shown, and what they are called.
const Sweep = (() => {
  const { byId, escaped, finite, short, spaced } = Page;
  const data = JSON.parse(byId("report-data").textContent);
  const { objective, settings, columns, completed } = data;
  const everyRun = completed.map((_, run) => run);
  const state = { shown: everyRun, chosen: null };
  const drawn = (value) => value !== null && value !== undefined;

  // `optimiser.eta = 0.1`, ... of a run, but for the settings that `but` names.
  const settingsOf = (run, but = []) =>
    settings.filter(({ key, places }) => places[run] !== null && !but.includes(key))
      .map(({ label, texts, places }) => `${label} = ${texts[places[run]].slice(0, 60)}`);

  const labels = everyRun.map((run) => {
    const reached = `${spaced(objective.name)} = ${short(objective.values[run])}`;
    return [`run ${columns[0].values[run]}, ${columns[1].values[run]}`, ...settingsOf(run), reached]
      .map(escaped).join("<br>");
  });

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  return { ...data, drawn, everyRun, finite, labels, mean, settingsOf, state };
})();

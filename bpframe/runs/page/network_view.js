// The network while it learns: a slider over the recorded times, and within a time forward,
// backward and the change, one after another, as far as they were recorded.
(() => {
  const { byId, element } = Page;
  const told = JSON.parse(byId("report-data").textContent).network;
  const { largest } = NetworkTracks;
  const { drawing, fillBetween, fillLayer, short } = NetworkDrawing;
  const host = byId("network");
  const layers = NetworkTracks.layers(told);
  const last = told.steps.length - 1;
  const reduced = matchMedia("(prefers-reduced-motion: reduce)");
  const WHOLE = { name: "whole" };
  const state = { time: 0, stage: WHOLE, example: 0, playing: 0 };
  let most, drawn;

  // ---- what follows one another

  function stagesAt(time) {
    const found = [];
    const has = (name) => told.stages.includes(name);
    const withDeltas = layers.map((_, i) => i).filter((i) => layers[i].deltas).reverse();
    if (has("forward")) layers.forEach(({ activations }, i) => activations && found.push({ name: "forward", layer: i }));
    withDeltas.forEach((i, place) => found.push({ name: place ? "bp2" : "bp1", layer: i }));
    if (has("gradient") && layers.some((_, i) => gradient(i, time))) found.push({ name: "gradient" });
    if (has("change") && time < last) found.push({ name: "change" });
    return found;
  }

  const placeOf = (stages) => stages.findIndex(({ name, layer }) => name === state.stage.name && layer === state.stage.layer);

  // A step on or back; whether there was one.
  function step(by) {
    const time = state.time + by;
    const isThere = time >= 0 && time <= last;
    if (controls.each.value === "times") {
      if (!isThere) return false;
      Object.assign(state, { time, stage: WHOLE });
      return true;
    }
    const stages = stagesAt(state.time);
    const place = placeOf(stages) + by;
    if (state.stage !== WHOLE || by > 0) {
      if (stages[place]) { state.stage = stages[place]; return true; }
    }
    if (!isThere) return false;
    const there = stagesAt(time);
    Object.assign(state, { time, stage: by > 0 ? there[0] : there.at(-1) });
    return true;
  }

  // ---- the numbers of a time

  const valuesOf = (i, kind) => layers[i][kind]?.at(state.time, state.example);
  const dense = (i) => i > 0 && layers[i].number === layers[i - 1].number + 1;

  // delta^l (a^(l-1))^T, BP4, of a layer with weights into it.
  function gradient(i, time) {
    const deltas = layers[i].deltas?.at(time, state.example);
    const a = dense(i) && layers[i].weights && layers[i - 1].activations?.at(time, state.example);
    return deltas && a ? Float64Array.from({ length: layers[i].n * layers[i - 1].n }, (_, at) =>
      deltas[Math.floor(at / layers[i - 1].n)] * a[at % layers[i - 1].n]) : null;
  }

  function between(i) {
    if (!dense(i)) return null;
    if (state.stage.name === "gradient") return gradient(i, state.time);
    const w = layers[i].weights?.at(state.time);
    if (!w || state.stage.name !== "change") return w ?? null;
    const next = layers[i].weights.at(state.time + 1);
    return next.map((value, at) => value - w[at]);
  }

  // By what sizes are measured: of all times, or where that is ticked of this one.
  function scales() {
    const anew = controls.anew.checked;
    const of = (track, values) => (!track ? 0 : anew ? largest(values) : null);
    const deltas = anew ? Math.max(0, ...layers.map((_, i) => largest(valuesOf(i, "deltas") ?? []))) : most.deltas;
    return layers.map((layer, i) => ({
      deltas,
      activations: of(layer.activations, valuesOf(i, "activations")) ?? most.activations[i],
      weights: of(layer.weights, layer.weights && layer.weights.at(state.time)) ?? most.weights[i],
    }));
  }

  function measure() {
    most = {
      deltas: Math.max(0, ...layers.map(({ deltas }) => deltas?.largest(state.example) ?? 0)),
      activations: layers.map(({ activations }) => activations?.largest(state.example) ?? 0),
      weights: layers.map(({ weights }) => weights?.largest() ?? 0),
    };
  }

  // ---- showing it

  function show() {
    const { name, layer: at } = state.stage;
    const scale = scales();
    const lit = (i) => name !== "forward" || i <= at;
    const back = (i) => name !== "forward" && (!["bp1", "bp2"].includes(name) || i >= at);
    layers.forEach((layer, i) => {
      fillLayer(drawn, i, {
        activations: lit(i) ? valuesOf(i, "activations") : undefined,
        deltas: back(i) ? valuesOf(i, "deltas") : undefined, now: i === at, most: scale[i],
      });
      const values = between(i);
      const ofWeights = !["gradient", "change"].includes(name);
      const faint = (name === "forward" && i !== at) || name === "bp1" || (name === "bp2" && i !== at + 1);
      fillBetween(drawn, i, values, ofWeights ? scale[i].weights : largest(values ?? []), faint);
    });
    for (const item of host.querySelectorAll(".stages li")) {
      const now = item.dataset.stage === name;
      item.classList.toggle("now", now);
      if (now) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
    controls.slider.value = state.time;
    controls.slider.setAttribute("aria-valuetext", timeOf(state.time));
    controls.time.textContent = timeOf(state.time);
    controls.play.textContent = state.playing ? "Pause" : "Play";
    controls.said.setAttribute("aria-live", state.playing ? "off" : "polite");
    controls.said.textContent = said();
    drawn.svg.setAttribute("aria-label", `The network at ${timeOf(state.time)}. ${said()}`);
    if (controls.numbers.open) table();
  }

  const timeOf = (time) => `epoch ${Number(told.epochs[time].toFixed(2))}, step ${told.steps[time]}`;

  function said() {
    const { name, layer: at } = state.stage;
    const number = layers[at]?.number;
    const size = (values) => short(largest(values ?? []));
    const ofAll = layers.map((_, i) => largest(between(i) ?? []));
    const old = ["activations", "deltas", "weights"].flatMap((kind) => {
      const step = layers.find((layer) => layer[kind] && layer.number > 1)?.[kind].stepAt(state.time);
      return step === undefined || step === told.steps[state.time] ? [] : [`${kind} of step ${step}`];
    });
    const texts = {
      whole: () => "All that was recorded at this time.",
      forward: () => `Forward: ${number === 1 ? "the input" : `the activations of layer ${number}`}, up to ${size(valuesOf(at, "activations"))}.`,
      bp1: () => `The deltas of layer ${number}, up to ${size(valuesOf(at, "deltas"))}.`,
      bp2: () => `Back to layer ${number}: its deltas, up to ${size(valuesOf(at, "deltas"))}.`,
      gradient: () => `The gradient of this example: deltas times activations, up to ${short(Math.max(...ofAll))}.`,
      change: () => `How the weights change up to step ${told.steps[state.time + 1]}, by all mini-batches between: up to ${short(Math.max(...ofAll))}.`,
    };
    return texts[name]() + (old.length ? ` Last recorded: ${old.join(", ")}.` : "");
  }

  function table() {
    const rows = layers.flatMap((layer, i) => (layer.shape.length ? [] : layer.neurons.map((neuron, j) => {
      const values = ["activations", "deltas"].map((kind) => valuesOf(i, kind)?.[j]);
      const row = element("tr", "");
      row.append(element("td", layer.number), element("td", i === layers.length - 1 && ![undefined, String(neuron)].includes(told.names[j]) ? `${neuron} (${told.names[j]})` : neuron));
      for (const value of values) row.append(element("td", value === undefined ? "" : short(value), { class: "number" }));
      return row;
    })));
    controls.body.replaceChildren(...rows);
  }

  // ---- playing

  function play(on) {
    clearTimeout(state.playing);
    state.playing = 0;
    if (on) {
      if (state.time === last && !ahead()) Object.assign(state, { time: 0, stage: WHOLE });
      tick();
    }
    show();
  }

  // Whether a step would find something, without taking it.
  function ahead() {
    const before = { ...state };
    const found = step(1);
    Object.assign(state, before);
    return found;
  }

  function tick() {
    const pause = reduced.matches ? 1000 : controls.each.value === "times" ? 150 : 600;
    state.playing = setTimeout(() => {
      if (step(1)) tick();
      else state.playing = 0;
      show();
    }, pause);
  }

  function stepped(by) {
    play(false);
    step(by);
    show();
  }

  // ---- its controls

  function listen() {
    controls.back.addEventListener("click", () => stepped(-1));
    controls.play.addEventListener("click", () => play(!state.playing));
    controls.on.addEventListener("click", () => stepped(1));
    controls.slider.addEventListener("input", () => {
      state.time = Number(controls.slider.value);
      if (state.stage !== WHOLE && placeOf(stagesAt(state.time)) < 0) state.stage = WHOLE;
      show();
    });
    controls.example.addEventListener("change", () => {
      state.example = Number(controls.example.value);
      measure();
      show();
    });
    controls.each.addEventListener("change", () => { if (controls.each.value === "times") state.stage = WHOLE; show(); });
    controls.anew.addEventListener("change", show);
    controls.numbers.addEventListener("toggle", show);
    host.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const own = event.target.matches("select, summary, .scroller");
      if (event.key === " " && !own && !event.target.matches("button, input[type=checkbox]")) play(!state.playing);
      else if (["ArrowLeft", "ArrowRight"].includes(event.key) && !own && event.target !== controls.slider) stepped(event.key === "ArrowLeft" ? -1 : 1);
      else return;
      event.preventDefault();
    });
  }

  function redraw() {
    drawn?.svg.remove();
    drawn = drawing(frame, layers, told.names);
    show();
  }

  const controls = NetworkControls.build(host, told);
  const frame = element("div", "", { class: "drawing" });
  host.insertBefore(frame, controls.said);
  measure();
  listen();
  redraw();
  let width = frame.clientWidth;
  new ResizeObserver(() => {
    if (Math.abs(frame.clientWidth - width) < 8) return;
    width = frame.clientWidth;
    redraw();
  }).observe(frame);
  Page.startDrawing(show);
  addEventListener("beforeprint", table);
})();

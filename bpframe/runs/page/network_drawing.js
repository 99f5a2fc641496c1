// Draws the network at one time as SVG: neurons, deltas, and between layers weights, as lines or,
// where the input is an image, as pictures.
const NetworkDrawing = (() => {
  const SPACE = "http://www.w3.org/2000/svg";
  const TOP = 40;
  const WIDTH = 84; // of a layer at least; a narrow window scrolls
  const short = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(3))) : "not finite");
  const signOf = (value) => (value < 0 ? "negative" : "positive");

  function made(name, attributes, parent, text = "") {
    const element = document.createElementNS(SPACE, name);
    set(element, attributes);
    if (text) element.textContent = text;
    parent?.append(element);
    return element;
  }
  function set(element, attributes) {
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  }

  // Numbers as a picture whose colour is their sign; of an input ink, the more the larger.
  function picture(values, [rows, columns, channels], most, isInput) {
    const canvas = Page.element("canvas", "", { width: columns, height: rows });
    const context = canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    const style = getComputedStyle(Page.root);
    const rgb = (name) => [1, 3, 5].map((at) => parseInt(style.getPropertyValue(`--${name}`).trim().slice(at, at + 2), 16));
    const [ink, positive, negative] = ["ink", "positive", "negative"].map(rgb);
    const [low, high] = Page.extent([...values]);
    for (let i = 0; i < rows * columns; i++) {
      const ofPixel = values.subarray(i * channels, (i + 1) * channels);
      const share = isInput ? [...ofPixel].map((v) => (v - low) / (high - low || 1)) : [];
      const mean = ofPixel.reduce((sum, v) => sum + v, 0) / channels;
      const colour = isInput ? (channels === 3 ? share.map((s) => 255 * s) : ink) : mean < 0 ? negative : positive;
      const strength = isInput ? (channels === 3 ? 1 : share[0]) : Math.sqrt(Math.min(1, Math.abs(mean) / (most || 1)));
      image.data.set([...colour, 255 * strength], 4 * i);
    }
    context.putImageData(image, 0, 0);
    return canvas.toDataURL();
  }

  // Where all of it lies in a drawing of some width.
  function places(layers, names, width) {
    const most = Math.max(...layers.map(({ n, shape }) => (shape.length ? 1 : n)));
    const hasPictures = layers[0].shape.length > 0;
    const spacing = Math.min(44, Math.max(hasPictures && width > 600 ? 30 : 24, 260 / most));
    const height = TOP + Math.max(most * spacing, 120) + 12;
    const radius = Math.min(9, spacing * 0.36, width / layers.length / 6);
    const input = hasPictures ? Math.min(120, width / 5, (0.6 * width) / layers.length) : 0;
    const left = input ? input / 2 + 2 : 3 * radius + 8;
    const right = names.length ? Math.min(110, width / 4) : 4 * radius + 24;
    const x = layers.map((_, i) => (layers.length === 1 ? width / 2 : left + ((width - left - right) * i) / (layers.length - 1)));
    const middle = (TOP + height) / 2;
    const y = (layer, i) => middle + (i - (layer.n - 1) / 2) * spacing;
    return { height, input, middle, radius, small: Math.min(spacing - 3, 40), spacing, width, x, y };
  }

  function edges(svg, layer, before, from, to, at) {
    const group = made("g", { class: "edges" }, svg);
    const lines = [];
    for (let j = 0; j < layer.n; j++) {
      if (before.shape.length) {
        const x = at.x[to] - at.radius - at.small - 5;
        const y = at.y(layer, j) - at.small / 2;
        made("line", { class: "edge plain", x1: at.x[from] + at.input / 2, y1: at.middle, x2: x, y2: y + at.small / 2 }, group);
        made("rect", { class: "frame", x, y, width: at.small, height: at.small }, group);
        lines.push(made("image", { x, y, width: at.small, height: at.small, preserveAspectRatio: "xMidYMid" }, group));
        continue;
      }
      for (let k = 0; k < before.n; k++) {
        const ends = { x1: at.x[from] + 3.2 * at.radius, y1: at.y(before, k), x2: at.x[to] - at.radius, y2: at.y(layer, j) };
        lines.push(made("line", { class: "edge plain", ...ends }, group));
      }
    }
    return { group, lines };
  }

  function neuron(svg, layer, i, x, at, name) {
    const y = at.y(layer, i);
    const group = made("g", { class: "neuron" }, svg);
    const title = made("title", {}, group);
    made("circle", { class: "outline", cx: x, cy: y, r: at.radius }, group);
    const activation = made("circle", { class: "activation", cx: x, cy: y, r: at.radius - 0.5 }, group);
    const delta = made("circle", { class: "delta", cx: x + 2.1 * at.radius, cy: y, r: 0 }, group);
    const label = name ? made("text", { x: x + 3.6 * at.radius, y: y + 4 }, svg, name) : null;
    return { activation, delta, group, label, title };
  }

  // An empty drawing, and what fills it.
  function drawing(host, layers, names) {
    const at = places(layers, names, Math.max(WIDTH * layers.length, host.clientWidth || 900));
    const svg = made("svg", { width: at.width, height: at.height, viewBox: `0 0 ${at.width} ${at.height}`, role: "img" }, host);
    const between = layers.map((layer, i) =>
      layer.weights && layer.number === layers[i - 1].number + 1 ? edges(svg, layer, layers[i - 1], i - 1, i, at) : null);
    const drawn = layers.map((layer, i) => {
      const isLast = i === layers.length - 1;
      const anchor = { x: at.x[i] + (layer.shape.length ? 0 : at.radius), y: 14 };
      made("text", { class: "title", ...anchor }, svg, layer.number === 1 ? "input" : `layer ${layer.number}`);
      if (layer.n < layer.size) made("text", { class: "few", ...anchor, y: 28 }, svg, `${layer.n} of ${layer.size}`);
      if (!layer.shape.length) return Array.from({ length: layer.n }, (_, j) => neuron(svg, layer, j, at.x[i], at, isLast ? [...(names[j] ?? "")].slice(0, 14).join("") : ""));
      const corner = { x: at.x[i] - at.input / 2, y: at.middle - at.input / 2, width: at.input, height: at.input };
      made("rect", { class: "frame", ...corner }, svg);
      if (!layer.activations && at.input > 75) made("text", { class: "few", x: at.x[i], y: at.middle + 4 }, svg, "not recorded");
      return made("image", { ...corner, preserveAspectRatio: "xMidYMid" }, svg);
    });
    return { at, between, drawn, layers, names, svg };
  }

  function fillLayer({ at, drawn, layers, names }, i, { activations, deltas, now, most }) {
    const layer = layers[i];
    if (layer.shape.length) {
      if (activations) drawn[i].setAttribute("href", picture(activations, layer.shape, 1, true));
      else drawn[i].removeAttribute("href");
      return;
    }
    const answer = activations && i === layers.length - 1 && layer.n > 1 ? activations.indexOf(Math.max(...activations)) : -1;
    drawn[i].forEach(({ activation, delta, group, label, title }, j) => {
      const [a, d] = [activations?.[j], deltas?.[j]];
      const unknown = [a, d].some((value) => value !== undefined && !Number.isFinite(value));
      group.setAttribute("class", `neuron${now ? " now" : ""}${unknown ? " unknown" : ""}`);
      set(activation, { class: `activation ${signOf(a)}`, "fill-opacity": Number.isFinite(a) ? Math.abs(a) / (most.activations || 1) : 0 });
      set(delta, { class: `delta ${signOf(d)}`, r: Number.isFinite(d) ? at.radius * Math.sqrt(Math.abs(d) / (most.deltas || 1)) : 0 });
      label?.setAttribute("class", j === answer ? "answer" : "");
      const name = i === layers.length - 1 && ![undefined, String(layer.neurons[j])].includes(names[j]) ? ` (${names[j]})` : "";
      title.textContent = [`neuron ${layer.neurons[j]} of layer ${layer.number}${name}`,
        ...(a === undefined ? [] : [`a ${short(a)}`]), ...(d === undefined ? [] : [`δ ${short(d)}`])].join("\n");
    });
  }

  // Lines, or pictures, of numbers that stand as weights do: (neuron, input), or none.
  function fillBetween({ between, layers }, i, values, most, faint) {
    if (!between[i]) return;
    const { group, lines } = between[i];
    group.setAttribute("class", `edges${faint ? " faint" : ""}`);
    const { shape, n } = layers[i - 1];
    lines.forEach((line, place) => {
      if (shape.length) {
        if (values) line.setAttribute("href", picture(values.subarray(place * n, (place + 1) * n), shape, most, false));
        else line.removeAttribute("href");
        return;
      }
      const value = values ? values[place] : NaN;
      const share = Math.min(1, Math.abs(value) / (most || 1));
      if (Number.isFinite(value)) set(line, { class: `edge ${signOf(value)}`, "stroke-width": (0.3 + 3 * share).toFixed(2), "stroke-opacity": (0.05 + 0.9 * Math.sqrt(share)).toFixed(3) });
      else { line.setAttribute("class", "edge plain"); line.removeAttribute("stroke-width"); line.removeAttribute("stroke-opacity"); }
    });
  }

  return { drawing, fillBetween, fillLayer, short };
})();

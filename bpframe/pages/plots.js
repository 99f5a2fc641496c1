// What the scripts of all pages share: texts, the theme, and drawing with plotly.js.
//
// Data go into a page as text only: by textContent in the DOM, and through escaped() in plotly.
"use strict";
const Page = (() => {
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  const darkScheme = matchMedia("(prefers-color-scheme: dark)");
  let theme = {};

  // Plotly would read tags, entities and, between dollar signs, mathematics.
  const escaped = (text) =>
    String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/[$]/g, "&#36;");
  const spaced = (name) => name.replaceAll("_", " ");
  const short = (value) => {
    if (value === null) return "none";
    const rounded = Number(value.toPrecision(4));
    return Math.abs(rounded) >= 1e6 ? rounded.toExponential() : String(rounded);
  };
  const colour = (name) => theme[name];
  const finite = (values) => values.filter((value) => value !== null && value !== undefined);
  const extent = (values) =>
    finite(values).reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);

  function element(name, text, attributes = {}) {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  const dark = () => darkScheme.matches && !root.classList.contains("printing");

  // Okabe and Ito's colours, which readers of all kinds of colour vision tell apart.
  const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
  const DARK = ["#56b4e9", "#ff9e4a", "#2fc79b", "#e3a3c6", "#f0c94a", "#8fd0ff"];
  const distinct = () => (dark() ? DARK : LIGHT);
  const faint = (hex) => `${hex}33`;

  function show(plot, traces, layout) {
    const axis = { gridcolor: colour("rule"), linecolor: colour("rule"), zeroline: false, automargin: true };
    const common = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
      font: { color: colour("ink"), family: theme.family, size: 12 },
      hoverlabel: { align: "left", bgcolor: colour("raised"), bordercolor: colour("rule"), font: { color: colour("ink"), family: theme.family } },
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      margin: { l: 60, r: 12, t: 10, b: 45 },
    };
    const axes = { xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis } };
    Plotly.react(plot, traces, { ...common, ...layout, ...axes }, { displayModeBar: false, responsive: true });
  }

  // Read once a drawing: each reading lays the page out anew where something was drawn since.
  function readTheme() {
    const style = getComputedStyle(root);
    const names = ["paper", "raised", "ink", "soft", "rule", "accent", "link"];
    theme = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    theme.family = getComputedStyle(document.body).fontFamily;
  }

  // Draws anew when the theme changes, and in light colours on paper.
  function startDrawing(draw) {
    const printing = (on) => {
      root.classList.toggle("printing", on);
      if (darkScheme.matches) draw();
    };
    darkScheme.addEventListener("change", draw);
    addEventListener("beforeprint", () => printing(true));
    addEventListener("afterprint", () => printing(false));
  }

  return { byId, colour, dark, distinct, element, escaped, extent, faint, finite, readTheme, root, short, show, spaced, startDrawing };
})();

// The controls of the view of the network: buttons, the slider, lists, and the table of numbers.
const NetworkControls = (() => {
  const { element, spaced } = Page;

  function labelled(text, control) {
    const label = element("label", text);
    label.append(control);
    return label;
  }

  function choice(options) {
    const select = element("select", "");
    for (const [value, text] of options) select.append(element("option", text, { value }));
    return select;
  }

  function numbers(found) {
    const head = element("tr", "");
    for (const text of ["layer", "neuron", "activation", "delta"]) head.append(element("th", text, { scope: "col" }));
    const table = element("table", "");
    table.append(element("thead", ""), found.body);
    table.firstChild.append(head);
    const scroller = element("div", "", { class: "scroller", tabindex: 0, role: "region", "aria-label": "numbers at this time" });
    scroller.append(table);
    found.numbers.append(element("summary", "The numbers at this time"), scroller);
  }

  // Put the controls into their host; each by its name, for who listens to them.
  function build(host, told) {
    const button = (text, attributes) => element("button", text, { type: "button", ...attributes });
    const last = told.steps.length - 1;
    const slider = element("input", "", { type: "range", min: 0, max: last, value: 0, step: 1, "aria-label": "recorded time" });
    const found = {
      back: button("‹", { "aria-label": "step back" }), play: button("Play", { class: "play" }), on: button("›", { "aria-label": "step on" }),
      slider, time: element("span", "", { class: "time" }),
      each: choice([["equations", "equation by equation"], ["times", "time by time"]]),
      example: choice(told.examples.map((n, i) => [i, `${spaced(told.over)} ${n}`])),
      anew: element("input", "", { type: "checkbox" }), said: element("p", "", { class: "said" }),
      numbers: element("details", ""), body: element("tbody", ""),
    };
    const row = element("div", "", { class: "controls" });
    const more = element("div", "", { class: "controls" });
    row.append(found.back, found.play, found.on, slider, found.time);
    more.append(labelled("play ", found.each), ...(told.examples.length ? [labelled("example ", found.example)] : []));
    const scale = element("label", "");
    scale.append(found.anew, " sizes anew at each time");
    more.append(scale);
    numbers(found);
    host.prepend(row, more);
    host.append(found.said, found.numbers);
    return found;
  }

  return { build };
})();

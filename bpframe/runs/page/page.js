// Draws the curves of a run with plotly.js, each when it comes into sight.
(() => {
  const { byId, colour, distinct, escaped, extent, faint, finite, readTheme, root, show, startDrawing } = Page;
  const { figures, best } = JSON.parse(byId("report-data").textContent);
  const DASHES = ["solid", "dash", "dot", "dashdot"];
  const plots = [...document.querySelectorAll(".plot")];
  const drawn = new Set();

  const lineOf = (i) => {
    const colours = distinct();
    return { color: colours[i % colours.length], dash: DASHES[Math.floor(i / colours.length) % DASHES.length], width: 1.8 };
  };

  function curves({ series, unit, title }, type) {
    const hover = `%{fullData.name}<br>epoch %{x}: %{y:.4g}${unit === "%" ? " %" : escaped(unit && ` ${unit}`)}<extra></extra>`;
    const positive = (values) => (type === "log" ? values.map((v) => (v > 0 ? v : null)) : values);
    const traces = [];
    series.forEach(({ name, x, y, low, high }, i) => {
      const line = lineOf(i);
      const common = { type: "scatter", x, legendgroup: String(i), name: escaped(name) };
      if (low) {
        const edge = { ...common, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false };
        traces.push({ ...edge, y: positive(low) }, { ...edge, y: positive(high), fill: "tonexty", fillcolor: faint(line.color) });
      }
      const shown = positive(y);
      const mode = finite(shown).length < 2 ? "markers" : "lines";
      traces.push({ ...common, y: shown, mode, line, hovertemplate: hover });
      const at = x.indexOf(best);
      if (at >= 0 && finite([shown[at]]).length) {
        const marker = { color: line.color, size: 9, symbol: "star" };
        traces.push({ ...common, x: [best], y: [shown[at]], mode: "markers", marker, showlegend: false,
          hovertemplate: `best epoch %{x}<br>%{y:.4g}<extra></extra>` });
      }
    });
    return traces;
  }

  function layoutOf({ series, unit, title }, type) {
    const [first, most] = extent(series.flatMap(({ x }) => extent(x)));
    const last = Math.max(first + 1, most);
    const ranges = { "%": { rangemode: "tozero", ...(series.flatMap(({ y }) => finite(y)).every((v) => v === 0) ? { range: [0, 1] } : {}) }, degrees: { rangemode: "tozero", dtick: 30 } };
    const shapes = Number.isInteger(best)
      ? [{ type: "line", x0: best, x1: best, yref: "paper", y0: 0, y1: 1, line: { color: colour("soft"), width: 1, dash: "dot" } }] : [];
    if (unit === "degrees") shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: 90, y1: 90, line: { color: colour("rule"), width: 1 } });
    return {
      shapes, showlegend: series.length > 1, legend: { orientation: "h", y: -0.22, font: { size: 11 } },
      xaxis: { title: { text: "epoch", standoff: 4 }, tickformat: "d", showgrid: false,
        range: [first - (last - first) / 60, last + (last - first) / 60], ...(last - first < 12 ? { dtick: 1 } : {}) },
      yaxis: { type, title: { text: escaped(unit || "") }, exponentformat: "e", ...(type === "log" ? { nticks: 8 } : ranges[unit] ?? {}) },
    };
  }

  function bars({ values }, type) {
    const shown = type === "log" ? values.map((v) => (v > 0 ? v : null)) : values;
    return [{ type: "bar", x: values.map((_, i) => i), y: shown, marker: { color: lineOf(0).color }, hovertemplate: "%{x}: %{y:.4g}<extra></extra>" }];
  }

  function draw(plot) {
    const figure = figures[plot.dataset.figure];
    const box = plot.parentElement.querySelector("input");
    const type = box?.checked ? "log" : "linear";
    if (figure.values) show(plot, bars(figure, type), { yaxis: { type, exponentformat: "e" } });
    else show(plot, curves(figure, type), layoutOf(figure, type));
    drawn.add(plot);
  }

  function start() {
    root.classList.add("enhanced");
    readTheme();
    const watcher = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        watcher.unobserve(target);
        draw(target);
      }
    }, { rootMargin: "400px" });
    for (const plot of plots) {
      plot.parentElement.querySelector("input")?.addEventListener("change", () => draw(plot));
      watcher.observe(plot);
    }
    startDrawing(() => {
      readTheme();
      drawn.forEach(draw);
    });
    addEventListener("beforeprint", () => {
      plots.filter((plot) => !drawn.has(plot)).forEach(draw);
      for (const details of document.querySelectorAll("details")) details.open = true;
    });
  }

  start();
})();

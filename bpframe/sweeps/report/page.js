// The page of a sweep: what stands in it is made to work together.
(() => {
  const { byId, readTheme, root, startDrawing } = Page;

  function drawRuns() {
    for (const each of document.querySelectorAll(".drawn-note")) {
      each.textContent = Lines.note();
      each.hidden = !Lines.note();
    }
    Colours.drawLegends();
    Curves.draw();
    Parallel.draw();
  }

  function draw() {
    readTheme();
    drawRuns();
    Effects.draw();
  }

  function start() {
    root.classList.add("enhanced");
    Table.enhance();
    Colours.fill(byId("colour"));
    Curves.start();
    Effects.start();
    Table.filter();
    draw();
    let waiting;
    byId("filter").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { Table.filter(); drawRuns(); }, 150);
    });
    byId("colour").addEventListener("change", () => { Colours.choose(); drawRuns(); });
    for (const plot of [byId("curves"), byId("parallel")]) {
      plot.on("plotly_click", ({ points }) => Table.choose(points[0].customdata));
    }
    startDrawing(draw);
  }

  start();
})();

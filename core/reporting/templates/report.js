(async () => {
  const data = held("data");
  const drawn = [];
  let Plotly;
  try {
    Plotly = await plotly();
  } catch (error) {
    document.body.classList.add("bare");
    document.querySelectorAll(".charts").forEach((each) => each.remove());
    return;
  }

  const STYLE = {
    train: ["--c1", "solid", "circle"], valid: ["--c2", "solid", "square"], test: ["--c3", "dash", "diamond"],
  };
  const traces = (chart) => chart.lines.map((line) => {
    const [name, dash, symbol] = STYLE[line.split];
    const few = line.x.length <= 30;
    return {
      x: line.x, y: line.y, name: SPLITS[line.split], type: "scatter",
      mode: few ? "lines+markers" : "lines", line: { color: colour(name), width: 2, dash },
      marker: { size: 5, symbol }, hovertemplate: "%{y:.5g}",
    };
  });

  for (const chart of data.charts) {
    const place = $(chart.id);
    await Plotly.newPlot(place, traces(chart), layout(chart.log, {}, whole(chart.lines)), SETTINGS);
    drawn.push([place, chart]);
    const box = place.parentElement.querySelector("input");
    if (!canBeLog(chart.lines)) box.parentElement.hidden = true;
    box.addEventListener("change", () => {
      Plotly.relayout(place, { "yaxis.type": box.checked ? "log" : "linear", "yaxis.autorange": true });
    });
    await new Promise((go) => setTimeout(go));  // let the page answer between two charts
  }
  const bars = $("phases");
  const phases = data.phases;
  const wait = (seconds) => seconds >= 1 ? `${seconds.toPrecision(3)} s` : `${(1000 * seconds).toPrecision(3)} ms`;
  const bar = () => [{
    type: "bar", orientation: "h", y: phases.map((p) => p.name), x: phases.map((p) => p.seconds),
    text: phases.map((p) => `${wait(p.seconds)}, ${(100 * p.share).toFixed(p.share < 0.1 ? 1 : 0)} %`),
    textposition: "outside", cliponaxis: false, hoverinfo: "skip",
    marker: { color: colour("--c1") }, textfont: { color: colour("--soft") },
  }];
  const barLayout = () => layout(false, {
    margin: { l: 10, r: 20, t: 4, b: 36 }, hovermode: false, bargap: 0.4, dragmode: false,
    xaxis: { title: { text: "seconds", font: { size: 12 }, standoff: 6 }, automargin: true, zeroline: false, showgrid: true, fixedrange: true, nticks: 5, range: [0, (innerWidth < 600 ? 1.8 : 1.35) * Math.max(...phases.map((p) => p.seconds), 1e-9)] },
    yaxis: { autorange: "reversed", automargin: true, fixedrange: true, ticksuffix: "  " },
  });
  if (bars) await Plotly.newPlot(bars, bar(), barLayout(), SETTINGS);

  const again = () => {
    for (const [place, chart] of drawn) {
      const type = place.layout.yaxis.type;
      Plotly.react(place, traces(chart), layout(type === "log", {}, whole(chart.lines)), SETTINGS);
    }
    if (bars) Plotly.react(bars, bar(), barLayout(), SETTINGS);
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  matchMedia("print").addEventListener("change", again);
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((each) => { each.open = false; }));
  document.body.dataset.drawn = drawn.length;
})();

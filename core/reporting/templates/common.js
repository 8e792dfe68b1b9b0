"use strict";
const $ = (id) => document.getElementById(id);
const held = (id) => JSON.parse($(id).textContent);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const COLOURS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];
const SPLITS = { train: "training", valid: "validation", test: "test" };
let plotting = null;

// plotly.js lies in the page, compressed; as a script of its own it is allowed by its hash.
function plotly() {
  plotting = plotting || (async () => {
    const bytes = Uint8Array.from(atob($("plotly").textContent.trim()), (c) => c.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(plain).text();
    document.head.append(script);
    if (!window.Plotly) throw new Error("plotly.js did not start");
    return window.Plotly;
  })();
  return plotting;
}

// Epochs are whole: few of them get a tick each.
function whole(lines) {
  const x = lines.flatMap((line) => line.x);
  return Math.max(...x) - Math.min(...x) <= 8 ? { dtick: 1 } : {};
}

function layout(logarithmic, extra, ticks) {
  const axis = { automargin: true, showline: false, zeroline: false, fixedrange: false };
  const about = {
    margin: { l: 46, r: 10, t: 8, b: 36 }, font: { family: "system-ui, sans-serif", size: 12 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "x unified",
    hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--line"), font: { color: colour("--ink"), size: 12 } },
    showlegend: false, dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    xaxis: { ...axis, title: { text: "epoch", font: { size: 12 }, standoff: 6 }, tickformat: ",d", showgrid: false, ...ticks },
    yaxis: { ...axis, type: logarithmic ? "log" : "linear", nticks: 6, tickformat: ".6~g" },
  };
  return { ...about, ...extra };
}

const SETTINGS = { responsive: true, displayModeBar: false, doubleClick: "reset" };

// Whether a logarithmic axis can show all of it.
const canBeLog = (lines) => lines.every((line) => line.y.every((v) => v === null || v > 0));

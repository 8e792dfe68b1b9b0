(() => {
  let data = held("data");
  const chosen = new Set();  // paths of runs
  let sort = { key: "name", down: true };
  let drawing = 0;
  const DASH = { train: "dot", valid: "solid", test: "dash" };
  const MOST = 4;    // columns of figures
  const PANELS = 9;  // charts of a comparison

  const make = (tag, text, attributes = {}) => {
    const made = document.createElement(tag);
    if (text !== undefined && text !== null) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) if (value) made.setAttribute(key, value);
    return made;
  };
  const figure = (value) => {
    if (value === undefined || value === null) return "–";
    if (Number.isInteger(value)) return String(value);
    const small = value !== 0 && Math.abs(value) < 1e-4;
    return (small ? value.toExponential(3) : String(Number(value.toPrecision(5)))).replaceAll("-", "\u2212");
  };
  const span = (s) => s === null ? "" : s < 60 ? `${s.toFixed(1)} s` : s < 3600 ? `${Math.floor(s / 60)} min ${Math.round(s % 60)} s` : `${Math.floor(s / 3600)} h ${Math.round(s % 3600 / 60)} min`;
  const lower = (run) => run.hay || (run.hay = [run.name, run.task, run.status, run.path, `seed=${run.seed}`,
    ...Object.entries(run.config).map(([k, v]) => `${k}=${v}`)].join("\n").toLowerCase());

  const fixed = [
    { key: "name", title: "run", get: (r) => r.name },
    { key: "task", title: "task", get: (r) => r.task },
    { key: "status", title: "status", get: (r) => r.status },
    { key: "seconds", title: "time", get: (r) => r.seconds, number: true },
    { key: "epochs", title: "epochs", get: (r) => r.epochs, number: true },
  ];

  // Figures of most of the runs that are shown, those that tell which is better before others.
  function figures(runs) {
    const counts = new Map();
    for (const run of runs) for (const key of Object.keys(run.metrics)) counts.set(key, (counts.get(key) || 0) + 1);
    const rank = (key) => (key.startsWith("test_") ? 0 : key.startsWith("valid_") ? 1 : 2) + (key in data.better ? 0 : 3);
    return [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || rank(a) - rank(b)).slice(0, MOST)
      .map((key) => ({ key: `figure ${key}`, title: key.replaceAll("_", " "), get: (r) => r.metrics[key], number: true, figure: true }));
  }

  // Runs of the chosen task have a row each; the filter only hides rows.
  const ofTask = () => data.runs.filter((run) => !$("task").value || run.task === $("task").value);
  let rows = [];  // pairs of a run and its row, in the order of the table

  function filter() {
    const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const [run, row] of rows) {
      const fits = words.every((word) => lower(run).includes(word));
      if (row.hidden === fits) row.hidden = !fits;
      count += fits;
    }
    const damaged = data.runs.filter((run) => run.status === "damaged").length;
    $("empty").hidden = count > 0;
    $("count").textContent = (count === data.runs.length ? `${count} runs` : `${count} of ${data.runs.length} runs`) + (damaged ? `, ${damaged} damaged` : "");
  }

  function ordered(runs, columns) {
    const column = columns.find((each) => each.key === sort.key) || fixed[0];
    const way = sort.down ? -1 : 1;
    const missing = (v) => v === undefined || v === null || v === "";
    return runs.map((run) => [column.get(run), run]).sort(([a], [b]) => {
      if (missing(a) || missing(b)) return missing(a) - missing(b);  // always last
      return way * (typeof a === "number" ? a - b : a < b ? -1 : a > b ? 1 : 0);
    }).map(([, run]) => run);
  }

  function table() {
    const runs = ofTask();
    const columns = [...fixed, ...figures(runs)];
    const heads = make("tr");
    heads.append(make("td"));
    for (const column of columns) {
      const on = column.key === sort.key;
      const head = make("th", null, { scope: "col", class: column.number && "n", "aria-sort": on && (sort.down ? "descending" : "ascending") });
      const button = make("button", column.title, { type: "button" });
      button.addEventListener("click", () => {
        sort = { key: column.key, down: sort.key === column.key ? !sort.down : !!column.number };
        for (const other of heads.querySelectorAll("th")) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
        order(columns);
      });
      head.append(button);
      heads.append(head);
    }
    $("runs").tHead.replaceChildren(heads);
    rows = runs.map((run) => [run, line(run, columns)]);
    order(columns);
    filter();
  }

  function order(columns) {
    const place = new Map(ordered(rows.map(([run]) => run), columns).map((run, i) => [run, i]));
    rows.sort(([a], [b]) => place.get(a) - place.get(b));
    $("runs").tBodies[0].replaceChildren(...rows.map(([, row]) => row));
  }

  function line(run, columns) {
    const row = make("tr", null, { class: chosen.has(run.path) && "chosen" });
    const box = make("input", null, { type: "checkbox", "aria-label": `Compare ${run.name}` });
    box.checked = chosen.has(run.path);
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(run.path); else chosen.delete(run.path);
      row.classList.toggle("chosen", box.checked);
      compare();
    });
    const pick = make("td", null, { class: "pick" });
    pick.append(box);
    row.append(pick);
    for (const column of columns) {
      const cell = make("td", null, { class: column.number && "n" });
      if (column.key === "name") cell.append(run.href ? make("a", run.name, { href: run.href }) : run.name);
      else if (column.key === "status") {
        cell.append(make("span", run.status, { class: `state ${run.status}` }));
        if (run.problems.length) cell.append(make("div", run.problems.join("; "), { class: "why" }));
      } else if (column.key === "seconds") cell.textContent = span(run.seconds);
      else cell.textContent = column.number ? figure(column.get(run)) : column.get(run);
      row.append(cell);
    }
    return row;
  }

  function grid(title, keys, runs, cell, named = (key) => key) {
    const box = document.createDocumentFragment();
    if (!keys.length) return box;
    box.append(make("h3", title));
    const scroll = make("div", null, { class: "scroll" });
    const made = make("table");
    const head = make("tr");
    head.append(make("th"));
    runs.forEach((run, i) => {
      const th = make("th", null, { class: "n", scope: "col" });
      const swatch = make("span", null, { class: "swatch" });
      swatch.style.background = shade(i, runs.length);
      th.append(swatch, run.name.split("-").pop());
      th.title = run.name;
      head.append(th);
    });
    const body = make("tbody");
    for (const key of keys) {
      const row = make("tr");
      row.append(make("th", named(key), { scope: "row" }));
      const cells = cell(key);
      cells.forEach(({ text, best }) => row.append(make("td", text, { class: best ? "n best" : "n" })));
      body.append(row);
    }
    const top = make("thead");
    top.append(head);
    made.append(top, body);
    scroll.append(made);
    box.append(scroll);
    return box;
  }

  const shade = (i, n) => n <= COLOURS.length ? colour(COLOURS[i]) : `hsl(${Math.round(210 + 300 * i / n) % 360} 60% ${45 + 15 * (i % 3 - 1)}%)`;

  function compare() {
    const runs = data.runs.filter((run) => chosen.has(run.path));
    const enough = runs.length > 1;
    $("none").hidden = !runs.length;
    $("comparison").hidden = !enough;
    $("invite").hidden = enough;
    const turn = ++drawing;
    if (!enough) return;
    $("compared").textContent = `${runs.length} runs: ${[...new Set(runs.map((run) => run.task))].join(", ")}`;
    const keys = (of) => [...new Set(runs.flatMap((run) => Object.keys(of(run))))];
    const configs = runs.map((run) => ({ ...run.config, "run.seed": run.seed }));
    const differing = [...new Set(configs.flatMap(Object.keys))].filter((key) => new Set(configs.map((c) => c[key])).size > 1);
    $("differ").replaceChildren(differing.length ? grid("Options that differ", differing, runs, (key) => configs.map((c) => ({ text: c[key] ?? "–" }))) : make("p", "No option differs."));
    $("metrics").replaceChildren(grid("Figures", keys((run) => run.metrics), runs, (key) => {
      const values = runs.map((run) => run.metrics[key]);
      const known = values.filter((v) => v !== undefined);
      const best = key in data.better && new Set(known).size > 1 ? (data.better[key] ? Math.max(...known) : Math.min(...known)) : null;
      return values.map((v) => ({ text: figure(v), best: best !== null && v === best }));
    }, (key) => key.replaceAll("_", " ")));
    setTimeout(() => curves(runs, turn), 30);  // what was clicked is answered first
  }

  async function curves(runs, turn) {
    const panels = new Map();
    runs.forEach((run, i) => {
      for (const [key, [x, y]] of Object.entries(run.curves)) {
        const at = key.lastIndexOf("/");
        const name = key.slice(0, at), split = key.slice(at + 1);
        if (!panels.has(name)) panels.set(name, { who: new Set(), lines: [] });
        const panel = panels.get(name);
        panel.who.add(i);
        panel.held = panel.held || split === "valid";
        panel.lines.push({ i, split, x, y, name: `${run.name.split("-").pop()} ${SPLITS[split]}` });
      }
    });
    const rank = (name) => name === "loss" ? 0 : name === "accuracy" ? 1 : 2;
    const shown = [...panels].filter(([, panel]) => panel.who.size > 1)
      .sort(([a, p], [b, q]) => rank(a) - rank(b) || q.who.size - p.who.size || q.lines.length - p.lines.length).slice(0, PANELS);
    const old = new Map([...$("charts").children].map((box) => [box.dataset.name, box]));
    const boxes = shown.map(([name]) => {
      const box = old.get(name) || make("div", null, { class: "chart" });
      if (!old.has(name)) {
        box.dataset.name = name;
        box.append(make("h3", name.replaceAll("_", " ")), make("div", null, { class: "draw" }));
      }
      return box;
    });
    $("curves-title").hidden = $("curves-hint").hidden = !shown.length;
    $("charts").replaceChildren(...boxes);
    let Plotly;
    try { Plotly = await plotly(); } catch (error) { return; }
    for (const [place, [, panel]] of shown.entries()) {
      if (turn !== drawing) return;  // another selection has come
      const traces = panel.lines.map((line) => ({
        x: line.x, y: line.y, name: line.name, type: "scatter", mode: line.x.length === 1 ? "markers" : "lines",
        line: { color: shade(line.i, runs.length), width: line.split === "train" ? 1.3 : 2, dash: panel.lines.length === panel.who.size || (line.split === "test" && !panel.held) ? "solid" : DASH[line.split] },
        marker: { color: shade(line.i, runs.length) }, hovertemplate: "%{y:.5g}",
      }));
      await Plotly.react(boxes[place].lastChild, traces, layout(false, {}, whole(panel.lines)), SETTINGS);
      await new Promise((go) => setTimeout(go));
    }
    document.body.dataset.drawn = turn;
  }

  function tasks() {
    const now = $("task").value;
    const names = [...new Set(data.runs.map((run) => run.task))].sort();
    const options = names.map((name) => { const made = make("option", name); made.value = name; return made; });
    $("task").replaceChildren($("task").options[0], ...options);
    $("task").value = names.includes(now) ? now : "";
  }

  $("filter").addEventListener("input", filter);
  $("task").addEventListener("change", table);
  $("none").addEventListener("click", () => { chosen.clear(); table(); compare(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", compare);
  tasks();
  table();
  document.body.dataset.drawn = "0";
  setTimeout(() => plotly().catch(() => {}), 300);  // ready when the first two runs are ticked

  if (data.live) {
    let tag = "";
    const ask = async () => {
      try {
        const answer = await fetch("data.json", { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
        if (answer.status === 200) {
          tag = answer.headers.get("ETag") || "";
          data = await answer.json();
          tasks();
          table();
          compare();
        }
        $("pulse").textContent = "· live";
      } catch (error) {
        $("pulse").textContent = "· the server has stopped";
      }
      setTimeout(ask, 2000);
    };
    ask();
  }
})();

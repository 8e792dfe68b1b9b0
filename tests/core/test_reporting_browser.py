"""Tests of reports and boards in a real browser: nothing broken, nothing wide, nothing injected.

Skipped where Chromium is not installed. Holds no test of what the numbers are.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import threading
from pathlib import Path

import pytest

import dope
from dope.core.plugging.discovery import discover
from dope.core.reporting.serving import Server
from dope.core.rundir import RunDirectory

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER and importlib.util.find_spec("selenium")),
    reason="Chromium, chromedriver or selenium is not installed",
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
EVIL = "</script><script>window.hit=1</script><img src=x onerror='window.hit=1'>\"'&lt;{{7*7}}<!--"

LOOK = """
const done = arguments[0];
(async () => {
  const began = performance.now(), body = document.body;
  const ready = () => body.dataset.drawn || body.classList.contains("bare");
  while (!ready() && performance.now() - began < 20000)
    await new Promise((go) => setTimeout(go, 20));
  const images = [...document.images];
  await Promise.all(images.map((each) => each.decode().catch(() => {})));
  const links = [...document.querySelectorAll('a[href^="#"]')];
  done({
    drawn: body.dataset.drawn, bare: body.classList.contains("bare"), hit: window.hit || 0,
    over: document.documentElement.scrollWidth - innerWidth,
    images: images.length, broken: images.filter((each) => !each.naturalWidth).length,
    dead: links.filter((a) => !document.getElementById(a.getAttribute("href").slice(1))).length,
    links: links.length, text: body.innerText, alerts: window.hit || 0,
  });
})();
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = CHROMIUM
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('browser')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(DRIVER))
    made.set_script_timeout(60)
    yield made
    made.quit()


def look(browser, url: str, width: int, dark: bool = False) -> dict:
    """Open a page at a width, wait until it is drawn, and say what can be said of any page."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get_log("browser")
    browser.get(url)
    found = browser.execute_async_script(LOOK)
    found["log"] = browser.get_log("browser")
    return found


def sound(found: dict) -> None:
    assert found["log"] == []
    assert not found["bare"] and found["drawn"] is not None
    assert found["over"] <= 0, "wider than the window"
    assert found["broken"] == 0 and found["dead"] == 0 and found["hit"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("task", [entry.name for entry in discover().entries("task")])
def test_the_report_of_every_task(browser, task, tmp_path):
    run = dope.run(task, profile="tiny", runs=tmp_path)
    path = dope.report(run.path)
    assert path.stat().st_size < 5_200_000
    plots = [each for each in (run.path / "plots").glob("*.png") if each.stem != "curves"]
    for width, dark in ((1280, False), (1280, True), (390, False), (390, True)):
        found = look(browser, path.as_uri(), width, dark)
        sound(found)
        assert found["images"] >= len(plots)
    captions = browser.execute_script(
        "return [...document.querySelectorAll('.plots figcaption')].map((e) => e.innerText)"
    )
    assert len(captions) == len(plots)
    for caption in captions:
        assert len(caption) > 40, caption


def evil_run(root) -> RunDirectory:
    """A run whose names, options, log and texts are markup."""
    run = RunDirectory.at(root / "<b>task" / "20260101-000000-<img src=x onerror=hit()>")
    sections = {"task": {"name": EVIL.replace("/", "")}, "model": {"name": EVIL, EVIL: EVIL}}
    run.write_text("config.yaml", json.dumps(sections))
    for epoch in (1, 2):
        run.add_metrics({"epoch": epoch, "step": epoch, "loss": 1.0 / epoch, EVIL: 2.0 * epoch})
    run.log(f"warning: {EVIL}")
    (run.path / "samples" / "epoch-0001.txt").write_text(EVIL, encoding="utf-8")
    metrics = {EVIL: 1.0, "baselines": {EVIL: {EVIL: 2.0}}}
    run.write_json(
        "result.json",
        {"status": "done", "metrics": metrics, "settings": {"seed": EVIL}, "stopped": EVIL,
         "started": EVIL, "environment": {EVIL: EVIL}, "captions": {EVIL: EVIL}},
    )  # fmt: skip
    return run


def test_markup_is_shown_as_text(browser, tmp_path):
    run = evil_run(tmp_path)
    found = look(browser, dope.report(run.path).as_uri(), 1280)
    sound(found)
    assert "<script>window.hit=1</script>" in found["text"] and "{{7*7}}" in found["text"]
    evil_run(tmp_path / "more")
    (tmp_path / "more" / "<b>task").rename(tmp_path / "<i>task")
    (tmp_path / "more").rmdir()
    found = look(browser, dope.board(tmp_path).as_uri(), 390)
    sound(found)
    assert "<img src=x onerror=hit()>" in found["text"]
    chosen = browser.execute_async_script(SELECT, 2)
    assert chosen["hit"] == 0 and "<script>window.hit=1</script>" in chosen["text"]
    assert browser.get_log("browser") == []


SELECT = """
const [count, done] = arguments;
(async () => {
  const boxes = [...document.querySelectorAll("#runs input[type=checkbox]")].slice(0, count);
  const before = document.body.dataset.drawn;
  boxes.forEach((box) => box.click());
  const began = performance.now();
  while (document.body.dataset.drawn === before && performance.now() - began < 15000)
    await new Promise((go) => setTimeout(go, 20));
  done({
    charts: document.querySelectorAll("#charts .js-plotly-plot").length,
    lines: document.querySelectorAll("#charts .js-plotly-plot .scatterlayer .trace").length,
    text: document.getElementById("comparison").innerText, hit: window.hit || 0,
    over: document.documentElement.scrollWidth - innerWidth,
  });
})();
"""

# Each step is timed from the event to the frame that shows what it led to.
TIME = """
const done = arguments[0];
(async () => {
  const frame = () => new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
  const times = {}, long = [];
  const note = (seen) => seen.getEntries().forEach((each) => long.push(each.duration));
  new PerformanceObserver(note).observe({ type: "longtask" });
  const timed = async (name, act) => {
    await frame();
    const began = performance.now();
    act();
    document.body.offsetHeight;
    await frame();
    times[name] = performance.now() - began;
  };
  const heads = () => [...document.querySelectorAll("#runs th button")];
  const boxes = () => [...document.querySelectorAll("#runs tbody input")];
  const box = document.getElementById("filter");
  const type = (text) => () => { box.value = text; box.dispatchEvent(new Event("input")); };
  await timed("sort", () => heads()[0].click());
  await timed("sort by a figure", () => heads().at(-1).click());
  await timed("filter", type("optimizer.learning_rate=0.01 vision"));
  await timed("clear the filter", type(""));
  await timed("choose", () => boxes()[0].click());
  await new Promise((go) => setTimeout(go, 800));  // plotly.js has been read meanwhile
  for (const n of [1, 2, 3]) {
    await timed(`choose ${n + 1}`, () => boxes()[n].click());
    await new Promise((go) => setTimeout(go, 1200));
  }
  const charts = document.querySelectorAll("#charts .js-plotly-plot").length;
  done({ times, long, rows: boxes().length, charts });
})();
"""


def many_runs(root, count: int) -> None:
    for number in range(count):
        task = ("vision.mlp", "vision.cnn")[number % 2]
        run = RunDirectory.at(root / task / f"20260101-{number:06d}-{number:04x}")
        sections = {
            "task": {"name": task},
            "model": {"name": "vision.mlp", "dropout": number / 1000},
            "optimizer": {"name": "adam", "learning_rate": 10.0 ** -(1 + number % 4)},
            "trainer": {f"option_{i}": i for i in range(30)},
        }
        run.write_text("config.yaml", json.dumps(sections))
        rows = []
        for epoch in range(1, 101):
            loss = (1 + number % 7) / epoch
            row = {"epoch": epoch, "step": epoch, "loss": loss, "valid_loss": loss + 0.1}
            rows.append(
                json.dumps({**row, "accuracy": 1 - loss / 9, "valid_accuracy": 1 - loss / 8})
            )
        (run.path / "metrics.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
        metrics = {"loss": loss, "valid_loss": loss + 0.1, "valid_accuracy": number / 1000}
        run.write_text("result.json", json.dumps({"status": "done", "metrics": metrics}))


def test_a_board_of_200_runs_answers_at_once(browser, tmp_path):
    many_runs(tmp_path, 200)
    path = dope.board(tmp_path)
    for width in (390, 1280):
        sound(look(browser, path.as_uri(), width))
    best: dict[str, float] = {}
    for _ in range(3):  # others may have the machine meanwhile
        look(browser, path.as_uri(), 1280)
        measured = browser.execute_async_script(TIME)
        assert measured["rows"] == 200 and measured["charts"] == 2
        for name, took in measured["times"].items():
            best[name] = min(took, best.get(name, took))
        print(measured)
    assert max(best.values()) < 100, best


def test_chosen_runs_are_compared(browser, tmp_path):
    many_runs(tmp_path, 6)
    sound(look(browser, dope.board(tmp_path).as_uri(), 390))
    found = browser.execute_async_script(SELECT, 3)
    assert found["over"] <= 0
    assert found["charts"] == 2 and found["lines"] == 12  # two quantities, two splits, three runs
    assert "model.dropout" in found["text"] and "option_1" not in found["text"]
    assert browser.get_log("browser") == []


def test_a_served_board_shows_what_is_new(browser, tmp_path):
    many_runs(tmp_path, 2)
    with Server(tmp_path, 0) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            sound(look(browser, server.url, 1280))
            many_runs(tmp_path, 3)
            rows = browser.execute_async_script(
                "const done = arguments[0]; const began = performance.now();"
                "const wait = () => document.querySelectorAll('#runs tbody tr').length === 3"
                " ? done(3) : performance.now() - began > 9000 ? done(0) : setTimeout(wait, 50);"
                "wait();"
            )
            assert rows == 3
            sound(look(browser, f"{server.url}report/vision.mlp/20260101-000000-0000", 390))
        finally:
            server.shutdown()


def test_a_report_can_be_zoomed_and_made_logarithmic_and_printed(browser, tmp_path):
    many_runs(tmp_path, 1)
    [run] = tmp_path.glob("*/*")
    sound(look(browser, dope.report(run).as_uri(), 1280))
    types = browser.execute_async_script(
        "const done = arguments[0]; const chart = document.querySelector('.js-plotly-plot');"
        "const box = chart.parentElement.querySelector('input'), types = [];"
        "const note = () => types.push(chart.layout.yaxis.type); note(); box.click();"
        "setTimeout(() => { note(); const was = chart.layout.xaxis.range.join();"
        "Plotly.relayout(chart, {'xaxis.range': [2, 3]}).then(() => {"
        "types.push(chart.layout.xaxis.range.join() !== was); done(types); }); }, 300)"
    )
    assert types == ["log", "linear", True]  # a loss that spans 100 begins logarithmic
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert len(pdf) > 20_000
    assert browser.get_log("browser") == []
    assert Path(CHROMIUM or "").exists()

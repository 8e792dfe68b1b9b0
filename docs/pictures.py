"""Makes the README's pictures of a report and of the terminal again, from runs that it makes.

Run as ``python docs/pictures.py``; needs dope[cpu,report], selenium, chromium and chromedriver.
"""

from __future__ import annotations

import base64
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dope
from dope.core.rundir import plain
from dope.core.terminal import present
from dope.core.terminal.progress import Bar

IMAGES = Path(__file__).resolve().parent / "images"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
WIDTH = 96  # columns of the terminal


class Glance(dope.Callback):
    """Print what a bar shows once, in the middle of a run, on another screen."""

    def __init__(self, bar: Bar, screen: Any, epoch: int) -> None:
        self.bar, self.screen, self.epoch = bar, screen, epoch

    def on_step_end(self, trainer: Any) -> None:
        if trainer.epoch == self.epoch and trainer.step == trainer.steps_per_epoch // 2:
            self.bar._refresh(trainer)
            self.screen.print(*self.bar._bar.get_renderables(), sep="")


def terminal(folder: Path) -> str:
    """A run as a terminal shows it, as HTML: its command, the live view, what it says at last."""
    from rich.console import Console

    screen = Console(record=True, file=io.StringIO(), force_terminal=True, width=WIDTH)
    bar = Bar(Console(file=io.StringIO(), force_terminal=True, width=WIDTH))
    screen.print("$ dope run vision.cnn", style="bold", highlight=False)
    run = dope.run("vision.cnn", runs=folder, callbacks=[bar, Glance(bar, screen, 9)])
    lines = [present.figures(plain(run.metrics)), ""]
    epochs, steps, seconds = (run.result[key] for key in ("epochs", "steps", "seconds"))
    lines.append(f"{epochs} epochs, {steps} steps, {seconds:.1f} s")
    lines += present.by_folder(run.directory.files())
    text = "\n".join([*lines, str(run.path)]).replace(str(folder), "runs")
    screen.print("\n" + text, highlight=False)
    return screen.export_html(
        inline_styles=True,
        code_format=(
            "<!doctype html><meta charset=utf-8><body style='margin:0;background:#fff'>"
            "<pre id=all style='display:inline-block;margin:0;padding:18px 22px;color:#1b1f24;"
            "font:14px/1.45 ui-monospace,Menlo,Consolas,monospace'>{code}</pre>"
        ),
    )


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium without a window, with a profile of its own."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    with tempfile.TemporaryDirectory() as profile:
        for flag in [*FLAGS.split(), f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        made = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            yield made
        finally:
            made.quit()


def shot(window: Any, page: Path, target: Path, width: int, height: int) -> None:
    """Open a page, wait until it is drawn, and keep its upper part as a small PNG."""
    from PIL import Image

    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    window.get(page.as_uri())
    window.set_script_timeout(30)
    height = window.execute_async_script(
        "const done = arguments[0]; const wait = () => !document.getElementById('data')"
        " || document.body.dataset.drawn ? setTimeout(() => done(Math.min(arguments[1] || 1e9,"
        " document.getElementById('all')?.offsetHeight || innerHeight)), 400)"
        " : setTimeout(wait, 50); wait();"
    )
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    taken = window.execute_cdp_cmd(
        "Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True}
    )
    image = Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB")
    image.quantize(200, dither=Image.Dither.NONE).save(target, optimize=True)
    print(target, target.stat().st_size)


def main() -> None:
    with tempfile.TemporaryDirectory() as name, browser() as window:
        folder = Path(name)
        run = dope.run("timeseries.issm", runs=folder)
        moved = folder / "runs" / run.config.task
        moved.mkdir(parents=True)
        shutil.move(str(run.path), moved)  # so that the page names no temporary folder
        page = dope.report(moved / run.path.name)
        shot(window, page, IMAGES / "report.png", 1180, 1790)
        page = folder / "terminal.html"
        page.write_text(terminal(folder), encoding="utf-8")
        shot(window, page, IMAGES / "terminal.png", 880, 560)


if __name__ == "__main__":
    main()

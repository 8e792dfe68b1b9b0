"""Callbacks that write a run down for other programs: TensorBoard's event files, and CSV.

Holds what is written when; the formats are tensorboardX's and Python's csv.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from dope.core.callbacks import Callback
from dope.core.reporting import pages
from dope.core.reporting.reading import OWN, SIGNS, number, text_of
from dope.core.rundir import RunDirectory, replacing

if TYPE_CHECKING:
    from dope.core.trainer import Trainer

FOLDER = "tensorboard"
EVERY = 1.0  # seconds between two looks for new rows
SHARE = 0.003  # of the time of training that histograms may take


class Rows(Callback):
    """What both share: each row of ``metrics.jsonl`` is handed on once, as it stands there.

    A callback is told of an epoch before its row is written, since others may still add to it.
    So rows are looked for later, at most once a second, and at the end.
    """

    def on_fit_start(self, trainer: Trainer) -> None:
        self._seen: Any = None
        self._place = 0  # in metrics.jsonl, up to where it was handed on
        self._at = time.monotonic()

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.metrics is not self._seen and time.monotonic() - self._at >= EVERY:
            self._catch_up(trainer)

    def on_fit_end(self, trainer: Trainer, status: str) -> None:
        self._catch_up(trainer)

    def _catch_up(self, trainer: Trainer) -> None:
        self._seen, self._at = trainer.metrics, time.monotonic()
        try:
            with (trainer.run.path / "metrics.jsonl").open("rb") as handle:
                handle.seek(self._place)
                lines = handle.read().splitlines(keepends=True)
        except FileNotFoundError:  # no epoch was done
            return
        self._place += sum(map(len, lines))
        if lines:
            self.add(trainer, [json.loads(line) for line in lines])

    def add(self, trainer: Trainer, rows: list[dict[str, Any]]) -> None:
        """Take rows that are new."""
        raise NotImplementedError


class CSV(Rows):
    """Write ``metrics.csv`` into the run's folder: a row an epoch, a column a metric.

    The file is written anew, and whole, where a column is new; else a row is added.

    Examples
    --------
    >>> import dope
    >>> made = dope.run("vision.softmax", profile="tiny", callbacks=[dope.CSV()])
    >>> print((made.path / "metrics.csv").read_text().splitlines()[0])
    epoch,step,loss,accuracy,test_loss,test_accuracy
    """

    def on_fit_start(self, trainer: Trainer) -> None:
        super().on_fit_start(trainer)
        self._columns: list[str] = []

    def add(self, trainer: Trainer, rows: list[dict[str, Any]]) -> None:
        path = trainer.run.path / "metrics.csv"
        if self._columns and all(key in self._columns for row in rows for key in row):
            with path.open("a", newline="", encoding="utf-8") as handle:
                csv.DictWriter(handle, self._columns).writerows(rows)
            return
        rows = trainer.run.metrics()
        self._columns = list(dict.fromkeys(key for row in rows for key in row))
        with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, self._columns)
            writer.writeheader()
            writer.writerows(rows)


class TensorBoard(Rows):
    """Write event files for TensorBoard into the run's folder, in ``tensorboard/``.

    Scalars are the rows of ``metrics.jsonl``, at the number of steps done. Histograms are of all
    parameters, at evaluations: at all of them while that takes less than 0.3 % of the time, and at
    the last. Samples are written as pictures and texts when they appear; the configuration is a
    text. `finish` adds the plots, which a run makes last.

    Parameters
    ----------
    histograms
        Write histograms; each reads the parameters back from the device.

    Raises
    ------
    DopeError
        tensorboardX is not installed.

    Examples
    --------
    >>> import dope
    >>> board = dope.TensorBoard()
    >>> made = dope.run("vision.softmax", profile="tiny", callbacks=[board])
    >>> board.finish(made.path)
    """

    def __init__(self, *, histograms: bool = True) -> None:
        try:
            import tensorboardX  # noqa: F401
        except ImportError as error:
            raise pages.missing("tensorboardX", "tensorboard") from error
        self.histograms = histograms
        self._writer: Any = None

    def on_fit_start(self, trainer: Trainer) -> None:
        super().on_fit_start(trainer)
        folder = trainer.run.path / FOLDER
        resumed = trainer.total_steps > 0 and any(folder.glob("events.*"))
        rows = trainer.run.path / "metrics.jsonl"
        self._place = rows.stat().st_size if resumed and rows.exists() else 0
        self._files: set[str] = set()
        self._began, self._spent, self._missed = self._at, 0.0, False
        self._open(folder, purge=trainer.total_steps + 1 if resumed else None)
        if not resumed:
            config = trainer.run.path / "config.yaml"
            if config.is_file():
                text = config.read_text(encoding="utf-8", errors="replace")
                self._writer.add_text("config", _verbatim(text), 0)

    def on_evaluation_end(self, trainer: Trainer, metrics: Mapping[str, Any]) -> None:
        began = time.monotonic()
        self._missed = self._spent > SHARE * (began - self._began)
        if self.histograms and not self._missed:
            self._add_histograms(trainer)
            self._spent += time.monotonic() - began

    def _add_histograms(self, trainer: Trainer) -> None:
        for name, values in trainer.engine.networks.state().items():
            if getattr(values, "size", 0) and getattr(values, "dtype", None) is not None:
                self._writer.add_histogram(name, values.reshape(-1), trainer.total_steps)

    def add(self, trainer: Trainer, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            for key, value in row.items():
                if key not in OWN and number(value) is not None:
                    self._writer.add_scalar(key, value, row["step"])
        self._add_files(trainer.run.path, "samples", trainer.total_steps)
        self._writer.flush()

    def on_fit_end(self, trainer: Trainer, status: str) -> None:
        super().on_fit_end(trainer, status)
        if self.histograms and self._missed:
            self._add_histograms(trainer)
        self._last = trainer.total_steps
        self._writer.close()
        self._writer = None

    def finish(self, path: Path) -> None:
        """Add the plots and the final figures of a run that is over."""
        self._open(path / FOLDER)
        result = RunDirectory(path).read_json("result.json") or {}
        metrics = json.dumps(result.get("metrics", {}), indent=2)
        self._writer.add_text("result", _verbatim(metrics), self._last)
        self._add_files(path, "plots", self._last)
        self._writer.close()
        self._writer = None

    def _open(self, folder: Path, purge: Optional[int] = None) -> None:
        from tensorboardX import SummaryWriter

        suffix = f".{time.time_ns()}"  # two files of one second must not be one
        self._writer = SummaryWriter(
            str(folder), purge_step=purge, filename_suffix=suffix, write_to_disk=True
        )

    def _add_files(self, path: Path, folder: str, step: int) -> None:
        """Pictures and texts that were not there before."""
        for file in sorted((path / folder).iterdir()):
            if file.name in self._files or file.suffix not in (".png", ".txt"):
                continue
            self._files.add(file.name)
            if file.suffix == ".txt":
                self._writer.add_text(folder, _verbatim(text_of(file, path, SIGNS)), step)
            else:
                name = folder if folder == "samples" else f"{folder}/{file.stem}"
                self._add_picture(name, file, step)

    def _add_picture(self, name: str, file: Path, step: int) -> None:
        import numpy as np
        from PIL import Image

        try:
            with Image.open(file) as image:
                pixels = np.asarray(image.convert("RGB"))
        except OSError:  # half-written
            return
        self._writer.add_image(name, pixels, step, dataformats="HWC")


def _verbatim(text: str) -> str:
    """As Markdown that shows the text as it is: four spaces make it a block of code."""
    return "\n".join(f"    {line}" for line in pages.clean(text).splitlines())

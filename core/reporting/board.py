"""The board: one page with all runs, and what of each run it holds.

Holds no layout, that is in templates/board.html.j2; serving it is serving.py's matter.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional, Union
from urllib.parse import quote

from dope.core.comparing.runs import larger_is_better
from dope.core.reporting import pages, reading
from dope.core.reporting.page import SPLITS
from dope.core.reporting.reading import Record, number, options, series
from dope.core.rundir import DEFAULT_ROOT

POINTS = 100  # of a curve that the board holds
SERIES = 24  # curves of a run
FIGURES = 60  # final figures of a run
DIGITS = 6
VALUE = 120  # signs of an option's value


def board(
    runs: Union[str, Path] = DEFAULT_ROOT, *, output: Optional[Union[str, Path]] = None
) -> Path:
    """Write one page with all runs: to sort, to filter, and to compare two or more.

    Damaged runs are listed as such. A run's name leads to its report where it has one.

    Parameters
    ----------
    runs
        The folder of all runs.
    output
        The file to write; default ``board.html`` in ``runs``.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    DopeError
        There is no such folder, Jinja2 or Plotly is missing, or the page cannot be written.

    Examples
    --------
    >>> import dope
    >>> made = [dope.run("vision.softmax", profile="tiny", seed=i) for i in (0, 1)]
    >>> dope.board("runs").name
    'board.html'
    """
    path = Path(output) if output else Path(runs) / "board.html"
    found = [
        row(reading.read(folder, name), link(folder, path.parent))
        for name, folder in reading.folders(runs)
    ]
    return pages.write(path, html(runs, found))


def html(root: Union[str, Path], rows: Iterable[Mapping[str, Any]], *, live: bool = False) -> str:
    """The page as text; ``live`` for one that asks its server for news."""
    return pages.render(
        "board.html.j2",
        "board.js",
        connect=live,
        data=data(rows, live=live),
        root=pages.clean(str(root)),
        live=live,
        now=time.strftime("%Y-%m-%d %H:%M"),
    )


def data(rows: Iterable[Mapping[str, Any]], *, live: bool = False) -> dict[str, Any]:
    """What the page's script works on, as JSON can hold it."""
    rows = list(rows)
    names = {key for each in rows for key in each["metrics"]}
    better = {key: larger for key in names if (larger := larger_is_better(key)) is not None}
    return {"runs": rows, "better": better, "live": live}


def row(record: Record, href: Optional[str]) -> dict[str, Any]:
    """What the board holds of one run."""
    metrics = {
        key: _short(value)
        for key, value in reading.flat(record.metrics).items()
        if number(value) is not None
    }
    result, last = record.result, record.history[-1] if record.history else {}
    seed = record.result.get("settings", {}).get("seed")
    config = {key: _text(value) for key, value in options(record.config).items()}
    config.pop("task", None)
    return {
        "name": pages.clean(record.name),
        "path": pages.clean(str(record.path)),
        "task": pages.clean(record.task),
        "status": record.status,
        "problems": [pages.clean(each) for each in record.problems],
        "started": str(result.get("started") or "")[:16].replace("T", " "),
        "seconds": number(result.get("seconds")),
        "epochs": number(result.get("epochs", last.get("epoch"))),
        "seed": pages.clean(str(seed)) if seed is not None else "",
        "metrics": dict(list(metrics.items())[:FIGURES]),
        "config": config,
        "curves": _curves(record),
        "href": href,
    }


def link(folder: Path, page: Path) -> Optional[str]:
    """From the board's folder to a run's report; None where it has none."""
    report = folder / "report.html"
    if not report.is_file() or not reading.inside(report, folder):
        return None
    try:
        below = report.resolve().relative_to(page.resolve())
    except ValueError:
        return report.resolve().as_uri()
    return quote(below.as_posix())


def _curves(record: Record) -> dict[str, list[Any]]:
    """Quantity and split to epochs and values."""
    found = {}
    for key, (x, y) in list(series(record.history).items())[:SERIES]:
        step = -(-len(x) // POINTS)
        split, _, name = key.partition("_")
        known = (name, split) if split in SPLITS and name else (key, "train")
        values = [None if v is None else _short(v) for v in y[::-step][::-1]]
        found["/".join(known)] = [x[::-step][::-1], values]
    return found


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")


def _text(value: Any) -> str:
    text = pages.shown(value)
    return text if len(text) <= VALUE else f"{text[: VALUE - 1]}…"

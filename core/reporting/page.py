"""The report of one run: what is shown of it, in which order, and beside what.

Holds no layout, that is in templates/report.html.j2; what lies in the folder is reading.py's.
"""

from __future__ import annotations

import fnmatch
import json
import shlex
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from dope.core.comparing.runs import larger_is_better
from dope.core.configuring.config import resolve
from dope.core.configuring.signature import class_attribute
from dope.core.errors import DopeError
from dope.core.plugging.discovery import discover
from dope.core.plugging.registry import Registry
from dope.core.reporting import pages, reading
from dope.core.reporting.images import Picture, picture, titled
from dope.core.reporting.reading import SIGNS, Record, number, options, series, text_of
from dope.core.rundir import DEFAULT_ROOT

CHARTS = 24  # quantities that are drawn
POINTS = 1000  # of a line that are drawn
WEIGHT = 3_200_000  # signs that all pictures take together
STRIP = 8  # sample pictures that are shown
TEXTS = 6  # sample texts that are shown
SPLITS = ("train", "valid", "test")
PHASES = {
    "data": "data",
    "forward_backward": "forward and backward",
    "update": "update",
    "evaluation": "evaluation",
    "samples": "samples",
    "checkpoints": "checkpoints",
    "other": "other",
}
HINT = "The best figure of a column is green, where the name tells which is better."


def report(
    run: Union[str, Path],
    *,
    output: Optional[Union[str, Path]] = None,
    runs: Union[str, Path] = DEFAULT_ROOT,
    registry: Optional[Registry] = None,
) -> Path:
    """Write one page that shows a run: figures, curves, plots, samples, times and options.

    The page needs no network and no other file; a run that goes on, failed or is damaged has
    one, too.

    Parameters
    ----------
    run
        Its folder, the end of its name, or ``last``.
    output
        The file to write; default ``report.html`` in the run's folder.
    runs
        Where folders of runs are looked for.
    registry
        Known parts; by default those of all installed plugins.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    DopeError
        There is no such run, Jinja2 or Plotly is missing, or the page cannot be written.

    Examples
    --------
    >>> import dope
    >>> made = dope.run("vision.softmax", profile="tiny")
    >>> dope.report(made.path).name
    'report.html'
    """
    path = reading.run_folder(str(run), runs)
    text = html(reading.read(path), registry or discover())
    return pages.write(Path(output) if output else path / "report.html", text)


def html(record: Record, registry: Registry) -> str:
    """The page of a run as text."""
    about, told = _declared(registry, record)
    plots, fallback, damaged, room = _plots(record, told)
    samples, texts, more, damaged_samples = _samples(record, room)
    charts = _charts(record.history)
    phases, timed = _phases(record.timings)
    cards, tables, figures = _figures(record)
    differing, everything, compared = _options(record, registry)
    said = [*record.problems, *damaged, *damaged_samples, *record.warnings]
    data = {"charts": charts[:CHARTS], "phases": phases}
    present = {
        "figures": True,
        "curves": bool(charts),
        "plots": bool(plots),
        "samples": bool(samples or texts),
        "time": bool(phases),
        "options": True,
        "environment": True,
    }
    return pages.render(
        "report.html.j2",
        "report.js",
        record=record,
        about=about,
        facts=_facts(record),
        sections=[(key, titled(key)) for key, there in present.items() if there],
        said=[pages.clean(line) for line in said],
        cards=cards,
        tables=tables,
        figures=figures,
        data=data,
        more_charts=max(0, len(charts) - CHARTS),
        fallback=fallback,
        plots=plots,
        samples=samples,
        texts=texts,
        more_samples=more,
        sample_caption=_caption(told, "samples", default=""),
        timed=timed,
        timing_note=_timing_note(record),
        differing=differing,
        everything=everything,
        compared=compared,
        environment=_environment(record),
        command=_command(record, differing),
        now=time.strftime("%Y-%m-%d %H:%M"),
    )


def _declared(registry: Registry, record: Record) -> tuple[str, dict[str, str]]:
    """A task's summary, and its captions: those it left in the run, or those of its class."""
    told = record.result.get("captions")
    captions = {str(k): str(v) for k, v in told.items()} if isinstance(told, Mapping) else {}
    try:
        entry = registry.get("task", record.task)
        own = class_attribute(entry.target, "captions", {})
        return entry.summary, {**{str(k): str(v) for k, v in own.items()}, **captions}
    except DopeError:
        return "", captions


def _caption(told: Mapping[str, str], stem: str, default: str = "") -> str:
    """What is said of a plot: under its name, or under a pattern that fits, ``forecast-*``."""
    if stem in told:
        return told[stem]
    fits = (text for pattern, text in told.items() if fnmatch.fnmatchcase(stem, pattern))
    return next(fits, default)


def _facts(record: Record) -> list[str]:
    """When, how long, how much: for the line below the title."""
    result, found = record.result, []
    if result.get("started"):
        found.append(str(result["started"])[:16].replace("T", " "))
    seconds = number(result.get("seconds"))
    if seconds is not None:
        found.append(span(seconds))
    last = record.history[-1] if record.history else {}
    for key, name in (("epochs", "epoch"), ("steps", "step")):
        count = number(result.get(key, last.get(name)))
        if count is not None:
            found.append(f"{pages.shown(int(count))} {name}{'s' * (count != 1)}")
    if result.get("stopped"):
        found.append(str(result["stopped"]))
    return found


def span(seconds: float) -> str:
    """``41.2 s``, ``3 min 5 s`` or ``2 h 3 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _plots(
    record: Record, told: Mapping[str, str]
) -> tuple[list[Picture], Optional[Picture], list[str], int]:
    """All plots; the curves for where no script runs; what is damaged; and the room left."""
    room, found, damaged, fallback = WEIGHT, [], [], None
    files = record.files("plots", (".png",))
    order = list(told)  # as the task names them
    files.sort(
        key=lambda p: next((i for i, k in enumerate(order) if fnmatch.fnmatch(p.stem, k)), 99)
    )
    for path in files:
        made = picture(path, caption=_caption(told, path.stem))
        if made is None:
            damaged.append(f"plots/{path.name} is damaged, and left out")
        elif made.weight > room:
            damaged.append(f"plots/{path.name} is left out: the page would grow too large")
        elif path.stem == "curves":
            fallback, room = made, room - made.weight
        else:
            room -= made.weight
            found.append(made)
    return found, fallback, damaged, room


def _samples(
    record: Record, room: int
) -> tuple[list[Picture], list[tuple[str, str]], int, list[str]]:
    """Sample pictures spread over the epochs, the last texts, how many more there are."""
    files = record.files("samples", (".png",))
    pictures: list[Picture] = []
    damaged = []
    for path in _spread(files, STRIP):
        made = picture(path)
        if made is None:
            damaged.append(f"samples/{path.name} is damaged, and left out")
        elif made.weight <= room:
            room -= made.weight
            pictures.append(made)
    written = record.files("samples", (".txt",))
    texts = []
    for path in reversed(_spread(written, TEXTS)):
        try:
            text = text_of(path, record.path, SIGNS)
        except OSError as error:
            damaged.append(f"samples/{path.name} cannot be read: {error.strerror or error}")
            continue
        texts.append((titled(path.stem), pages.clean(text).strip() or "(nothing)"))
    pictures.reverse()  # the last first, as the texts
    return pictures, texts, len(files) + len(written) - len(pictures) - len(texts), damaged


def _spread(files: Sequence[Path], most: int) -> list[Path]:
    """The first, the last, and some between at equal distances."""
    if len(files) <= most:
        return list(files)
    return [files[round(i * (len(files) - 1) / (most - 1))] for i in range(most)]


def _charts(history: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A chart a quantity, its splits as lines, the most telling first."""
    found: dict[str, dict[str, Any]] = {}
    for key, (x, y) in series(history).items():
        split, _, name = key.partition("_")
        if split not in SPLITS or not name:
            split, name = "train", key
        step = -(-len(x) // POINTS)
        line = {"split": split, "x": x[::-step][::-1], "y": y[::-step][::-1]}
        chart = found.setdefault(name, {"title": name.replace("_", " "), "lines": []})
        chart["lines"].append(line)
    first = ("loss", "accuracy")
    names = sorted(
        found,
        key=lambda n: (first.index(n) if n in first else len(first), -len(found[n]["lines"])),
    )
    charts = [found[name] for name in names]
    for place, chart in enumerate(charts):
        chart["lines"].sort(key=lambda line: SPLITS.index(line["split"]))
        chart["id"] = f"chart-{place}"
        values = [v for line in chart["lines"] for v in line["y"] if v is not None]
        wide = "loss" in names[place] and min(values) > 0 and max(values) > 30 * min(values)
        chart["log"] = bool(wide)
    return charts


def _phases(timings: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """Seconds of each phase, the slowest first; and what was timed."""
    totals: dict[str, float] = {}
    for row in timings:
        for key, seconds in row["phases"].items():
            totals[key] = totals.get(key, 0.0) + seconds
    whole = sum(totals.values())
    if not whole > 0:
        return [], ""
    steps = sum(int(number(row.get("steps")) or 0) for row in timings)
    made = [
        {
            "name": PHASES.get(key, key),
            "seconds": seconds,
            "share": seconds / whole,
            "per_step": 1000 * seconds / steps if steps else None,
        }
        for key, seconds in sorted(totals.items(), key=lambda pair: -pair[1])
        if seconds > 0.0005 * whole
    ]
    epochs = f"{len(timings)} epoch{'s' * (len(timings) != 1)}"
    return made, f"the {span(whole)} of {epochs}"


def _timing_note(record: Record) -> str:
    if record.result.get("environment", {}).get("MXNET_ENGINE_TYPE") == "NaiveEngine":
        return "Learning without a backward pass counts as forward and backward."
    return (
        "MXNet's engine was not synchronous: work is counted where something waited for it, so "
        "the phases are not told apart well."
    )


Row = tuple[str, list[dict[str, Any]]]


def _figures(
    record: Record,
) -> tuple[list[tuple[str, Any]], list[dict[str, Any]], list[tuple[str, Any]]]:
    """The few that matter most; tables beside simpler methods; and all others."""
    metrics = record.metrics
    groups = {k: v for k, v in metrics.items() if _table_like(v)}
    figures = list(reading.flat({k: v for k, v in metrics.items() if k not in groups}).items())
    folds = metrics.get("folds")
    mean = folds.get("mean") if isinstance(folds, Mapping) else None
    mean = mean if isinstance(mean, Mapping) else {}
    own = {**mean, **metrics}
    tables = [_table(k, rows, {} if k == "folds" else own) for k, rows in groups.items()]
    beside = {key for table in groups.values() for row in table.values() for key in row}
    several = {f"{key}, mean of folds": value for key, value in mean.items()}
    return _cards(record, {**several, **dict(figures)}, beside), tables, figures


def _table_like(value: Any) -> bool:
    rows = value.values() if isinstance(value, Mapping) else []
    return bool(rows) and all(isinstance(row, Mapping) and row for row in rows)


def _table(title: str, rows: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of the same figures, this run's own above them."""
    keys = list(dict.fromkeys(str(key) for row in rows.values() for key in row))
    own = {key: metrics[key] for key in keys if key in metrics}
    named = {**({"this run": own} if own else {}), **rows}
    best = {}
    for key in keys:
        larger = larger_is_better(key)
        values = [v for row in named.values() if (v := number(row.get(key))) is not None]
        if larger is not None and len(set(values)) > 1 and own:
            best[key] = max(values) if larger else min(values)
    cells: list[Row] = [
        (
            titled(str(name)) if name == "this run" else str(name).replace("_", " "),
            [
                {"value": row.get(key), "best": key in best and row.get(key) == best[key]}
                for key in keys
            ],
        )
        for name, row in named.items()
    ]
    heads = [key.replace("_", " ") for key in keys]
    names = {"baselines": "Beside simpler methods", "simpler": "Beside simpler methods"}
    hint = HINT if best else ""
    return {"title": names.get(title, titled(title)), "heads": heads, "rows": cells, "hint": hint}


def _cards(
    record: Record, figures: Mapping[str, Any], beside: Collection[str]
) -> list[tuple[str, Any]]:
    """Up to four: the monitored one, those of a table, held-out ones whose better side is known."""
    trainer = record.config.get("trainer")
    monitor = trainer.get("monitor") if isinstance(trainer, Mapping) else None
    numbers = {key: v for key, v in figures.items() if number(v) is not None}

    def rank(key: str) -> tuple[bool, int, bool]:
        apart = 2 if not key.startswith("valid_") else 1
        held = 0 if key.startswith("test_") or key in beside else apart
        known = larger_is_better(key.partition(",")[0]) is not None
        return key != monitor, held + 3 * (not known), "loss" in key

    best = sorted(numbers, key=rank)[:4]
    return [(key.replace("_", " "), figures[key]) for key in best]


def _options(
    record: Record, registry: Registry
) -> tuple[list[tuple[str, Any, Any]], list[tuple[str, Any]], str]:
    """What differs from the nearest profile of the task; all options; and a sentence."""
    own = options(record.config)
    everything = list(own.items())
    nearest: Optional[tuple[int, str, dict[str, Any]]] = None
    try:
        target = registry.get("task", record.task).target
        for profile in {"quick": {}, **class_attribute(target, "profiles", {})}:
            found = options(resolve(registry, record.task, profile=profile).as_dict())
            count = len(_differences(own, found))
            if nearest is None or count < nearest[0]:
                nearest = count, profile, found
    except DopeError as error:
        if not record.config:
            return [], [], "config.yaml cannot be read."
        return [], everything, f"The defaults are not known here: {error.message}."
    if not record.config or nearest is None:
        return [], everything, "config.yaml cannot be read."
    differing = _differences(own, nearest[2])
    if not differing:
        return [], everything, f"All as in the task's profile {nearest[1]}."
    return differing, everything, f"What differs from the task's profile {nearest[1]}."


def _differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(k, v, other.get(k)) for k, v in own.items() if k not in other or other[k] != v]


def _environment(record: Record) -> list[tuple[str, Any]]:
    settings = dict(record.result.get("settings", {}))
    found = [("seed", settings.pop("seed", None)), *settings.items()]
    return [*found, *record.result.get("environment", {}).items(), ("folder", str(record.path))]


def _command(record: Record, differing: Sequence[tuple[str, Any, Any]]) -> str:
    """The line that starts the same run."""
    if not record.config or ":" in record.task:
        return ""
    settings = record.result.get("settings", {})
    words = ["dope", "run", record.task]
    for key, value, _ in differing:
        text = value if isinstance(value, str) and value else json.dumps(value)
        words.append(f"{key}={text}")
    if settings.get("seed"):
        words += ["--seed", str(settings["seed"])]
    if settings.get("contexts", "auto") != "auto":
        words += ["--contexts", str(settings["contexts"])]
    return pages.clean(shlex.join(words))

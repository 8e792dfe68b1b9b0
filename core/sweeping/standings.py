"""Who is best: the best figure of each run, the mean of each point, and their order.

Holds no files but the table; what figures there are was written down by worker.py.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from dope.core.rundir import replacing

DEFAULTS = ("valid_loss", "loss")  # the first that all have is the figure, where none is named


def bests(
    rows: Sequence[Mapping[str, Any]],
    result: Mapping[str, Any],
    monitor: Optional[str],
    *,
    larger: bool,
) -> dict[str, tuple[float, int]]:
    """The best value and its epoch of each figure that a run may be judged by.

    Parameters
    ----------
    rows
        Of ``metrics.jsonl``.
    result
        What stands in ``result.json``. A figure that is not in the rows may be among its
        ``metrics``; with ``trainer.folds`` the mean over the folds is taken.
    monitor
        Name of the figure; None: those of ``DEFAULTS``.
    larger
        Whether larger is better.
    """
    metrics = result.get("metrics", {})
    over_folds = metrics.get("folds", {}).get("mean", {})
    pick = max if larger else min
    found: dict[str, tuple[float, int]] = {}
    for name in (monitor,) if monitor else DEFAULTS:
        history = [(row[name], int(row["epoch"])) for row in rows if _finite(row.get(name))]
        last = over_folds.get(name, metrics.get(name))
        if _finite(last) and (not history or name in over_folds):
            history = [(last, int(result.get("epochs", 0)))]
        if history:
            best = pick(value for value, _ in history)
            found[name] = next(pair for pair in history if pair[0] == best)
    return found


def _finite(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


@dataclass
class Standing:
    """A point and what came of it.

    Parameters
    ----------
    point
        Its number, from 1.
    values
        Key to text.
    members
        Numbers of its members, one a seed.
    figure
        Mean of the best figures of those that are done; None where none is.
    spread
        Their standard deviation; None for fewer than two.
    figures
        Each of them.
    epoch
        Mean epoch of the best figures.
    seconds
        Of all members.
    status
        ``done``, ``partly`` (some seeds failed), ``failed``, or ``waiting`` (some are not over).
    errors
        What failed, each said once.
    """

    point: int
    values: dict[str, str]
    members: list[int]
    figure: Optional[float] = None
    spread: Optional[float] = None
    figures: list[float] = field(default_factory=list)
    epoch: Optional[float] = None
    seconds: float = 0.0
    status: str = "waiting"
    errors: list[str] = field(default_factory=list)


def figure_of(rows: Mapping[int, Mapping[str, Any]], monitor: Optional[str]) -> str:
    """The name of the figure by which all are judged."""
    if monitor:
        return monitor
    done = [row.get("bests", {}) for row in rows.values() if row.get("status") == "done"]
    common = [name for name in DEFAULTS if done and all(name in each for each in done)]
    return (common or [DEFAULTS[-1]])[0]


def standings(
    points: Sequence[Mapping[str, str]],
    seeds: int,
    rows: Mapping[int, Mapping[str, Any]],
    figure: str,
    *,
    larger: bool,
) -> list[Standing]:
    """All points, the best first.

    Points of which some seeds failed come after those of which none did, for a mean of the lucky
    ones says too little; then those without a figure.
    """
    made = []
    for i, values in enumerate(points):
        members = list(range(i * seeds + 1, (i + 1) * seeds + 1))
        made.append(_standing(i + 1, dict(values), members, rows, figure))
    rank = {"done": 0, "partly": 1, "waiting": 2, "failed": 3}
    sign = -1 if larger else 1

    def order(each: Standing) -> tuple[int, float, int]:
        return (
            rank[each.status],
            math.inf if each.figure is None else sign * each.figure,
            each.point,
        )

    return sorted(made, key=order)


def _standing(
    number: int,
    values: dict[str, str],
    members: list[int],
    rows: Mapping[int, Mapping[str, Any]],
    figure: str,
) -> Standing:
    made = Standing(number, values, members)
    known = [rows[member] for member in members if member in rows]
    over = [row for row in known if row["status"] != "interrupted"]
    found = [row["bests"][figure] for row in over if figure in row.get("bests", {})]
    made.figures = [value for value, _ in found]
    made.seconds = round(sum(row.get("seconds", 0.0) for row in known), 3)
    made.errors = list(dict.fromkeys(row["error"] for row in over if row.get("error")))
    if found:
        made.figure = statistics.fmean(made.figures)
        made.epoch = statistics.fmean(epoch for _, epoch in found)
        made.spread = statistics.stdev(made.figures) if len(found) > 1 else None
    if any(row["status"] == "done" and figure not in row.get("bests", {}) for row in over):
        made.errors.append(f"no figure '{figure}' came of it")
    if len(over) == len(members):
        made.status = "done" if len(found) == len(members) else "partly" if found else "failed"
    return made


def best_of(ranked: Sequence[Standing]) -> Optional[Standing]:
    """The best point that has a figure, if any has; points that are not over do not count."""
    over = (each for each in ranked if each.figure is not None and each.status != "waiting")
    return next(over, None)


def write_table(path: Path, ranked: Sequence[Standing], figure: str, folder: Path) -> None:
    """All points as CSV, the best first.

    Raises
    ------
    RunError
        The disk is full or the folder cannot be written.
    """
    keys = list(ranked[0].values) if ranked else []
    head = ["point", *keys, figure, "spread", "epoch", "seconds", "status", "error", "members"]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(head)
        for each in ranked:
            figures = ("" if v is None else v for v in (each.figure, each.spread, each.epoch))
            members = " ".join(str(folder / f"{number:04d}") for number in each.members)
            row = [each.point, *each.values.values(), *figures, each.seconds, each.status]
            writer.writerow([*row, "; ".join(each.errors), members])

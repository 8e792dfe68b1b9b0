"""What came of a sweep: its points in order, the best of them, and the files that say so.

Runs nothing. What is judged by which figure is standings.py's matter.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from dope.core.configuring.signature import class_attribute, load
from dope.core.errors import RunError
from dope.core.sweeping import points
from dope.core.sweeping.folder import SweepDirectory
from dope.core.sweeping.standings import Standing, best_of, figure_of, standings, write_table

if TYPE_CHECKING:
    from dope.core.plugging.registry import Registry


@dataclass
class Sweep:
    """A sweep and what came of it.

    Parameters
    ----------
    directory
        Its folder.
    spec
        What it was started with.
    status
        ``done`` or ``interrupted``.
    figure
        Name of the figure by which its points are judged: the best over a run's epochs.
    larger
        Whether larger is better.
    standings
        The points, the best first.
    """

    directory: SweepDirectory
    spec: dict[str, Any]
    status: str
    figure: str
    larger: bool
    standings: list[Standing]

    @property
    def path(self) -> Path:
        """The sweep's folder."""
        return self.directory.path

    @property
    def best(self) -> Optional[Standing]:
        """The best point; None where none has a figure."""
        return best_of(self.standings)

    @property
    def varied(self) -> list[str]:
        """The keys with more than one value."""
        return [axis.key for axis in points.read(self.spec["settings"]).varied]

    @property
    def command(self) -> str:
        """The best point as a command line."""
        best, spec = self.best, self.spec
        if best is None:
            return ""
        words = ["dope", "run", spec["task"], *points.words(best.values)]
        if spec["profile"] != "quick":
            words += ["--profile", spec["profile"]]
        if self.directory.given:
            words += ["--config", str(self.directory.given)]
        if spec["seed"]:
            words += ["--seed", str(spec["seed"])]
        return shlex.join(words)

    def __repr__(self) -> str:
        best = f"best {self.figure} {self.best.figure:.5g}" if self.best else "no figure"
        return f"Sweep({self.spec['task']}, {len(self.standings)} points, {best}, {self.path})"


def judged(directory: SweepDirectory, spec: dict[str, Any]) -> Sweep:
    """What came of a sweep, as far as it came.

    Parameters
    ----------
    directory
        Its folder.
    spec
        What it was started with.
    """
    rows = directory.rows()
    figure = figure_of(rows, spec["monitor"])
    ranked = standings(spec["points"], spec["seeds"], rows, figure, larger=spec["larger"])
    status = "interrupted" if any(each.status == "waiting" for each in ranked) else "done"
    return Sweep(directory, spec, status, figure, spec["larger"], ranked)


def write(found: Sweep, registry: Registry) -> None:
    """The table, the best configuration and the pictures."""
    directory, best = found.directory, found.best
    write_table(
        directory.path / "table.csv", found.standings, found.figure, directory.path / "members"
    )
    if best is not None:
        config = directory.member(best.members[0]) / "config.yaml"
        try:
            text = config.read_text(encoding="utf-8")
        except OSError as error:
            raise RunError(f"cannot read {config}: {error.strerror or error}", "") from error
        directory.files.write_text("best.yaml", text)
        from dope.core.sweeping.plots import picture

        picture(directory.path / "plots" / "sweep.png", found)
        _overlay(found, registry)


def _overlay(found: Sweep, registry: Registry) -> None:
    """The members in one picture, where the task says how."""
    target = class_attribute(registry.get("task", found.spec["task"]).target, "overlay", None)
    if target is None:
        return
    named = []
    for each in sorted(found.standings, key=lambda standing: standing.point):
        said = [f"{key.rpartition('.')[2]}={each.values[key]}" for key in found.varied]
        named.append((" ".join(said), found.directory.member(each.members[0])))
    load(target)(found.path / "plots" / "members.png", named)

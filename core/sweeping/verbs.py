"""Start a sweep and go on with one: what the command line and Python both call.

Holds the life of a sweep; its points, processes, and what came of it are in files of their own.
"""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from dope.core.configuring.config import TrainerOptions
from dope.core.cores import physical_cores
from dope.core.errors import ConfigError
from dope.core.plugging.discovery import discover
from dope.core.rundir import DEFAULT_ROOT
from dope.core.sweeping import points, pool
from dope.core.sweeping.configs import configs
from dope.core.sweeping.folder import SweepDirectory
from dope.core.sweeping.outcome import Sweep, judged, write
from dope.core.sweeping.progress import Quiet, shown

if TYPE_CHECKING:
    from dope.core.plugging.registry import Registry

Place = Union[str, Path]


def sweep(
    task: str,
    /,
    *settings: str,
    n: Optional[int] = None,
    seeds: int = 1,
    seed: int = 0,
    profile: str = "quick",
    file: Optional[Place] = None,
    jobs: Optional[int] = None,
    contexts: str = "auto",
    runs: Place = DEFAULT_ROOT,
    progress: bool = False,
    registry: Optional[Registry] = None,
) -> Sweep:
    """Run a task once for each point of a grid, or for points that are drawn.

    Parameters
    ----------
    task
        Its name.
    settings
        ``key=v1,v2`` (values), ``key=lo..hi`` (a range), ``key=value`` (fixed).
    n
        Points to draw; needed where there is a range. Of a grid, so many of its points.
    seeds
        Runs of each point, with ``seed``, ``seed + 1`` …; it is judged by their mean.
    seed
        Of the draws, and of the runs.
    profile, file, contexts, runs, registry
        As in `dope.run`.
    jobs
        Processes at a time; default one a physical core.
    progress
        Show a bar in a notebook or a terminal, lines elsewhere.

    Returns
    -------
    Sweep

    Raises
    ------
    ConfigError
        A word, or a point, that cannot be; nothing has been written.

    Examples
    --------
    >>> import dope
    >>> found = dope.sweep("vision.softmax", "optimizer.learning_rate=0.01,0.1", profile="tiny")
    >>> len(found.standings)
    2
    """
    if not isinstance(task, str):
        raise ConfigError(
            f"{task!r} is not the name of a task", "A sweep runs in processes that know names only."
        )
    for name, value in (("seeds", seeds), ("jobs", jobs)):
        if value is not None and value < 1:
            raise ConfigError(f"--{name} {value} is out of range", "It is at least 1.")
    known = registry or discover()
    space = points.read(settings)
    made = space.points(n, seed)
    given = Path(file) if file else None
    config, *_ = configs(known, task, space, made, profile=profile, file=given)
    options = TrainerOptions(**config.options("trainer"))
    directory = SweepDirectory.create(runs, task)
    spec = {
        "task": task,
        "settings": list(settings),
        "profile": profile,
        "n": n,
        "seeds": seeds,
        "seed": seed,
        "contexts": contexts,
        "jobs": min(jobs or physical_cores(), len(made) * seeds),
        "monitor": options.monitor,
        "larger": options.larger_is_better,
        "points": made,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": _versions(),
    }
    if given:
        shutil.copyfile(given, directory.path / "given.yaml")
    directory.write(spec)
    return _run(directory, spec, known, retry=False, progress=progress)


def resume(
    sweep: Place,
    *,
    n: Optional[int] = None,
    retry: bool = False,
    jobs: Optional[int] = None,
    runs: Place = DEFAULT_ROOT,
    progress: bool = False,
    registry: Optional[Registry] = None,
) -> Sweep:
    """Go on with a sweep: members that are done or failed stay, the others run to their end.

    Parameters
    ----------
    sweep
        Its folder, the end of its name, or ``last``.
    n
        As many points in all: more than before are drawn as if it had been started so.
    retry
        Let failed members go on, too.
    jobs
        Processes at a time; default as before.
    runs
        Where sweeps are looked for.
    progress, registry
        As in `sweep`.

    Raises
    ------
    RunError
        There is no such sweep, or it is running.
    ConfigError
        ``n`` is less than before.
    """
    directory = SweepDirectory.find(str(sweep), runs)
    spec, known = directory.read(), registry or discover()
    if n is not None:
        spec = _extended(directory, spec, n, known)
    if jobs is not None:
        if jobs < 1:
            raise ConfigError(f"--jobs {jobs} is out of range", "It is at least 1.")
        spec = {**spec, "jobs": jobs}
    return _run(directory, spec, known, retry=retry, progress=progress)


def load(sweep: Place, *, runs: Place = DEFAULT_ROOT) -> Sweep:
    """A sweep of earlier, as far as it came; nothing is run and nothing is written."""
    directory = SweepDirectory.find(str(sweep), runs)
    return judged(directory, directory.read())


def _extended(
    directory: SweepDirectory, spec: Mapping[str, Any], n: int, registry: Registry
) -> dict[str, Any]:
    before = spec["points"]
    if n < len(before):
        raise ConfigError(f"--n {n}: the sweep has {len(before)} points already", "Give more.")
    if spec["n"] is None:
        raise ConfigError(f"--n {n}: the sweep has all points of its grid", "Leave --n out.")
    space = points.read(spec["settings"])
    made = before + space.points(n, spec["seed"])[len(before) :]
    configs(registry, spec["task"], space, made, profile=spec["profile"], file=directory.given)
    return {**spec, "points": made, "n": n}


def _run(
    directory: SweepDirectory,
    spec: dict[str, Any],
    registry: Registry,
    *,
    retry: bool,
    progress: bool,
) -> Sweep:
    """Run all members that are not over, and write down what came of it."""
    with directory.alone() as lock:
        directory.write(spec)
        rows = directory.rows()
        over = ("done",) if retry else ("done", "failed")
        kept = {number: row for number, row in rows.items() if row["status"] in over}
        orders = [order for order in _orders(directory, spec) if order["member"] not in kept]
        members = len(spec["points"]) * spec["seeds"]
        stopped = False
        if orders:
            with shown(progress, members, kept, larger=spec["larger"]) as display:
                stopped = pool.work(
                    orders,
                    _Keeping(directory, rows, display),
                    jobs=spec["jobs"],
                    environment=pool.environment(spec["jobs"], physical_cores()),
                    log=directory.path / "workers.txt",
                    kept=[lock],
                )
        found = judged(directory, spec)
        write(found, registry)
        found.status = "interrupted" if stopped else found.status
        return found


class _Keeping:
    """Writes down what became of each member, then shows it."""

    def __init__(
        self, directory: SweepDirectory, before: Mapping[int, Mapping[str, Any]], display: Quiet
    ) -> None:
        self._directory, self._before = directory, before
        self.share, self.tick, self._display = display.share, display.tick, display

    def over(self, row: Mapping[str, Any]) -> None:
        """A member is done, failed or interrupted; its seconds are those of all its parts."""
        earlier = self._before.get(row["member"], {}).get("seconds", 0.0)
        whole = {**row, "seconds": round(row["seconds"] + earlier, 3)}
        self._directory.add(whole)
        self._display.over(whole)


def _orders(directory: SweepDirectory, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the processes are asked for: seeds change fastest."""
    shared = {key: spec[key] for key in ("task", "profile", "contexts", "monitor", "larger")}
    shared["file"] = str(directory.given) if directory.given else None
    made = []
    for i, point in enumerate(spec["points"]):
        for j in range(spec["seeds"]):
            number = i * spec["seeds"] + j + 1
            own = {"member": number, "folder": str(directory.member(number))}
            seed = spec["seed"] + j
            made.append({**shared, **own, "overrides": points.words(point), "seed": seed})
    return made


def _versions() -> dict[str, str]:
    """Versions that are known without MXNet; each member's ``result.json`` has the rest."""
    from dope import __version__

    return {
        "dope": __version__,
        "python": platform.python_version(),
        "numpy": metadata.version("numpy"),
    }

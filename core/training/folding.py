"""Cross-validation: the same task trained k times, each time without one part of the examples.

Holds the runs of the folds; which examples each leaves out is in folds.py, one run in running.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from dope.core.errors import DopeError
from dope.core.rundir import RunDirectory
from dope.core.training import composing, running

if TYPE_CHECKING:
    from dope.core.callbacks import Callback
    from dope.core.configuring.config import Config
    from dope.core.distributing.team import Alone
    from dope.core.plugging.registry import Registry
    from dope.core.task import Task
    from dope.core.training.checkpoint import Checkpoint


def train(
    registry: Registry,
    task: Task,
    config: Config,
    directory: RunDirectory,
    settings: Mapping[str, Any],
    watchers: Callable[[], Sequence[Callback]],
    saved: Optional[Checkpoint],
    team: Alone,
) -> tuple[dict[str, Any], Any]:
    """As `running.train`, after the folds where ``trainer.folds`` asks for some.

    Fold i is trained with the run's seed plus i, in ``folds/i`` of the run's folder. Folds that are
    done already are not trained again, and one that was stopped goes on where it was. Last the
    task is trained on all examples; the figures of the folds stand beside those of that.

    Parameters
    ----------
    registry, task, config, directory, settings, saved, team
        Those of the run. Several workers have no folds.
    watchers
        Makes the callbacks of one fold, and of the last training.
    """
    folds: dict[str, dict[str, Any]] = {}
    several = task.options.folds > 1 and team.size == 1  # what they cannot, they refuse later
    if several:  # whoever resumes a run that was killed has to know its seed
        begun = {"task": config.task, "status": "running", "settings": dict(settings)}
        directory.write_json("result.json", {**begun, "metrics": {}})
    for number in range(1, task.options.folds + 1) if several else ():
        own = RunDirectory.at(directory.path / "folds" / str(number))
        result = own.read_json("result.json") or {}
        if result.get("status") != "done":
            result = _one(registry, config, own, settings, watchers(), number)
        if result["status"] != "done":
            whole = {**result, "settings": dict(settings), "metrics": {}}
            directory.write_json("result.json", whole)
            return whole, None
        folds[str(number)] = result["metrics"]
    more = {"folds": summary(folds)} if folds else {}
    return running.train(task, config, directory, settings, watchers(), saved, more, team)


def summary(folds: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Held-out figures of each fold, their ``mean`` and their ``sd``, the spread over folds."""
    first, *others = folds.values()
    keys = [
        key
        for key, value in first.items()
        if key.startswith("valid_") and isinstance(value, float) and all(key in o for o in others)
    ]
    table = {name: {key: figures[key] for key in keys} for name, figures in folds.items()}
    columns = {key: [figures[key] for figures in folds.values()] for key in keys}
    table["mean"] = {key: statistics.fmean(column) for key, column in columns.items()}
    table["sd"] = {key: statistics.stdev(column) for key, column in columns.items()}
    return table


def _one(
    registry: Registry,
    config: Config,
    directory: RunDirectory,
    settings: Mapping[str, Any],
    watchers: Sequence[Callback],
    number: int,
) -> dict[str, Any]:
    """Train one fold, from its last checkpoint if it has one; what came of it."""
    seed, of = settings["seed"], config.options("trainer")["folds"]
    own = {**settings, "seed": seed + number, "fold": [number, of, seed]}
    saved = running.latest(directory, required=False)
    if saved is None:
        directory.write_text("config.yaml", config.to_yaml())
        directory.cut_metrics(0)
    try:
        task = composing.compose(registry, config)
        return running.train(task, config, directory, own, watchers, saved)[0]
    except DopeError as error:
        error.message = f"fold {number} of {of}: {error.message}"
        raise

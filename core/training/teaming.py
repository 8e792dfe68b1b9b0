"""A run of several workers: who writes its folder, what all must know, what a batch becomes.

Holds what surrounds the training; sums and words between workers are in distributing/team.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Callable, Optional, Union

from dope.core.distributing.roles import FOLDER, role
from dope.core.errors import ConfigError
from dope.core.rundir import RunDirectory

if TYPE_CHECKING:
    from dope.core.distributing.team import Alone
    from dope.core.task import Task
    from dope.core.training.checkpoint import Checkpoint

FACTORS: Mapping[str, Callable[[int], float]] = {
    "none": lambda workers: 1.0,
    "sqrt": lambda workers: workers**0.5,
    "linear": float,
}


@contextlib.contextmanager
def joined() -> Iterator[tuple[Alone, Path]]:
    """The team of this process while a run goes on, and a folder that is gone afterwards.

    The team is left at the end, in good order or not.

    Raises
    ------
    RunError, BackendError, ConfigError
        As `team.join`.
    """
    from dope.core.distributing.team import join

    team = join()
    with contextlib.ExitStack() as stack:
        passing = "" if team.leads else stack.enter_context(TemporaryDirectory(prefix="dope-"))
        try:
            yield team, Path(passing)
        except BaseException:
            team.leave(failed=True)
            raise
    team.leave()


def folder(
    team: Alone,
    passing: Path,
    runs: Union[str, Path],
    name: str,
    given: Optional[Union[str, Path]],
) -> RunDirectory:
    """The run's folder: a new one below ``runs``, or the ``given`` one.

    All workers but the first write into the ``passing`` one.
    """
    if not team.leads:
        return RunDirectory.at(passing)
    given = given or (os.environ.get(FOLDER) if role() else None)
    return RunDirectory.create(runs, name) if given is None else RunDirectory.at(given)


def checkpoint(team: Alone, saved: Optional[Checkpoint]) -> Optional[Checkpoint]:
    """The checkpoint that the first worker has read, for all."""
    if team.size == 1:
        return saved
    from dope.core.training.checkpoint import Checkpoint

    meta = team.share(None if saved is None else saved.meta)
    if meta is None:
        return None
    return Checkpoint(team.share_arrays(None if saved is None else saved.arrays), meta)


def prepare(team: Alone, task: Task, directory: RunDirectory, contexts: int) -> float:
    """Let a batch be that of all workers; what the learning rates are multiplied with.

    What is done is said in the run's log, and so is what it may need.

    Raises
    ------
    ConfigError
        The run has an option that several workers cannot follow.
    """
    options, optimizer = task.options, task.optimizer
    size = options.batch_size
    if team.size == 1:
        if contexts > 1:
            each = "the whole training set" if size is None else f"a batch of {size} examples"
            directory.log(f"{contexts} contexts share {each}; the learning rate is as configured")
        return 1.0
    if options.folds > 1:
        raise ConfigError(
            f"trainer.folds={options.folds} with {team.size} workers",
            "Cross-validate on one machine, or leave trainer.folds at 1.",
        )
    if options.compression is not None:
        team.compress(options.compression)
    scale = FACTORS[options.rate_scaling](team.size)
    rate = optimizer.get("learning_rate")
    total = "the whole training set" if size is None else f"{size} examples each"
    if size is not None:
        options.batch_size = size * team.size
        total += f", {options.batch_size} a step"
    said = f"the learning rate {rate} is multiplied with {scale:g} (trainer.rate_scaling)"
    directory.log(f"{team.size} workers: {total}; {said}")
    if size is not None and not options.warmup:
        directory.log(
            "note: larger batches bear larger rates (trainer.rate_scaling=linear), which can "
            "diverge in the first steps: trainer.warmup=5 lets the rate rise for 5 epochs"
        )
    if options.compression is not None:
        directory.log(f"gradients are sent as two bits, threshold {options.compression:g}")
    return scale

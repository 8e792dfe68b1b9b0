"""The loop: epochs, evaluation, checkpoints, early stop; the same for every task.

Holds no mathematics of learning; one step is the task's, through the engine's one verb.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any, Optional

from dope.core.backend import nd
from dope.core.backend import seed as seed_all
from dope.core.callbacks import Callback, Watchers
from dope.core.configuring.options import TrainerOptions
from dope.core.engine import Engine
from dope.core.errors import DivergedError, DopeError
from dope.core.metrics import Sum
from dope.core.optimizing.schedules import factor
from dope.core.rundir import RunDirectory
from dope.core.task import Task
from dope.core.training import checkpoint, fitting
from dope.core.training.checkpoint import Checkpoint
from dope.core.training.misfits import meeting
from dope.core.training.timing import Phases

SMALLER = "Try a smaller optimizer.learning_rate; the last good checkpoint is kept."
POSITION = ("epoch", "step", "total_steps", "examples", "best", "_since_best", "slowed", "reason")
SETTLED = "settled: nothing is left to gain"


class Trainer:
    """Train one task in one run directory.

    The loop, in short::

        for epoch in epochs:
            seed from (seed, epoch)
            for batch in the epoch's order:
                sums += task.step(engine, batch)          # nothing waits for the device
                at a point to resume from (every log_every steps, and where a checkpoint is due):
                    read the sums, check that they are finite
                    seed from (seed, epoch, step); save if due
            evaluate, tell the callbacks, write metrics.jsonl
            save a checkpoint; stop when told to, when settled, or when patience is over

    Generator states cannot be read back from MXNet, so randomness is seeded anew at each point
    where a checkpoint can be taken: a run that is killed and resumed ends with the same bits.
    Where nothing draws random numbers, every step is such a point, and nothing is seeded. A task
    with a step or an evaluation of its own is taken to draw some.

    Parameters
    ----------
    task, engine
        What is trained, and the networks on their contexts.
    options
        Epochs, checkpoints, logging and so on.
    run
        The run's folder.
    seed
        Of everything random in the run.
    callbacks
        Told of the six events, in order.
    """

    def __init__(
        self,
        task: Task,
        engine: Engine,
        options: TrainerOptions,
        run: RunDirectory,
        *,
        seed: int = 0,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.task, self.engine, self.options, self.run = task, engine, options, run
        self.seed, self.watchers, self.team = seed, Watchers(callbacks), engine.team
        self.scale = 1.0  # what several workers multiply every learning rate with
        self.epoch = self.step = self.total_steps = self.examples = self.steps_per_epoch = 0
        self.metrics: dict[str, float] = {}
        self.best: Optional[float] = None
        self.slowed = 1.0  # what the plateaus so far have multiplied the learning rate with
        self.reason = ""
        self._since_best = self._signals = 0
        self._sums: dict[str, Sum] = {}
        self._saved_at = 0.0
        self._phases = Phases()

    @property
    def steps_left(self) -> int:
        """Steps until the last epoch is done, if nothing stops the run before."""
        return max(0, (self.options.epochs - self.epoch) * self.steps_per_epoch - self.step)

    def stop(self, reason: str) -> None:
        """End training after this epoch; ``reason`` goes into ``result.json``."""
        self.reason = reason or "told to stop"

    def fit(self) -> str:
        """Train until done; return ``done`` or ``interrupted``.

        Raises
        ------
        DivergedError
            A loss is not finite. The last good checkpoint stands.
        KeyboardInterrupt
            A second interrupt: there was no time to save again.
        """
        with meeting(self.task, "task", "dataset"):
            batches: Any = self.task.data("train")
        if batches is None:
            raise DopeError("the task has no training data", "Task.data('train') returned None.")
        if not self.total_steps:
            fitting.check(self.task, self.engine, batches)  # draws nothing that is not seeded anew
        self._batches = batches
        self.steps_per_epoch = len(self._batches)
        if self.total_steps and not self.reason and self.task.finished(self.engine):
            self.stop(SETTLED)
        status = "failed"
        try:
            self.watchers.start(self)
            with self._interrupts():
                status = self._train()
        finally:
            self.watchers.end(self, status)
        return status

    def _train(self) -> str:
        self._saved_at = time.monotonic()
        self._phases.start()
        while self.epoch < self.options.epochs and (self.step or not self.reason):
            whole = self._one_epoch()
            if whole:
                self._end_epoch()
            told, due = self.team.any(self._signals > 0, self._due())
            if told or not whole or due:
                self.save()
            if told or not whole:
                return "interrupted"
        self.engine.settle()
        self.save()
        return "done"

    def _one_epoch(self) -> bool:
        """The rest of one epoch; False when interrupted, at a point to resume from."""
        order = self._seed(self.epoch)
        if self.step:
            self._seed(self.epoch, self.step)
        else:
            self.engine.start_epoch()
        for batch in self._phases.waiting("data", self._batches.epoch(order, self.step)):
            self.engine.rate = self.scale * self.slowed * self._schedule()
            began = perf_counter()
            sums = self.task.step(self.engine, batch)
            self._phases.add("step", perf_counter() - began)
            for key, value in sums.items():
                self._sums.setdefault(key, Sum()).__iadd__(value)
            self.step += 1
            self.total_steps += 1
            self.examples += max((value.count for value in sums.values()), default=0)
            self.watchers.tell("on_step_end", self)
            if self.step < self.steps_per_epoch and not self._go_on():
                return False
        return True

    def _go_on(self) -> bool:
        """After a step: read, seed and save where it is time to; False when interrupted."""
        steps = self.options.checkpoint_steps
        due = steps is not None and self.total_steps % steps == 0
        point = due or self.step % self.options.log_every == 0
        anywhere = self._signals and not self._random and self.team.size == 1
        if not point and not anywhere:
            return True
        self._means()
        told, late, carries = self.team.any(self._signals > 0, self._late(), self.engine.carries)
        if told and not carries:
            return False
        if self._random:
            self._seed(self.epoch, self.step)
        if (due or late) and not carries:
            self.save()
        return True

    def _seed(self, *key: int) -> Any:
        return seed_all(self.seed, *key, worker=self.team.rank)

    def _schedule(self) -> float:
        """The schedule's factor of the learning rate just now."""
        moment = self.epoch + self.step / self.steps_per_epoch
        return factor(self.options, moment, self.options.epochs)

    @property
    def _random(self) -> bool:
        """Whether random numbers may be drawn on the way from one point to the next."""
        kind = type(self.task)
        own = kind.step is not Task.step or kind.evaluate is not Task.evaluate
        return own or self.engine.random

    def _late(self) -> bool:
        """Whether ``checkpoint_every`` is a time, and it is over."""
        seconds = self.options.checkpoint_seconds
        return seconds is not None and time.monotonic() - self._saved_at >= seconds

    def _due(self) -> bool:
        """Whether a checkpoint is due at the end of this epoch."""
        steps, epochs = self.options.checkpoint_steps, self.options.checkpoint_epochs
        if steps is not None:
            return self.total_steps % steps == 0
        return self._late() if epochs is None else self.epoch % epochs == 0

    def _end_epoch(self) -> None:
        metrics = self._means()
        self._sums, self.step = {}, 0
        self.epoch += 1
        self.watchers.tell("on_epoch_end", self, metrics)
        found: dict[str, float] = {}
        evaluates = (
            self.epoch % self.options.evaluate_every == 0 or self.epoch == self.options.epochs
        )
        if evaluates:
            self.engine.networks.average()
            with self._phases.within("evaluation"):
                found = self.task.evaluate(self.engine)
            if found:
                self.watchers.tell("on_evaluation_end", self, found)
                metrics.update(found)
            if self.options.plateau:
                metrics["rate"] = self.engine.rate  # so that its steps are seen among the curves
        metrics, found, self.reason = self.team.share([metrics, found, self.reason])
        if evaluates:
            self._judge(metrics, held_out=found)
            with self._phases.within("samples"):
                self.task.sample(self.engine.nets, self.run, self.epoch)
        self.metrics = metrics
        self.run.add_metrics({"epoch": self.epoch, "step": self.total_steps, **metrics})
        self.run.add_timings(self._phases.row(self.epoch, self.engine.updating))
        self.engine.updating = 0.0
        if self.team.share(self.task.finished(self.engine)):
            self.stop(SETTLED)

    def _means(self) -> dict[str, float]:
        """Read the sums back and insist that they are finite."""
        engine, means = self.engine, {key: value.mean() for key, value in self._sums.items()}
        for key, value in means.items():
            if not math.isfinite(value):
                bad, (largest, size) = engine.networks.first_bad(), engine.networks.largest()
                which = f"first bad parameter: {bad}"
                if not bad:
                    which = f"largest parameter: {largest} ({size:.2g})"
                where = f"epoch {self.epoch + 1}, step {self.step}; {which}"
                raise DivergedError(f"{key} is {value} in {where}", SMALLER)
        return means

    def _judge(self, metrics: Mapping[str, float], held_out: Mapping[str, float]) -> None:
        """Keep the best checkpoint, and stop when there was none for too long."""
        name = self.options.monitor or ("valid_loss" if "valid_loss" in metrics else "loss")
        value = metrics.get(name)
        if value is None:
            return
        sign = -1 if self.options.larger_is_better else 1
        if self.best is None or sign * value < sign * self.best:
            self.best, self._since_best = value, 0
            if name in held_out:
                self.save("best")
            return
        self._since_best += 1
        self.slowed *= self.options.plateau or 1.0
        if self.options.patience is not None and self._since_best >= self.options.patience:
            self.stop(f"no better {name} for {self._since_best} evaluations")

    def save(self, name: str = "") -> None:
        """Write a checkpoint of where the run stands.

        Raises
        ------
        DivergedError
            The last update has spoilt a parameter, which the loss has not shown yet.
        """
        bad = self.engine.networks.first_bad()
        if bad:
            raise DivergedError(
                f"parameter {bad} is not finite after epoch {self.epoch}, step {self.step}", SMALLER
            )
        arrays, updates = self.engine.state()
        for key, value in self._sums.items():
            arrays[f"sum/{key}"] = value.total.asnumpy()
        arrays.update({f"task/{key}": value for key, value in self.task.state().items()})
        meta = {key: getattr(self, key) for key in POSITION}
        meta |= {"updates": updates, "counts": {k: v.count for k, v in self._sums.items()}}
        meta |= {"callbacks": self.watchers.state()}
        if not name:  # the best one is not resumed from
            name, self._saved_at = f"{self.total_steps:09d}", time.monotonic()
        if not self.team.leads:
            return
        with self._phases.within("checkpoints"):
            path = checkpoint.save(
                self.run.checkpoints, Checkpoint(arrays, meta), name=name, keep=self.options.keep
            )
        self.watchers.tell("on_checkpoint", self, path)

    def restore(self, saved: Checkpoint) -> None:
        """Go back to where a checkpoint was taken; `fit` then goes on from there."""
        for key in POSITION:
            setattr(self, key, saved.meta.get(key, getattr(self, key)))  # older ones lack some
        self.engine.restore(saved.arrays, saved.meta["updates"])
        self.task.restore(saved.task)
        self._sums = {
            key: Sum(
                nd.array(saved.arrays[f"sum/{key}"], dtype=saved.arrays[f"sum/{key}"].dtype), n
            )
            for key, n in saved.meta["counts"].items()
        }
        self.watchers.restore(saved.meta.get("callbacks", {}))
        self.run.cut_metrics(self.total_steps - self.step)
        for row in self.run.metrics()[-1:]:  # there may be no further epoch to measure them in
            self.metrics = {k: v for k, v in row.items() if k not in ("epoch", "step")}

    @contextlib.contextmanager
    def _interrupts(self) -> Iterator[None]:
        """Let the first interrupt wait for a point to resume from; the second does not wait."""

        def note(number: int, frame: Any) -> None:
            self._signals += 1
            if self._signals > 1:
                raise KeyboardInterrupt
            self.run.log("interrupted: saving at the next point to resume from")

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

"""One task made small: its configuration for each check, and the runs that checks share.

Holds what is done with a task; what must come of it is in ``checks.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import yaml

from dope.core.configuring.config import Config, resolve
from dope.core.configuring.signature import class_attribute
from dope.core.plugging.registry import Registry
from dope.core.testing.noting import Noting, taken

SEED = 5  # of a run, where a check does not ask for another
STEPS = 4  # steps on whole batches
EPOCHS = {"trainer": {"epochs": 2, "log_every": 2}}
SECONDS = 300  # that a process may take


@dataclass
class Stepped:
    """A task after some steps of learning.

    Parameters
    ----------
    task, engine
        The composed task and its engine; ``engine`` notes losses.
    start, end
        Name to array of every parameter, after the first step and after the last.
    """

    task: Any
    engine: Noting
    start: Mapping[str, Any]
    end: Mapping[str, Any]


class Case:
    """A task to be checked.

    Parameters
    ----------
    registry, task
        Where it is registered, and its name.
    folder
        Where its runs are written.
    contract
        Name of a check to the sections that hold for it alone.
    """

    def __init__(
        self, registry: Registry, task: str, folder: Path, contract: Mapping[str, Any]
    ) -> None:
        self.registry, self.task, self.folder, self.contract = registry, task, folder, contract
        self.target = registry.get("task", task).target
        self.profiles = {"quick": {}, **class_attribute(self.target, "profiles", {})}
        self.profile = "tiny" if "tiny" in self.profiles else "quick"
        self._kept: dict[str, Any] = {}

    def sections(self, check: str) -> dict[str, Any]:
        """What is set for a check, on top of the profile: the suite's, then the task's."""
        return merged(EPOCHS, self.contract.get(check, {}))

    def config(self, check: str) -> Config:
        """The whole configuration for a check."""
        return resolve(
            self.registry, self.task, profile=self.profile, overrides_mapping=self.sections(check)
        )

    def once(self, what: str, check: str, make: Callable[[], Any]) -> Any:
        """What ``make`` returns or raises; the same for all checks that are configured alike."""
        key = f"{what} {json.dumps(self.sections(check), sort_keys=True, default=str)}"
        if key not in self._kept:
            try:
                self._kept[key] = make(), None
            except Exception as error:
                self._kept[key] = None, error
        value, raised = self._kept[key]
        if raised is not None:
            raise raised
        return value

    def run(self, check: str, *, seed: int = SEED, again: int = 0) -> tuple[Any, dict[str, Any]]:
        """A whole run in this process, and what its trained model said at its end."""

        def make() -> tuple[Any, dict[str, Any]]:
            from dope.core import api
            from dope.core.testing.fresh import witness

            said, callback = witness(seed)
            run = api.run(
                self.task,
                profile=self.profile,
                runs=self.folder / "runs",
                contexts="cpu(0)",
                seed=seed,
                callbacks=[callback],
                registry=self.registry,
                **self.sections(check),
            )
            return run, said

        made: tuple[Any, dict[str, Any]] = self.once(f"run {seed} {again}", check, make)
        return made

    def built(
        self,
        check: str,
        contexts: str = "cpu(0)",
        *,
        hybridize: bool = True,
        values: bool = False,
    ) -> tuple[Any, Noting]:
        """The task with its data read and its networks built, as `api.run` does it.

        ``values`` are those of losses, and then the engine notes them.
        """
        from dope.core import api, backend
        from dope.core.engine import Engine

        task = api.compose(self.registry, self.config(check))
        backend.use_threads(task.threads)
        backend.seed(SEED)
        task.prepare()
        nets = task.build()
        engine = Engine(
            nets,
            task.groups(nets),
            backend.contexts(contexts),
            batch_axis=task.batch_axis,
            hybridize=hybridize,
            accumulate=task.options.accumulate,
        )
        return task, Noting(engine, values=values)

    def step(self, task: Any, engine: Noting) -> None:
        """Learn on the task's own batches."""
        self._step(task, engine, self._batches(task))

    def whole(self, check: str) -> Stepped:
        """The task after steps on its own batches."""

        def make() -> Stepped:
            task, engine = self.built(check)
            batches = self._batches(task)
            self._step(task, engine, batches[:1])
            start = engine.state()[0]
            self._step(task, engine, batches[1:])
            return Stepped(task, engine, parameters(start), parameters(engine.state()[0]))

        made: Stepped = self.once("whole", check, make)
        return made

    def uneven(self, check: str, contexts: str = "cpu(0)", *, hybridize: bool = True) -> Stepped:
        """The same from one starting point for all, then an odd batch, then one example."""

        def make() -> Stepped:
            begin = self.once("begin", check, lambda: self._begin(check))
            task, engine = self.built(check, contexts, hybridize=hybridize)
            batches = self._batches(task)
            engine.restore(*begin)
            self._step(task, engine, batches)
            for short in self._short(batches[0], engine.batch_axis):
                self._step(task, engine, [short])  # a carry would not fit it
            return Stepped(task, engine, parameters(begin[0]), parameters(engine.state()[0]))

        made: Stepped = self.once(f"uneven {contexts} {hybridize}", check, make)
        return made

    def _begin(self, check: str) -> Any:
        """State after one step: parameters whose shape is known from data only have one now."""
        task, engine = self.built(check)
        self._step(task, engine, self._batches(task)[:1])
        return engine.state()

    def _batches(self, task: Any) -> list[Any]:
        return list(islice(cycle(islice(iter(task.data("train")), STEPS)), STEPS))

    def _step(self, task: Any, engine: Noting, batches: Any) -> None:
        from dope.core.backend import seed

        engine.start_epoch()
        for i, batch in enumerate(batches):
            seed(SEED, i)
            task.step(engine, batch)

    def _short(self, batch: Any, axis: int) -> Iterator[Any]:
        from dope.core.data import batch_length

        n = batch_length(batch, axis)
        yield taken(batch, 0, max(1, n - 1 - n % 2), axis)
        yield taken(batch, 0, 1, axis)

    def fresh(
        self, check: str, job: str, *, module: str = "fresh", **details: Any
    ) -> tuple[int, dict[str, Any], str]:
        """Do a job of ``fresh.py`` in a new process: exit code, answer, and end of stderr."""

        def make() -> tuple[int, dict[str, Any], str]:
            answer = self.folder / f"{job}-{len(self._kept)}.json"
            order = {
                "job": job,
                "entries": [vars(entry) for entry in self.registry.entries()],
                "installed": bool(self.registry.plugins),
                "task": self.task,
                "profile": self.profile,
                "sections": self.sections(check),
                "seed": SEED,
                "answer": str(answer),
                **details,
            }
            seconds = details.get("limit", SECONDS)
            try:
                done = process(module, order, details.get("cwd", self.folder), seconds)
            except subprocess.TimeoutExpired:
                return 1, {}, f"it had not ended after {seconds} s"
            found = json.loads(answer.read_text()) if answer.is_file() else {}
            return done.returncode, found, " ".join(done.stderr.split())[-500:]

        made: tuple[int, dict[str, Any], str] = self.once(f"{job} {details}", check, make)
        return made


def process(
    module: str, order: Mapping[str, Any], cwd: Any, seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a module of this package in a new process; it reads the order from standard input."""
    path = os.pathsep.join(str(Path(each).absolute()) for each in sys.path if each)
    return subprocess.run(
        [sys.executable, "-m", f"dope.core.testing.{module}"],
        input=json.dumps(order, default=str),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **order.get("env", {})},
        cwd=cwd,
        timeout=seconds,
    )


def parameters(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Of an engine's state the parameters alone."""
    return {key: value for key, value in arrays.items() if key.startswith("parameter/")}


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of several layers, option by option; the later layer wins."""
    made: dict[str, Any] = {}
    for layer in layers:
        for section, content in layer.items():
            if isinstance(content, Mapping) and isinstance(made.get(section), Mapping):
                made[section] = {**made[section], **content}
            else:
                made[section] = content
    return made


def from_yaml(text: str) -> Any:
    """What stands in YAML text."""
    return yaml.safe_load(text)

"""What the contract suite does in a process of its own: a run that is killed, and what follows.

Holds the jobs only; who orders them and judges what they answer is in ``checks.py``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dope.core.callbacks import Callback
from dope.core.plugging.registry import Entry, Registry
from dope.core.rundir import plain

if TYPE_CHECKING:
    from dope.core.trainer import Trainer


def said_by(task: Any, engine: Any, run: Any, seed: int) -> dict[str, Any]:
    """What a trained model evaluates to and predicts; None where it does not predict."""
    from dope.core import backend
    from dope.core.errors import ConfigError

    backend.seed(seed)
    evaluated = task.evaluate(engine)
    backend.seed(seed)
    try:
        predicted = task.predict(engine.nets, run)
    except ConfigError:  # it does not, or it wants to be told of what
        predicted = None
    return without_files({"evaluate": evaluated, "predict": predicted})


def without_files(said: dict[str, Any]) -> dict[str, Any]:
    """As plain data, without the names of files, which are new each time."""
    made: dict[str, Any] = plain(said)
    if isinstance(made.get("predict"), dict):
        made["predict"].pop("files", None)
    return made


def witness(seed: int) -> tuple[dict[str, Any], Callback]:
    """A callback, and a mapping that holds at the end of a run what its model says."""
    said: dict[str, Any] = {}

    class Witness(Callback):
        """Asks the trained model itself, not one that was loaded."""

        def on_fit_end(self, trainer: Trainer, status: str) -> None:
            if status == "done":
                said.update(said_by(trainer.task, trainer.engine, trainer.run, seed))

    return said, Witness()


class Signal(Callback):
    """Send this process a signal at the end of a step.

    Parameters
    ----------
    number
        The signal.
    step
        Of the whole run; never the first step after a start.
    """

    def __init__(self, number: int, step: int) -> None:
        self.number, self.step = number, step
        self.sent = False

    def on_fit_start(self, trainer: Trainer) -> None:
        self.step = max(self.step, trainer.total_steps + 1)

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.total_steps >= self.step and not self.sent:
            self.sent = True
            os.kill(os.getpid(), self.number)


def stop(order: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """Interrupt a run at one step, resume it, and die at another without a word."""
    from dope.core import api

    run = api.run(
        order["task"],
        profile=order["profile"],
        runs=order["runs"],
        contexts="cpu(0)",
        seed=order["seed"],
        callbacks=[Signal(signal.SIGINT, order["interrupt"])],
        registry=registry,
        **order["sections"],
    )
    status = run.result["status"]
    if status == "interrupted":
        api.resume(run.path, callbacks=[Signal(signal.SIGKILL, order["kill"])], registry=registry)
    return {"status": status}  # who is killed does not come here


def finish(order: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """Resume a run to its end."""
    from dope.core import api

    _, callback = witness(order["seed"])
    run = api.resume(order["run"], callbacks=[callback], registry=registry)
    return {"status": run.result["status"], "metrics": run.metrics}


def load(order: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """Evaluate and predict with a run that another process has trained."""
    from dope.core import api

    said: dict[str, Any] = {"evaluate": api.evaluate(order["run"], registry=registry)}
    said["predict"] = None
    if order["predicts"]:
        said["predict"] = api.predict(order["run"], registry=registry)
    return without_files(said)


def register(order: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """What one plugin registers, word for word, and the heavy modules that it imports."""
    import pluggy

    from dope.core.hookspecs import Hooks
    from dope.core.plugging.discovery import GROUP, HEAVY, KIND_OF_HOOK

    made: list[dict[str, Any]] = []
    before = {name for name in HEAVY if name in sys.modules}
    plugin = EntryPoint(order["plugin"], order["entry"], GROUP).load()
    manager = pluggy.PluginManager("dope")
    manager.add_hookspecs(Hooks)
    manager.register(plugin)
    for hook, kind in KIND_OF_HOOK.items():

        def note(name: Any, target: Any, *, summary: Any = "", _kind: str = kind) -> None:
            made.append({"kind": _kind, "name": name, "target": target, "summary": summary})

        getattr(manager.hook, hook)(register=note)
    heavy = [name for name in HEAVY if name in sys.modules and name not in before]
    return {"registered": made, "heavy": heavy}


JOBS = {"stop": stop, "finish": finish, "load": load, "register": register}


def main() -> None:
    """Read an order from standard input, do it, write the answer where the order says."""
    do(JOBS)


def do(jobs: Mapping[str, Callable[[dict[str, Any], Registry], dict[str, Any]]]) -> None:
    """The same with other jobs."""
    order = json.load(sys.stdin)
    registry = Registry()
    for entry in order["entries"]:
        registry.add(Entry(**entry))
    answer = jobs[order["job"]](order, registry)
    Path(order["answer"]).write_text(json.dumps(plain(answer)), encoding="utf-8")


if __name__ == "__main__":
    main()

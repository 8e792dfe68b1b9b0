"""The six events of a run, and how callbacks are told of them.

Holds no loop: the trainer calls these. What shows progress is in terminal/progress.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dope.core.errors import DopeError, PluginError
from dope.core.rundir import plain

if TYPE_CHECKING:
    from dope.core.trainer import Trainer

COLUMNS = ("epoch", "step")  # of metrics.jsonl, the trainer's own


class Callback:
    """Base of what watches a run, and may act on it; override the events that matter.

    A callback that a plugin registers is made only for runs that name it, in
    ``trainer.callbacks``. Its options are keyword-only arguments of its constructor, annotated
    and documented as those of every part.

    The trainer that is passed has ``epoch``, ``step``, ``total_steps``, ``examples``, ``metrics``
    (of the last epoch), ``options``, ``run`` (the run directory), ``engine``, ``task`` and
    ``stop(reason)``. Files go into ``trainer.run.path``, or are written whole by
    ``trainer.run.write_text(name, text)`` and ``trainer.run.write_json``. Whoever draws random
    numbers takes a generator of its own, or the run's numbers change.

    What an event raises ends the run, marked as failed, with the callback's and the event's name;
    the last checkpoint stands. A `DopeError` is shown as it is.

    Examples
    --------
    >>> from dope import Callback
    >>> class Enough(Callback):
    ...     '''Stop where the loss is small enough, and count how many epochs it took.
    ...
    ...     Parameters
    ...     ----------
    ...     loss
    ...         Small enough.
    ...     '''
    ...
    ...     def __init__(self, *, loss: float = 0.1) -> None:
    ...         self.loss, self.epochs = loss, 0
    ...
    ...     def on_epoch_end(self, trainer, metrics):
    ...         self.epochs += 1
    ...         metrics["epochs_until_enough"] = self.epochs  # a column of metrics.jsonl
    ...         if metrics["loss"] < self.loss:
    ...             trainer.stop(f"loss below {self.loss}")
    ...
    ...     def state(self):
    ...         return {"epochs": self.epochs}
    ...
    ...     def restore(self, state):
    ...         self.epochs = state["epochs"]
    """

    registered_name = ""  # dope fills it in

    def on_fit_start(self, trainer: Trainer) -> None:
        """Training begins or goes on: after a resume, it is told again."""

    def on_step_end(self, trainer: Trainer) -> None:
        """One step is done; nothing has been read back from the device."""

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """An epoch is done; ``metrics`` are its means.

        What is added to them becomes a column of ``metrics.jsonl``: numbers and texts. A number
        may be named as ``trainer.monitor``.
        """

    def on_evaluation_end(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Held-out data was evaluated; ``metrics`` may be added to, as those of an epoch."""

    def on_checkpoint(self, trainer: Trainer, path: Path) -> None:
        """A checkpoint stands."""

    def on_fit_end(self, trainer: Trainer, status: str) -> None:
        """Training is over: ``done``, ``interrupted`` or ``failed``."""

    def state(self) -> Mapping[str, Any]:
        """What `restore` needs after a resume, as JSON can hold it; each checkpoint keeps it."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned at the checkpoint from which a run goes on.

        Called before ``on_fit_start``, and not at all where the state was empty.
        """


class Watchers:
    """The callbacks of one run, in order; what goes wrong in one is said with its name.

    Parameters
    ----------
    callbacks
        A callback that is registered has its name as ``registered_name``; others go by the name
        of their class.
    """

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self.callbacks = list(callbacks)
        self._started: list[Callback] = []

    def start(self, trainer: Trainer) -> None:
        """Tell all that training begins; only they are told of its end."""
        for callback in self.callbacks:
            _call(callback, "on_fit_start", trainer)
            self._started.append(callback)

    def tell(self, event: str, trainer: Trainer, *details: Any) -> None:
        """Tell all of one event."""
        for callback in self.callbacks:
            _call(callback, event, trainer, *details)

    def end(self, trainer: Trainer, status: str) -> None:
        """Tell all that have started; the first error is raised after, unless one is on its way."""
        on_its_way = sys.exc_info()[1]
        errors: list[BaseException] = []
        for callback in self._started:
            try:
                _call(callback, "on_fit_end", trainer, status)
            except Exception as error:
                errors.append(error)
        self._started = []
        if errors and on_its_way is None:
            raise errors[0]

    def state(self) -> dict[str, Any]:
        """States of those that have one, by name."""
        found = {key: _call(callback, "state") for key, callback in self._named()}
        return {key: dict(state) for key, state in found.items() if state}

    def restore(self, states: Mapping[str, Any]) -> None:
        """Give each the state that it had."""
        for key, callback in self._named():
            if key in states:
                _call(callback, "restore", states[key])

    def _named(self) -> list[tuple[str, Callback]]:
        """Callbacks by name; the second of a name has #2 behind it."""
        made: dict[str, Callback] = {}
        for callback in self.callbacks:
            name, number = _name(callback), 2
            while name in made:
                name, number = f"{_name(callback)}#{number}", number + 1
            made[name] = callback
        return list(made.items())


def _name(callback: Callback) -> str:
    return callback.registered_name or type(callback).__name__


def _call(callback: Callback, event: str, *details: Any) -> Any:
    """Call one method of a callback, and insist that JSON can hold what it leaves."""
    try:
        found = getattr(callback, event)(*details)
        if event == "state":
            json.dumps(found)
        elif details and isinstance(details[-1], dict):  # metrics
            json.dumps(plain(details[-1]))
            for name in COLUMNS:
                if name in details[-1]:
                    raise ValueError(f"'{name}' is a column of the trainer's own")
    except DopeError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError(
            f"callback {_name(callback)} failed in {event} ({reason})",
            "Mend it, or leave it out of trainer.callbacks; the last checkpoint is kept.",
        ) from error
    return found

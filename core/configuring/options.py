"""The options of one part, whichever section it stands in, and the trainer's own options.

Completes and checks one section; merging sources is in ``sources.py``, the whole in ``config.py``.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Literal, Optional, Union

from dope.core.configuring.annotations import type_text
from dope.core.configuring.signature import REQUIRED, Option, Signature, signature
from dope.core.configuring.sources import CALLBACKS, Chosen, Given
from dope.core.configuring.values import Mismatch, check, from_text
from dope.core.errors import ConfigError, PluginError, did_you_mean
from dope.core.optimizing.optimizers import OPTIMIZERS
from dope.core.plugging.registry import Registry

TRAINER = "dope.core.configuring.config:TrainerOptions"
_EVERY = re.compile(
    r"\s*(\d+(?:\.\d+)?)\s*"
    r"(?:(?P<epochs>epochs?)|(?P<steps>steps?)|(?P<seconds>s|sec|secs|seconds?)"
    r"|(?P<minutes>min|mins|minutes?)|(?P<hours>h|hours?))?\s*"
)
_SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}
_LARGER = re.compile(
    r"(?:^|[^a-z])(?:accuracy|f1|auc|recall|precision|ndcg|map|pearson|spearman|r)(?:(?:@|_at_)?\d+)?$"
)


class TrainerOptions:
    """How the trainer runs: how long, at which learning rate, what it reads back and writes.

    Parameters
    ----------
    epochs
        Passes over the training data.
    batch_size
        Examples per step, over all contexts of a worker; null is the task's own size, or all at
        once.
    accumulate
        Pieces that a batch is cut into, worked through one after the other; their gradients are
        added before the one update. The update is the same, the memory less.
    schedule
        How the learning rate goes on from the optimizer's own; cosine, linear and poly reach
        their end in the last epoch.
    warmup
        Epochs in which the learning rate first rises in a straight line, from a hundredth.
    milestones
        Epochs after which the schedule step multiplies the learning rate with ``decay``.
    decay
        Factor at each milestone.
    final
        Share of the learning rate at the end of the schedules cosine, linear and poly.
    power
        Exponent of the share of the run that is left, for the schedule poly.
    clip
        Largest norm of a group's whole gradient; null does not clip.
    log_every
        Steps between two read-backs of the losses; each makes the device wait.
    checkpoint_every
        Epochs between two checkpoints, or a text: 500 steps, 10 minutes (or seconds, hours).
    keep
        Number of checkpoints that are kept, newest first.
    evaluate_every
        Epochs between two evaluations.
    patience
        Evaluations without a better ``monitor`` after which the run stops; null never stops.
    folds
        Parts of the training examples for cross-validation: before the training proper, the task
        is trained once without each part and judged on it. 1 does without.
    plateau
        Factor that the learning rate is multiplied with after each evaluation without a better
        ``monitor``; null leaves it alone.
    monitor
        Metric that says which epoch is best; null is valid_loss where there is one, else loss.
    mode
        Whether the smaller or the larger monitor is better. auto: larger for names that end in
        accuracy, f1, auc, recall, precision, ndcg, map, pearson, spearman or r (and so recall@10),
        else smaller.
    rate_scaling
        What several workers multiply every learning rate with, as their batches are together
        larger: none, sqrt or linear (of their number).
    compression
        Threshold of two-bit compression of gradients between workers: each entry is sent as
        minus this, 0 or this, the rest is kept for the next step. null sends them whole.
    callbacks
        Callbacks that are told of the run's events, in this order: names, or mappings of a name
        and options. On the command line, options are trainer.callbacks.NAME.option=value.

    Attributes
    ----------
    checkpoint_epochs, checkpoint_steps, checkpoint_seconds
        ``checkpoint_every`` as a number of one of these; the other two are None.

    Raises
    ------
    ConfigError
        A value is out of its range, or has no meaning beside another.
    """

    def __init__(
        self,
        *,
        epochs: int = 10,
        batch_size: Optional[int] = None,
        accumulate: int = 1,
        schedule: Literal["constant", "step", "cosine", "linear", "poly"] = "constant",
        warmup: float = 0.0,
        milestones: List[float] = [],  # noqa: B006 - copied below; the signature shows the default
        decay: float = 0.1,
        final: float = 0.0,
        power: float = 2.0,
        clip: Optional[float] = None,
        log_every: int = 50,
        checkpoint_every: Union[int, str] = 1,
        keep: int = 2,
        evaluate_every: int = 1,
        patience: Optional[int] = None,
        folds: int = 1,
        plateau: Optional[float] = None,
        monitor: Optional[str] = None,
        mode: Literal["auto", "min", "max"] = "auto",
        rate_scaling: Literal["none", "sqrt", "linear"] = "none",
        compression: Optional[float] = None,
        callbacks: List[Union[str, Dict[str, Any]]] = [],  # noqa: B006 - likewise
    ) -> None:
        self.epochs, self.batch_size, self.accumulate = epochs, batch_size, accumulate
        self.schedule, self.warmup, self.milestones = schedule, warmup, list(milestones)
        self.decay, self.final, self.power, self.clip = decay, final, power, clip
        self.log_every, self.checkpoint_every, self.keep = log_every, checkpoint_every, keep
        self.evaluate_every, self.patience, self.plateau = evaluate_every, patience, plateau
        self.monitor, self.mode, self.callbacks = monitor, mode, list(callbacks)
        self.folds, self.rate_scaling, self.compression = folds, rate_scaling, compression
        self._check_ranges()
        self._check_schedule()
        self.checkpoint_epochs: Optional[int] = None
        self.checkpoint_steps: Optional[int] = None
        self.checkpoint_seconds: Optional[float] = None
        self._read_checkpoint_every()

    @property
    def larger_is_better(self) -> bool:
        """Whether a larger value of ``monitor`` is the better one."""
        if self.mode == "auto":
            return _LARGER.search((self.monitor or "loss").lower()) is not None
        return self.mode == "max"

    def _check_ranges(self) -> None:
        def insist(good: bool, name: str, wanted: str) -> None:
            if not good:
                value = getattr(self, name)
                raise ConfigError(f"trainer.{name}={value} is out of range", f"It is {wanted}.")

        for name in ("epochs", "warmup"):
            insist(getattr(self, name) >= 0, name, "at least 0")
        for name in ("accumulate", "log_every", "keep", "evaluate_every", "folds"):
            insist(getattr(self, name) >= 1, name, "at least 1")
        for name in ("batch_size", "patience"):
            value = getattr(self, name)
            insist(value is None or value >= 1, name, "at least 1")
        for name in ("clip", "compression"):
            value = getattr(self, name)
            insist(value is None or value > 0, name, "above 0")
        insist(0 < self.decay <= 1, "decay", "above 0 and at most 1")
        insist(self.plateau is None or 0 < self.plateau < 1, "plateau", "above 0 and below 1")
        insist(0 <= self.final <= 1, "final", "between 0 and 1")
        insist(self.power > 0, "power", "above 0")
        rising = all(a < b for a, b in zip([0.0, *self.milestones], self.milestones))
        insist(rising, "milestones", "a list of epochs above 0, each above the one before")
        most = self.batch_size or self.accumulate
        insist(self.accumulate <= most, "accumulate", f"at most batch_size, here {most}")

    def _check_schedule(self) -> None:
        """Refuse options that the schedule would silently leave unused."""
        if self.schedule == "step" and not self.milestones:
            raise ConfigError(
                "trainer.schedule=step has no milestones", "Add trainer.milestones=2,4 (epochs)."
            )
        unused = {
            "milestones": (self.milestones == [], "step", "empty"),
            "decay": (self.decay == 0.1, "step", "at 0.1"),
            "final": (self.final == 0, "cosine, linear or poly", "at 0"),
            "power": (self.power == 2, "poly", "at 2"),
        }
        for name, (default, schedules, empty) in unused.items():
            if not default and self.schedule not in schedules:
                raise ConfigError(
                    f"trainer.{name}={getattr(self, name)} has no meaning with "
                    f"trainer.schedule={self.schedule}",
                    f"It is for the schedule {schedules}; leave it {empty} otherwise.",
                )

    def _read_checkpoint_every(self) -> None:
        given = str(self.checkpoint_every)
        match = _EVERY.fullmatch(given.lower())
        number = float(match[1]) if match else 0.0
        unit = match.lastgroup if match else None
        if number <= 0 or (unit in (None, "epochs", "steps") and number % 1):
            raise ConfigError(
                f"trainer.checkpoint_every={given} is not a time between two checkpoints",
                "Write 2 or '2 epochs', '500 steps', '90 seconds', '10 minutes' or '1 hour'.",
            )
        if unit == "steps":
            self.checkpoint_steps = int(number)
        elif unit in _SECONDS:
            self.checkpoint_seconds = number * _SECONDS[unit]
        else:
            self.checkpoint_epochs = int(number)


def part_signature(registry: Registry, section: str, name: str) -> Signature:
    """Signature of a named part, an optimizer or the trainer.

    Raises
    ------
    ConfigError
        There is no such part.
    PluginError
        Its source cannot be read, or an option has the reserved name ``name``.
    """
    if section == "trainer":
        target = TRAINER
    elif section == "optimizer":
        if name not in OPTIMIZERS:
            hint = f"{did_you_mean(name, OPTIMIZERS)} Optimizers are {', '.join(OPTIMIZERS)}."
            raise ConfigError(f"there is no optimizer '{name}'", hint.strip())
        target = OPTIMIZERS[name]
    else:
        target = registry.get(section, name).target
    found = signature(target)
    if "name" in found.options and section != "trainer":
        raise PluginError(f"{target}: 'name' names the part itself", "Rename that option.")
    return found


def complete(
    registry: Registry,
    task: str,
    section: str,
    chosen: Chosen,
    *,
    partial: bool = False,
    at: str = "",
) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and origins of one section.

    Parameters
    ----------
    registry
        Where the part's name is looked up.
    task
        What ``dope show`` is to be asked about where a value is of another type.
    section
        The kind of part.
    chosen
        Its name, and the options that are given.
    partial
        Let required options be missing.
    at
        What stands before an option's name where users write it; default ``section``.
    """
    name = chosen.name or section
    at = at or section
    options = part_signature(registry, section, name).options
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if section != "trainer":
        values["name"] = name
        origins["name"] = chosen.origin or "command line"
    for key, given in chosen.options.items():
        if key not in options:
            known = ", ".join(options) or "none"
            raise ConfigError(
                f"{given.at(at, key)}: {name} has no option '{key}'",
                f"{did_you_mean(key, options)} Its options: {known}.".strip(),
            )
    for key, option in options.items():
        if key in chosen.options:
            values[key] = _value(task, at, option, chosen.options[key])
            origins[key] = chosen.options[key].origin
        elif option.default is not REQUIRED:
            values[key] = _default(name, option)
            origins[key] = f"default of {name}"
        elif not partial:
            raise ConfigError(
                f"{at}.{key} is required by {name} and not given",
                f"Add {at}.{key}=… ({type_text(option.annotation)}).",
            )
    return values, origins


def complete_callbacks(
    registry: Registry, trainer: Chosen, *, partial: bool = False
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The trainer's callbacks, a mapping of name and all options each; and where they are from.

    Origins are by ``callbacks.NAME.option``, and ``callbacks`` for the list.
    """
    found: list[dict[str, Any]] = []
    origins = {"callbacks": trainer.origin or "default of trainer"}
    for name, chosen in trainer.callbacks.items():
        at, show = f"{CALLBACKS}.{name}", f"{name} --kind callback"
        values, own = complete(registry, show, "callback", chosen, partial=partial, at=at)
        found.append(values)
        own.pop("name")
        origins.update({f"callbacks.{name}.{key}": origin for key, origin in own.items()})
    return found, origins


def _value(task: str, section: str, option: Option, given: Given) -> Any:
    try:
        read = from_text if given.text else check
        return read(given.value, option.annotation)
    except Mismatch as error:
        raise ConfigError(
            f"{given.at(section, option.name)}: {error}", f"See: dope show {task}"
        ) from None


def _default(name: str, option: Option) -> Any:
    try:
        return check(option.default, option.annotation)
    except Mismatch as error:
        raise PluginError(
            f"{name}: the default of option '{option.name}' is not of its type: {error}",
            "Mend its annotation or its default.",
        ) from None

"""The options of one part, whichever section it stands in, and the trainer's own options.

Completes and checks one section; merging sources is in ``sources.py``, the whole in ``config.py``.
"""

from __future__ import annotations

from typing import Any, List, Optional

from dope.core.annotations import type_text
from dope.core.errors import ConfigError, PluginError, did_you_mean
from dope.core.optimizers import OPTIMIZERS
from dope.core.registry import Registry
from dope.core.signature import REQUIRED, Option, Signature, signature
from dope.core.sources import Chosen, Given
from dope.core.values import Mismatch, check, from_text

TRAINER = "dope.core.config:TrainerOptions"


class TrainerOptions:
    """How the trainer runs: how long, what it reads back, writes and watches.

    Parameters
    ----------
    epochs
        Passes over the training data.
    batch_size
        Examples per step, over all contexts; null is the task's own size, or all at once.
    log_every
        Steps between two read-backs of the losses; each makes the device wait.
    checkpoint_every
        Epochs between two checkpoints.
    keep
        Number of checkpoints that are kept, newest first.
    evaluate_every
        Epochs between two evaluations.
    patience
        Evaluations without a better ``monitor`` after which the run stops; null never stops.
    monitor
        Metric that says which epoch is best.
    clip
        Largest norm of a group's whole gradient; null does not clip.
    callbacks
        Names of callbacks that are told of the run's events, in this order.

    Raises
    ------
    ConfigError
        A value is out of its range.
    """

    def __init__(
        self,
        *,
        epochs: int = 10,
        batch_size: Optional[int] = None,
        log_every: int = 10,
        checkpoint_every: int = 1,
        keep: int = 2,
        evaluate_every: int = 1,
        patience: Optional[int] = None,
        monitor: str = "loss",
        clip: Optional[float] = None,
        callbacks: List[str] = [],  # noqa: B006 - copied below; the signature shows the default
    ) -> None:
        self.epochs = epochs
        self.batch_size = batch_size
        self.log_every = log_every
        self.checkpoint_every = checkpoint_every
        self.keep = keep
        self.evaluate_every = evaluate_every
        self.patience = patience
        self.monitor = monitor
        self.clip = clip
        self.callbacks = list(callbacks)
        for name, value in vars(self).items():
            least = 0 if name == "epochs" else 1
            if name == "clip" and value is not None and value <= 0:
                raise ConfigError(f"trainer.clip={value} is out of range", "It is above 0.")
            if isinstance(value, int) and name != "clip" and value < least:
                raise ConfigError(
                    f"trainer.{name}={value} is out of range", f"It is at least {least}."
                )


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
    registry: Registry, task: str, section: str, chosen: Chosen, *, partial: bool = False
) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and origins of one section; ``partial`` lets required options be missing."""
    name = chosen.name or section
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
                f"{given.at(section, key)}: {name} has no option '{key}'",
                f"{did_you_mean(key, options)} Its options: {known}.".strip(),
            )
    for key, option in options.items():
        if key in chosen.options:
            values[key] = _value(task, section, option, chosen.options[key])
            origins[key] = chosen.options[key].origin
        elif option.default is not REQUIRED:
            values[key] = _default(name, option)
            origins[key] = f"default of {name}"
        elif not partial:
            raise ConfigError(
                f"{section}.{key} is required by {name} and not given",
                f"Add {section}.{key}=… ({type_text(option.annotation)}).",
            )
    return values, origins


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

"""The learning rate over a run: one factor for a moment of training, from the trainer's options.

Holds arithmetic only; the trainer asks at each step and passes the product to the optimizers.
"""

from __future__ import annotations

import bisect
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dope.core.configuring.options import TrainerOptions

FIRST = 0.01  # share of the learning rate in the first step of a warm-up: a step of 0 is wasted


def factor(options: TrainerOptions, epoch: float, epochs: int) -> float:
    """What the optimizer's learning rate is multiplied with at a moment of training.

    With e the moment, W the epochs of warm-up, E those of the run, f the ``final`` share and
    p = (e - W) / (E - W), which is 0 until the warm-up is over, the factor is

    - ``constant``: 1,
    - ``step``: ``decay`` to the power of the number of milestones that e has reached,
    - ``cosine``: f + (1 - f) (1 + cos πp) / 2 (arXiv:1608.03983, equation 5, one cycle),
    - ``linear``: f + (1 - f) (1 - p),
    - ``poly``: f + (1 - f) (1 - p) to the power of ``power``,

    times, for e < W, the warm-up 0.01 + 0.99 e / W (arXiv:1706.02677, section 2.2).

    The last three end with the run. A run that is resumed with more epochs has its schedule
    stretched over all of them: the rate goes back up to where the longer schedule has it.

    Parameters
    ----------
    options
        The trainer's: ``schedule``, ``warmup``, ``milestones``, ``decay``, ``final``, ``power``.
    epoch
        Epochs done, as a real number: steps done over the steps of an epoch, 0 at the first step.
    epochs
        Epochs of the whole run.

    Returns
    -------
    float
        At least 0 and at most 1; above 0 for each step of a run.
    """
    kind, warmup = options.schedule, options.warmup
    if kind == "constant" and epoch >= warmup:
        return 1.0
    rise = FIRST + (1 - FIRST) * epoch / warmup if epoch < warmup else 1.0
    if kind == "constant":
        return rise
    if kind == "step":
        return rise * options.decay ** bisect.bisect_right(options.milestones, epoch)
    left = 1.0  # share of the schedule that is to come, 1 - p
    if epoch > warmup:
        left = max(0.0, epochs - epoch) / max(epochs - warmup, epoch - warmup)
    if kind == "cosine":
        shape = (1 - math.cos(math.pi * left)) / 2
    else:
        shape = left**options.power if kind == "poly" else left
    return rise * (options.final + (1 - options.final) * shape)

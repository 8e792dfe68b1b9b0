"""Update rules in NumPy, on the memory of MXNet's arrays: faster than its operators on CPU.

Holds the arithmetic only. MXNet's own operators take over for every other rule, and on GPUs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

BLOCK = 65536  # entries: weight, gradient, two states and the scratch stay in a core's cache
RUN = 256  # entries of a gradient that are looked at together for being all 0


class Step(NamedTuple):
    """What one update needs besides arrays.

    Parameters
    ----------
    rate, decay
        Learning rate and weight decay.
    scale
        What the gradient is multiplied with first: 1 / examples.
    number
        Number of this update, from 1.
    """

    rate: float
    decay: float
    scale: float
    number: int


Arrays = Sequence[np.ndarray]
Rule = Callable[[Any, Step, Arrays, np.ndarray, np.ndarray], None]


def rule_for(optimizer: Any, size: int = 1, threads: int = 1) -> Optional[Rule]:
    """The rule that does what the MXNet optimizer would do; None where that is the quicker one.

    Parameters
    ----------
    optimizer
        The optimizer.
    size
        Entries of the array that it updates.
    threads
        Threads that an operator of MXNet has. NumPy has one: where work is more than traffic with
        the memory, as for Adam, several do long arrays in less time.
    """
    name = type(optimizer).__name__
    shared = name in SHARED and threads > 1 and size > BLOCK
    return None if shared else RULES.get(name)


def update(rule: Rule, optimizer: Any, step: Step, arrays: Arrays, scratch: np.ndarray) -> None:
    """Apply a rule, block by block.

    Parameters
    ----------
    rule, optimizer, step
        What is done.
    arrays
        Weight, gradient and the optimizer's states, shape (n,) each; all but the gradient change
        in place.
    scratch
        Shape (2, BLOCK), of the arrays' type.
    """
    n = len(arrays[0])
    if n <= BLOCK:
        rule(optimizer, step, arrays, scratch[0, :n], scratch[1, :n])
        return
    for start in range(0, n, BLOCK):
        part = [array[start : start + BLOCK] for array in arrays]
        size = len(part[0])
        rule(optimizer, step, part, scratch[0, :size], scratch[1, :size])


def _sgd(optimizer: Any, step: Step, arrays: Arrays, t: np.ndarray, u: np.ndarray) -> None:
    """w <- w - rate (g + decay w), or with momentum v <- m v - rate (g + decay w); w <- w + v."""
    w, g, *velocity = arrays
    if not (velocity or step.decay or optimizer.clip_gradient):
        np.multiply(g, -step.rate * step.scale, t)
        np.add(w, t, w)
        return
    np.multiply(g, step.scale, t)
    _cut(optimizer, t)
    _decay(step, w, t, u)
    np.multiply(t, -step.rate, t)
    for v in velocity:
        np.multiply(v, optimizer.momentum, v)
        np.add(v, t, v)
        t = v
    np.add(w, t, w)


def _adam(optimizer: Any, step: Step, arrays: Arrays, t: np.ndarray, u: np.ndarray) -> None:
    """Kingma and Ba (2015), section 2, with the two corrections moved into the rate."""
    w, g, mean, square = arrays
    beta1, beta2 = optimizer.beta1, optimizer.beta2
    rate = step.rate * math.sqrt(1 - beta2**step.number) / (1 - beta1**step.number)
    np.multiply(g, step.scale, t)
    _decay(step, w, t, u)  # MXNet cuts after decay here, and before it elsewhere
    _cut(optimizer, t)
    np.multiply(mean, beta1, mean)
    np.multiply(t, 1 - beta1, u)
    np.add(mean, u, mean)
    np.multiply(square, beta2, square)
    np.multiply(t, t, t)
    np.multiply(t, 1 - beta2, t)
    np.add(square, t, square)
    np.sqrt(square, t)
    np.add(t, optimizer.epsilon, t)
    np.divide(mean, t, t)
    np.multiply(t, rate, t)
    np.subtract(w, t, w)


def _adagrad(optimizer: Any, step: Step, arrays: Arrays, t: np.ndarray, u: np.ndarray) -> None:
    """Duchi, Hazan and Singer (2011): w <- w - rate (g / sqrt(sum of squares + eps) + decay w).

    Where a run of the gradient is 0, as in the rows of words that a minibatch has not, only decay
    is left: the same numbers for a third of the work.
    """
    w, g = arrays[:2]
    used = _used(g) if optimizer.float_stable_eps > 0 else None
    if used is None:
        _adagrad_all(optimizer, step, arrays, t, u)
        return
    whole = len(g) - len(g) % RUN
    runs = [array[:whole].reshape(-1, RUN) for array in arrays]
    taken = [array[used] for array in runs]
    n = taken[0].size
    _adagrad_all(optimizer, step, [array.reshape(-1) for array in taken], t[:n], u[:n])
    if step.decay:
        np.multiply(w[:whole], step.rate * step.decay, u[:whole])
        np.subtract(w[:whole], u[:whole], w[:whole])
    runs[0][used], runs[2][used] = taken[0], taken[2]
    if whole < len(g):
        _adagrad_all(optimizer, step, [array[whole:] for array in arrays], t[whole:], u[whole:])


def _adagrad_all(optimizer: Any, step: Step, arrays: Arrays, t: np.ndarray, u: np.ndarray) -> None:
    w, g, square = arrays
    np.multiply(g, step.scale, t)
    _cut(optimizer, t)
    np.multiply(t, t, u)
    np.add(square, u, square)
    np.add(square, optimizer.float_stable_eps, u)
    np.sqrt(u, u)
    np.divide(t, u, t)
    np.multiply(t, step.rate, t)
    if step.decay:
        np.multiply(w, step.rate * step.decay, u)
        np.add(t, u, t)
    np.subtract(w, t, w)


def _used(g: np.ndarray) -> Optional[np.ndarray]:
    """Numbers of the runs of a gradient that are not all 0; None where most of them are not."""
    count = len(g) // RUN
    if count < 64 or np.count_nonzero(g[: 32 * RUN : RUN // 2]) > 32:  # a dense one, by a sample
        return None
    used = np.flatnonzero(g[: count * RUN].reshape(-1, RUN).any(axis=1))
    return used if len(used) < count // 2 else None


def _cut(optimizer: Any, t: np.ndarray) -> None:
    """Cut each entry of the mean gradient to ±clip_gradient, where that is asked for."""
    if optimizer.clip_gradient:
        np.clip(t, -optimizer.clip_gradient, optimizer.clip_gradient, t)


def _decay(step: Step, w: np.ndarray, t: np.ndarray, u: np.ndarray) -> None:
    if step.decay:
        np.multiply(w, step.decay, u)
        np.add(t, u, t)


RULES: dict[str, Rule] = {"SGD": _sgd, "Adam": _adam, "AdaGrad": _adagrad}
SHARED = {"Adam"}

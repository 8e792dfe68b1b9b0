"""BFGS for many small problems at once: each row of a parameter is a problem of its own.

Holds the update rule; the losses it looks at are handed over by the engine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dope.core.backend import mx, nd

SUFFICIENT = 1e-4  # Armijo's constant (Nocedal & Wright 2006, section 3.1)
SHRINK, LEAST_SHRINK = 0.1, 0.5  # bounds of a backtracking step, as factors of the last
SMALLEST_STEP = 1e-7
LENGTHEN = 4.0  # of the next step where the loss still curves down


class BatchedBFGS(mx.optimizer.Optimizer):
    """BFGS with a backtracking line search on every row (Nocedal & Wright 2006, algorithm 6.1).

    One call is one evaluation: it judges the point it is shown, takes it or goes back half-way,
    and leaves the next trial point in the weight. Rows never look at each other, and nothing
    waits for the device. A batch is a tuple whose first array says which rows it holds.

    Parameters
    ----------
    tolerance
        A row is settled when no component of its gradient is larger than this.
    max_step
        Longest step in any coordinate.
    """

    def __init__(self, tolerance: float = 0.01, max_step: float = 2.0) -> None:
        super().__init__(learning_rate=1.0, wd=0.0)
        self.tolerance, self.max_step = tolerance, max_step
        self.rows: Any = None  # (B,), and
        self.losses: Any = None  # (B,): set by `look` before each update

    def create_state(self, index: int, weight: Any) -> tuple[Any, ...]:
        """best, its loss, gradient, inverse Hessian, direction, (step, slope, settled, started)."""
        n, k = weight.shape
        like = {"ctx": weight.context, "dtype": weight.dtype}
        scalars = nd.zeros((n, 4), **like)
        return (
            weight.copy(),
            nd.full((n,), 1e30, **like),
            nd.zeros((n, k), **like),
            nd.broadcast_to(nd.eye(k, **like).expand_dims(0), (n, k, k)),
            nd.zeros((n, k), **like),
            scalars,
        )

    def look(self, rows: Any, losses: Any) -> None:
        """Take note of the losses of these rows at the point in the weight."""
        self.rows, self.losses = rows, losses

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        """Judge the trial points of the rows last looked at, and put the next ones there."""
        self._update_count(index)
        everything = (weight, *state)
        taken = [nd.take(each, self.rows) for each in everything]
        self._judge(taken[0], nd.take(grad, self.rows), taken[1:])
        for whole, part in zip(everything, taken):
            whole[:] = nd.contrib.index_copy(whole, self.rows, part)

    def _judge(self, weight: Any, grad: Any, state: Any) -> None:
        best, best_loss, best_grad, inverse, direction, scalars = state
        step, slope, settled, started = (scalars[:, i] for i in range(4))
        loss, moving = self.losses, 1 - settled

        whole = _finite(loss) * nd.min(_finite(grad), axis=1)
        grad = nd.where(_finite(grad), grad, nd.zeros_like(grad))
        accepted = (loss <= best_loss + SUFFICIENT * step * slope) * whole * moving
        shorter = _shorter(step, slope, loss - best_loss, whole)
        stuck = (1 - accepted) * (shorter < SMALLEST_STEP) * moving * (started > 0)

        moved = (weight - best) * _column(accepted)
        turned = (grad - best_grad) * _column(accepted)
        first = accepted * (started == 1)
        inverse[:] = _updated_inverse(inverse, moved, turned, accepted * (started > 0), first)
        best[:] = _choose(accepted, weight, best)
        best_grad[:] = _choose(accepted, grad, best_grad)
        best_loss[:] = nd.where(accepted, loss, best_loss)

        newton = -nd.batch_dot(inverse, best_grad.expand_dims(2)).reshape(best.shape)
        longest = nd.where(started > 0, self.max_step + 0 * step, 0.25 * self.max_step + 0 * step)
        scale = longest / (nd.max(nd.abs(newton), axis=1) + 1e-30)
        newton = newton * _column(nd.minimum(scale, nd.ones_like(scale)))
        direction[:] = _choose(accepted, newton, direction)
        slope = nd.where(accepted, nd.sum(newton * best_grad, axis=1), slope)
        step = nd.where(accepted, nd.ones_like(step), shorter)

        flat = nd.max(nd.abs(best_grad), axis=1) < self.tolerance
        settled = nd.maximum(settled, nd.maximum(accepted * flat, stuck))
        started = nd.minimum(started + accepted, 2 * nd.ones_like(started))
        scalars[:] = nd.stack(step, slope, settled, started, axis=1)
        weight[:] = best + _column(step * (1 - settled)) * direction

    def settle(self, weight: Any, state: Any) -> None:
        """Go back to the best point seen: the weight may hold a trial that nobody judged."""
        weight[:] = state[0]

    def progress(self, state: Any) -> tuple[np.ndarray, np.ndarray]:
        """Loss of each row at its best point, and whether it is settled. Reads the device."""
        return state[1].asnumpy(), state[5][:, 2].asnumpy() > 0


def _column(x: Any) -> Any:
    return x.expand_dims(1)


def _choose(condition: Any, x: Any, y: Any) -> Any:
    """Rows (n, k) of ``x`` where the condition (n,) holds, else of ``y``."""
    return nd.where(nd.broadcast_like(_column(condition), x), x, y)


def _finite(x: Any) -> Any:
    return nd.abs(x) < 1e29  # false for NaN too


def _shorter(step: Any, slope: Any, rise: Any, whole: Any) -> Any:
    """The next step after a rejected one: the minimum of the parabola through what is known."""
    curvature = nd.where(whole, rise - step * slope, nd.ones_like(rise)) + 1e-30
    parabola = nd.where(whole, -0.5 * slope * step / curvature, SHRINK * nd.ones_like(rise))
    return step * nd.clip(parabola, SHRINK, LEAST_SHRINK)


def _updated_inverse(inverse: Any, s: Any, y: Any, accepted: Any, first: Any) -> Any:
    """The BFGS update of inverse Hessians (n, k, k) after steps s with gradient changes y.

    Nocedal & Wright 2006, eq. 6.17; before a row's first update its matrix is scaled by eq. 6.20.
    A row whose loss curves down along its step keeps its matrix, made larger: the minimum is
    further away than the matrix says.
    """
    sy, yy = nd.sum(s * y, axis=1), nd.sum(y * y, axis=1)
    useful = (sy > 1e-10 * nd.sqrt(yy * nd.sum(s * s, axis=1))) * (sy > 0)
    rho = useful / nd.where(useful, sy, nd.ones_like(sy))
    scale = nd.where(first * useful, sy / (yy + 1e-30), nd.ones_like(sy))
    scale = nd.where(accepted * (1 - useful), LENGTHEN * scale, scale)
    inverse = inverse * scale.reshape((-1, 1, 1))
    s, y = s.expand_dims(2), y.expand_dims(2)
    hy = nd.batch_dot(inverse, y)  # (n, k, 1)
    yhy = nd.sum(y * hy, axis=1).reshape((-1, 1, 1))
    rho = rho.reshape((-1, 1, 1))
    cross = nd.batch_dot(hy, s, transpose_b=True)
    return (
        inverse
        + nd.broadcast_mul(nd.batch_dot(s, s, transpose_b=True), rho + rho * rho * yhy)
        - nd.broadcast_mul(cross + cross.transpose((0, 2, 1)), rho)
    )

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
        self._judge = _Judge(tolerance, max_step)
        self._judge.hybridize()
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
        judged = self._judge(nd.take(grad, self.rows), self.losses, *taken)
        for whole, part in zip(everything, judged):
            whole[:] = nd.contrib.index_copy(whole, self.rows, part)

    def settle(self, weight: Any, state: Any) -> None:
        """Go back to the best point seen: the weight may hold a trial that nobody judged."""
        weight[:] = state[0]

    def progress(self, state: Any) -> tuple[np.ndarray, np.ndarray]:
        """Loss of each row at its best point, and whether it is settled. Reads the device."""
        return state[1].asnumpy(), state[5][:, 2].asnumpy() > 0


class _Judge(mx.gluon.HybridBlock):
    """Take or reject the trial points of n rows, and choose the next: one graph of small steps."""

    def __init__(self, tolerance: float, max_step: float) -> None:
        super().__init__()
        self.tolerance, self.max_step = tolerance, max_step

    def hybrid_forward(
        self,
        F: Any,
        grad: Any,
        loss: Any,
        weight: Any,
        best: Any,
        best_loss: Any,
        best_grad: Any,
        inverse: Any,
        direction: Any,
        scalars: Any,
    ) -> tuple[Any, ...]:
        # grad, weight, best, best_grad, direction (n, k); loss, best_loss (n,); inverse (n, k, k)
        step, slope, settled, started = F.split(scalars, num_outputs=4, axis=1, squeeze_axis=True)
        one, moving = F.ones_like(step), 1 - settled

        whole = _finite(F, loss) * F.min(_finite(F, grad), axis=1)
        grad = F.where(_finite(F, grad), grad, F.zeros_like(grad))
        accepted = (loss <= best_loss + SUFFICIENT * step * slope) * whole * moving
        shorter = _shorter(F, step, slope, loss - best_loss, whole)
        stuck = (1 - accepted) * (shorter < SMALLEST_STEP) * moving * (started > 0)

        moved = F.broadcast_mul(weight - best, _column(accepted))
        turned = F.broadcast_mul(grad - best_grad, _column(accepted))
        first = accepted * (started == 1)
        inverse = _updated_inverse(F, inverse, moved, turned, accepted * (started > 0), first)
        best = _choose(F, accepted, weight, best)
        best_grad = _choose(F, accepted, grad, best_grad)
        best_loss = F.where(accepted, loss, best_loss)

        newton = -F.reshape(F.batch_dot(inverse, best_grad.expand_dims(2)), shape=(0, -1))
        longest = self.max_step * F.where(started > 0, one, 0.25 * one)
        scale = F.minimum(longest / (F.max(F.abs(newton), axis=1) + 1e-30), one)
        newton = F.broadcast_mul(newton, _column(scale))
        direction = _choose(F, accepted, newton, direction)
        slope = F.where(accepted, F.sum(newton * best_grad, axis=1), slope)
        step = F.where(accepted, one, shorter)

        flat = F.max(F.abs(best_grad), axis=1) < self.tolerance
        settled = F.maximum(settled, F.maximum(accepted * flat, stuck))
        started = F.minimum(started + accepted, 2 * one)
        weight = best + F.broadcast_mul(direction, _column(step * (1 - settled)))
        scalars = F.stack(step, slope, settled, started, axis=1)
        return weight, best, best_loss, best_grad, inverse, direction, scalars


def _column(x: Any) -> Any:
    return x.expand_dims(1)


def _choose(F: Any, condition: Any, x: Any, y: Any) -> Any:
    """Rows (n, k) of ``x`` where the condition (n,) holds, else of ``y``."""
    return F.where(F.broadcast_like(_column(condition), x), x, y)


def _finite(F: Any, x: Any) -> Any:
    return F.abs(x) < 1e29  # false for NaN too


def _shorter(F: Any, step: Any, slope: Any, rise: Any, whole: Any) -> Any:
    """The next step after a rejected one: the minimum of the parabola through what is known."""
    one = F.ones_like(rise)
    curvature = F.where(whole, rise - step * slope, one) + 1e-30
    parabola = F.where(whole, -0.5 * slope * step / curvature, SHRINK * one)
    return step * F.clip(parabola, SHRINK, LEAST_SHRINK)


def _updated_inverse(F: Any, inverse: Any, s: Any, y: Any, accepted: Any, first: Any) -> Any:
    """The BFGS update of inverse Hessians (n, k, k) after steps s with gradient changes y.

    Nocedal & Wright 2006, eq. 6.17; before a row's first update its matrix is scaled by eq. 6.20.
    A row whose loss curves down along its step keeps its matrix, made larger: the minimum is
    further away than the matrix says.
    """
    sy, yy = F.sum(s * y, axis=1), F.sum(y * y, axis=1)
    one = F.ones_like(sy)
    useful = (sy > 1e-10 * F.sqrt(yy * F.sum(s * s, axis=1))) * (sy > 0)
    rho = useful / F.where(useful, sy, one)
    scale = F.where(first * useful, sy / (yy + 1e-30), one)
    scale = F.where(accepted * (1 - useful), LENGTHEN * scale, scale)
    inverse = F.broadcast_mul(inverse, F.reshape(scale, shape=(-1, 1, 1)))
    s, y = s.expand_dims(2), y.expand_dims(2)
    hy = F.batch_dot(inverse, y)  # (n, k, 1)
    yhy = F.reshape(F.sum(F.broadcast_mul(y, hy), axis=1), shape=(-1, 1, 1))
    rho = F.reshape(rho, shape=(-1, 1, 1))
    cross = F.batch_dot(hy, s, transpose_b=True)
    return (
        inverse
        + F.broadcast_mul(F.batch_dot(s, s, transpose_b=True), rho + rho * rho * yhy)
        - F.broadcast_mul(cross + F.swapaxes(cross, 1, 2), rho)
    )

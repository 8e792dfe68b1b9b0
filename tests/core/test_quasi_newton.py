"""BFGS on many small problems at once: it finds minima, and no row looks at another.

Holds the tests of quasi_newton.py alone; with the engine around it: test_engine.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.backend import mx, nd, use_threads
from dope.core.optimizing.quasi_newton import BatchedBFGS


@pytest.fixture(autouse=True)
def one_thread():
    """Arrays this small are quicker on one thread, above all on a busy machine."""
    use_threads(1)
    yield
    use_threads(None)


class Search:
    """Row problems of one function of (n, k) NumPy arrays: losses (n,) and gradients (n, k)."""

    def __init__(self, function, start, **options):
        self.function = function
        self.weight = nd.array(start, dtype="float64")
        self.optimizer = BatchedBFGS(**options)
        self.state = self.optimizer.create_state(0, self.weight)
        self.trials = []

    def run(self, steps, rows=None):
        for _ in range(steps):
            self.trials.append(self.weight.asnumpy())
            chosen = np.arange(len(self.trials[-1])) if rows is None else rows
            losses, grads = self.function(self.trials[-1][chosen], chosen)
            self.optimizer.look(nd.array(chosen, dtype="int32"), nd.array(losses, dtype="float64"))
            whole = np.zeros_like(self.trials[-1])
            whole[chosen] = grads
            self.optimizer.update(0, self.weight, nd.array(whole, dtype="float64"), self.state)
        return self

    @property
    def best(self):
        return self.state[0].asnumpy()

    @property
    def settled(self):
        return self.optimizer.progress(self.state)[1]

    @property
    def losses(self):
        return self.optimizer.progress(self.state)[0]


def quadratics(n, k, worst=1e4, seed=0):
    """Bowls of condition numbers from 1 to ``worst``, and where their bottoms are."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(n, k, k)))[0]
    sizes = worst ** (rng.random((n, k)) * np.linspace(0, 1, n)[:, None]) / np.sqrt(worst)
    bowls = np.einsum("nij,nj,nkj->nik", turn, sizes, turn)
    bottom = rng.normal(size=(n, k))

    def function(x, rows):
        away = x - bottom[rows]
        slope = np.einsum("nij,nj->ni", bowls[rows], away)
        return 0.5 * np.sum(away * slope, axis=1) + np.asarray(rows, float), slope

    return function, bottom


def rosenbrock(x, rows):
    a, b = x.T
    losses = (1 - a) ** 2 + 100 * (b - a**2) ** 2
    return losses, np.stack([-2 * (1 - a) - 400 * a * (b - a**2), 200 * (b - a**2)], axis=1)


@pytest.mark.parametrize("k", [1, 3, 6])
def test_every_bowl_is_followed_to_its_bottom(k):
    function, bottom = quadratics(40, k)
    search = Search(function, np.zeros((40, k)), tolerance=1e-6).run(120)
    assert search.settled.all()
    np.testing.assert_allclose(search.losses, np.arange(40), atol=1e-9)
    np.testing.assert_allclose(search.best, bottom, atol=2e-4)
    search.optimizer.settle(search.weight, search.state)
    np.testing.assert_array_equal(search.weight.asnumpy(), search.best)


def test_rosenbrocks_valley():
    start = np.array([[-1.2, 1.0], [0.0, 0.0], [2.0, 2.0], [-1.5, 2.0], [0.5, -1.0]])
    search = Search(rosenbrock, start, tolerance=1e-6).run(100)
    assert search.settled.all()
    np.testing.assert_allclose(search.best, 1.0, atol=1e-5)


def test_the_best_loss_never_rises_and_is_that_of_the_best_point():
    search = Search(rosenbrock, np.array([[-1.2, 1.0], [2.0, 2.0]]), tolerance=1e-6)
    last = np.full(2, np.inf)
    for _ in range(50):
        search.run(1)
        assert (search.losses <= last).all()
        last = search.losses
        np.testing.assert_allclose(rosenbrock(search.best, None)[0], last, rtol=1e-9, atol=1e-20)


def test_no_step_is_longer_than_allowed():
    function, _ = quadratics(10, 3, seed=1)
    search = Search(function, np.full((10, 3), 30.0), max_step=0.7)
    for _ in range(15):
        before = search.best
        search.run(1)
        assert np.abs(search.weight.asnumpy() - search.best).max() <= 0.7 + 1e-12
        assert np.abs(search.best - before).max() <= 0.7 + 1e-12
    assert np.abs(search.trials[1] - 30.0).max() <= 0.7 / 4 + 1e-12  # the first, a quarter


def test_a_settled_row_never_moves():
    function, bottom = quadratics(6, 3, worst=1e3)
    start = np.zeros((6, 3))
    start[2] = bottom[2]  # at its bottom already
    search = Search(function, start, tolerance=1e-3).run(1)
    assert search.settled.tolist() == [False, False, True, False, False, False]
    search.run(60)
    assert search.settled.all()
    where, states = search.weight.asnumpy(), [s.asnumpy() for s in search.state]
    search.function = lambda x, rows: (function(x, rows)[0] - 99, function(x, rows)[1] + 99)
    search.run(5)
    np.testing.assert_array_equal(search.weight.asnumpy(), where)
    for found, expected in zip(search.state[:-1], states):  # the last holds the unused step
        np.testing.assert_array_equal(found.asnumpy(), expected)
    assert search.settled.all()
    np.testing.assert_array_equal(np.array(search.trials)[:, 2], np.tile(bottom[2], (66, 1)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["loss", "gradient", "one entry"])
def test_what_is_not_a_number_is_backed_out_of(bad, where):
    """-log x + x beyond a wall at 0.3, where the function cannot be computed."""

    def function(x, rows):
        inside = x[:, 0] > 0.3
        safe = np.where(inside, x[:, 0], 1.0)
        losses = safe - np.log(safe) + 0.5 * x[:, 1] ** 2
        grads = np.stack([1 - 1 / safe, x[:, 1]], axis=1)
        if where == "loss":
            losses[~inside] = bad
        elif where == "gradient":
            grads[~inside] = bad
        else:
            grads[~inside, 0] = bad
        return losses, grads

    # a steep first step of the second start overshoots the wall
    search = Search(function, np.array([[3.0, 0.5], [0.5, 2.0], [6.0, -1.0]]), tolerance=1e-6)
    search.optimizer.max_step = 8.0
    search.run(60)
    assert (np.array(search.trials)[:, :, 0] <= 0.3).any()
    assert search.settled.all() and np.isfinite(search.best).all()
    np.testing.assert_allclose(search.best, [[1.0, 0.0]] * 3, atol=1e-5)


def test_a_row_that_can_never_be_computed_leaves_the_others_alone():
    function, bottom = quadratics(4, 2, worst=10)

    def broken(x, rows):
        losses, grads = function(x, rows)
        losses[1], grads[1] = np.nan, np.nan
        return losses, grads

    search = Search(broken, np.zeros((4, 2)), tolerance=1e-6).run(40)
    good = [0, 2, 3]
    np.testing.assert_allclose(search.best[good], bottom[good], atol=1e-5)
    assert search.settled[good].all()
    np.testing.assert_array_equal(search.best[1], 0.0)  # where it began
    assert np.isfinite(search.weight.asnumpy()).all()


def test_an_infinitely_steep_wall_settles_instead_of_searching_for_ever():
    def function(x, rows):  # the gradient promises a descent that never comes
        return np.abs(x).sum(axis=1), -np.ones_like(x)

    search = Search(function, np.ones((1, 2))).run(40)
    assert search.settled.all()
    np.testing.assert_array_equal(search.best, np.ones((1, 2)))


def test_rows_do_not_look_at_each_other():
    function, _ = quadratics(7, 3, worst=100)
    start = np.random.default_rng(3).normal(size=(7, 3))
    together = Search(function, start, tolerance=1e-6).run(15)
    subset = np.array([1, 4, 6])
    alone = Search(lambda x, rows: function(x, subset[rows]), start[subset], tolerance=1e-6).run(15)
    np.testing.assert_array_equal(np.array(together.trials)[:, subset], np.array(alone.trials))
    for whole, part in zip(together.state, alone.state):
        np.testing.assert_array_equal(whole.asnumpy()[subset], part.asnumpy())


def test_rows_that_are_not_in_the_batch_stay_and_order_does_not_matter():
    function, _ = quadratics(7, 3, worst=100)
    start = np.random.default_rng(3).normal(size=(7, 3))
    whole = Search(function, start, tolerance=1e-6).run(12)
    parts = Search(function, start, tolerance=1e-6)
    some, rest = np.array([5, 0, 3]), np.array([1, 2, 6, 4])
    parts.run(12, rows=some)
    np.testing.assert_array_equal(parts.weight.asnumpy()[rest], start[rest])
    parts.run(12, rows=rest)
    np.testing.assert_array_equal(parts.weight.asnumpy(), whole.weight.asnumpy())
    np.testing.assert_array_equal(parts.best, whole.best)


def test_one_row_is_as_good_as_scipys_bfgs():
    optimize = pytest.importorskip("scipy.optimize")
    x = np.array([-1.2, 1.0])
    found = optimize.minimize(
        lambda x: rosenbrock(x[None], None)[0][0],
        x,
        jac=lambda x: rosenbrock(x[None], None)[1][0],
        method="BFGS",
        options={"gtol": 1e-6},
    )
    search = Search(rosenbrock, x[None], tolerance=1e-6)
    while not search.settled.all():
        search.run(1)
        assert len(search.trials) <= 2 * found.nfev
    np.testing.assert_allclose(search.best[0], found.x, atol=1e-5)


def test_float32_and_the_context_of_the_weight():
    weight = nd.array(np.ones((3, 2)), dtype="float32", ctx=mx.cpu(1))
    state = BatchedBFGS().create_state(0, weight)
    assert all(each.dtype == np.float32 and each.context == mx.cpu(1) for each in state)

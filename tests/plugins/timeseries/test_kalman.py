"""The linear dynamical system against statsmodels and against dense Gaussian conditioning.

Holds the tests of kalman.py, smoother.py and em.py; no task is run here.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.backend import mx
from dope.core.errors import ConfigError, DataError
from dope.plugins.timeseries import em, kalman, smoother

sm = pytest.importorskip("statsmodels.tsa.statespace.kalman_smoother")

DIMS = [(1, 1), (2, 1), (2, 3), (3, 2), (4, 4), (5, 1), (6, 4), (1, 4), (6, 2)]
MISSING = ["none", "entire", "partial"]


def random_system(H, D, seed=0, radius=0.95):
    """A stable system in float64 NumPy, its covariances well away from singular."""
    rng = np.random.default_rng([seed, H, D])
    A = rng.normal(size=(H, H))
    A *= radius / np.abs(np.linalg.eigvals(A)).max()

    def covariance(n):
        x = rng.normal(size=(n, n))
        return x @ x.T / n + 0.3 * np.eye(n)

    B = rng.normal(size=(D, H))
    return kalman.System(A, B, covariance(H), covariance(D), rng.normal(size=H), covariance(H))


def with_missing(v, kind, seed=0):
    rng = np.random.default_rng(seed)
    v = v.copy()
    if kind == "entire":
        v[rng.random(v.shape[:2]) < 0.3] = np.nan
    elif kind == "partial":
        v[rng.random(v.shape) < 0.3] = np.nan
    return v


def series(system, n, length, kind="none", seed=1):
    _, v = kalman.sample(np.random.default_rng(seed), *system, n, length)
    return with_missing(v, kind, seed)


def nd(system, dtype="float64"):
    return kalman.System(*(mx.nd.array(x, dtype=dtype) for x in system))


def peer(v, system, missing_at_end=0):
    """statsmodels' smoother of one series (T, D), without its steady-state shortcut."""
    D, H = system.B.shape
    v = np.vstack([v, np.full((missing_at_end, D), np.nan)])
    model = sm.KalmanSmoother(
        k_endog=D,
        k_states=H,
        design=system.B,
        transition=system.A,
        selection=np.eye(H),
        state_cov=system.S_h,
        obs_cov=system.S_v,
    )
    model.tolerance = 0
    model.bind(np.ascontiguousarray(v))
    model.initialize_known(system.mu0, system.S0)
    return model.smooth()


def close(found, expected, tolerance):
    """Equal to ``tolerance`` relative to the largest entry: small entries carry its rounding."""
    found = found.asnumpy() if hasattr(found, "asnumpy") else found
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def time_first(x):
    return np.moveaxis(x, -1, 0)


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize(("H", "D"), DIMS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-8), ("float32", 1e-4)])
def test_filter_and_smoother_agree_with_statsmodels(H, D, kind, dtype, tolerance):
    system = random_system(H, D)
    v = series(system, 3, 40, kind)
    params = nd(system, dtype)
    filtered = kalman.filter(v, *params)
    smoothed = smoother.smooth(filtered, params.A, params.S_h)
    assert {x.dtype for x in (*filtered, *smoothed)} == {np.dtype(dtype).type}
    for n in range(3):
        golden = peer(v[n], system)
        close(filtered.predicted_mean[n], golden.predicted_state.T[:-1], tolerance)
        close(filtered.predicted_cov[n], time_first(golden.predicted_state_cov)[:-1], tolerance)
        close(filtered.mean[n], golden.filtered_state.T, tolerance)
        close(filtered.cov[n], time_first(golden.filtered_state_cov), tolerance)
        np.testing.assert_allclose(
            filtered.log_likelihood[n].asscalar(), golden.llf_obs.sum(), rtol=tolerance
        )
        close(smoothed.mean[n], golden.smoothed_state.T, tolerance)
        close(smoothed.cov[n], time_first(golden.smoothed_state_cov), tolerance)
        lagged = time_first(golden.smoothed_state_autocov)[:-1]
        close(smoothed.cross[n, 1:], lagged, tolerance)


@pytest.mark.parametrize("rank", [0, 1])
def test_singular_covariances_need_no_special_care(rank):
    """No state noise, or noise of one direction (innovation form), and a known first state."""
    system = random_system(3, 2)
    g = np.array([[1e-3], [2.0], [0.5]]) * rank
    system = system._replace(S_h=g @ g.T, S0=np.zeros((3, 3)))
    v = series(system, 2, 25, "partial")
    filtered = kalman.filter(v, *nd(system))
    smoothed = smoother.smooth(filtered, nd(system).A, nd(system).S_h)
    for n in range(2):
        golden = peer(v[n], system)
        close(smoothed.mean[n], golden.smoothed_state.T, 1e-8)
        np.testing.assert_allclose(
            smoothed.cov[n].asnumpy(), time_first(golden.smoothed_state_cov), atol=1e-10
        )


def test_states_on_very_different_scales_are_smoothed_in_float32():
    scale = np.array([1e3, 1e-2])
    system = random_system(2, 2)
    scaled = kalman.System(
        system.A * scale[:, None] / scale,
        system.B / scale,
        system.S_h * np.outer(scale, scale),
        system.S_v,
        system.mu0 * scale,
        system.S0 * np.outer(scale, scale),
    )
    v = series(system, 1, 30)
    params = nd(scaled, "float32")
    smoothed = smoother.smooth(kalman.filter(v, *params), params.A, params.S_h)
    close(smoothed.mean[0].asnumpy() / scale, peer(v[0], system).smoothed_state.T, 1e-4)


@pytest.mark.parametrize("length", [None, 12])
@pytest.mark.parametrize(("H", "D"), [(2, 1), (3, 2)])
def test_hybridized_equals_imperative(H, D, length):
    system = random_system(H, D)
    v = series(system, 4, 12, "partial")
    values, mask = (mx.nd.array(x, dtype="float64") for x in kalman.observed_and_mask(v))
    results = []
    for options in (None, {}, {"static_alloc": True, "static_shape": True}):
        block = kalman.KalmanLogLikelihood(length=length)
        if options is not None:
            block.hybridize(**options)
        params = nd(system)
        for x in params:
            x.attach_grad()
        for _ in range(2):  # the second call runs the plan that the first has made
            with mx.autograd.record():
                total = block(values, mask, *params)
            total.backward()
        results.append([total.asnumpy(), *(x.grad.asnumpy() for x in params)])
    np.testing.assert_allclose(
        results[0][0], kalman.filter(v, *nd(system)).log_likelihood.asnumpy(), rtol=1e-12
    )
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize(("H", "D"), [(1, 1), (2, 1), (3, 4), (6, 2)])
def test_gradient_against_finite_differences(H, D, kind):
    """Along a random direction for each parameter, symmetric where the parameter is."""
    system = random_system(H, D)
    v = series(system, 2, 15, kind)
    params = nd(system)
    values, mask = (mx.nd.array(x, dtype="float64") for x in kalman.observed_and_mask(v))
    block = kalman.KalmanLogLikelihood()
    for x in params:
        x.attach_grad()
    with mx.autograd.record():
        total = block(values, mask, *params).sum()
    total.backward()
    rng = np.random.default_rng(3)
    for name, x in params._asdict().items():
        direction = rng.normal(size=x.shape)
        if name.startswith("S"):
            direction = direction + direction.T
        step = 1e-6
        up, down = (
            sum(peer(one, system._replace(**{name: getattr(system, name) + s * direction})).llf
                for one in v)
            for s in (step, -step)
        )  # fmt: skip
        slope = float((x.grad.asnumpy() * direction).sum())
        assert slope == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-5), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_series_without_observations_stays_at_its_prior(dtype):
    system = random_system(2, 2)
    v = np.full((2, 8, 2), np.nan)
    v[1] = series(system, 1, 8)[0]
    params = nd(system, dtype)
    for x in params:
        x.attach_grad()
    with mx.autograd.record():
        filtered = kalman.filter(v, *params)
        alone = filtered.log_likelihood[0]
    alone.backward()
    for x in params:
        assert not x.grad.asnumpy().any()
    assert filtered.log_likelihood[0].asscalar() == 0
    np.testing.assert_array_equal(filtered.mean[0, 0].asnumpy(), params.mu0.asnumpy())
    np.testing.assert_allclose(filtered.cov[0, 0].asnumpy(), params.S0.asnumpy(), rtol=1e-6)
    smoothed = smoother.smooth(filtered, params.A, params.S_h)
    new = em.m_step(em.e_step_statistics(v[:1], params), params)
    for x in (*filtered, *smoothed, *new):
        assert np.isfinite(x.asnumpy()).all()


def test_sample_has_the_moments_of_the_system():
    """Covariances, not standard deviations: at 4 times the noise a mix-up would be twofold."""
    system = random_system(2, 2)
    system = system._replace(S_v=4 * system.S_v, S0=np.zeros((2, 2)))
    states, v = kalman.sample(np.random.default_rng(5), *system, 200_000, 3)
    assert states.shape == (200_000, 3, 2)
    np.testing.assert_array_equal(states[:, 0], np.broadcast_to(system.mu0, (200_000, 2)))
    mean, cov = system.mu0, system.S0
    for t in range(3):
        if t:
            mean, cov = system.A @ mean, system.A @ cov @ system.A.T + system.S_h
        np.testing.assert_allclose(v[:, t].mean(axis=0), system.B @ mean, atol=0.05)
        expected = system.B @ cov @ system.B.T + system.S_v
        np.testing.assert_allclose(np.cov(v[:, t].T), expected, rtol=0.03, atol=0.05)
    again = kalman.sample(np.random.default_rng(5), *nd(system), 200_000, 3)[1]
    np.testing.assert_array_equal(v, again)


@pytest.mark.parametrize(("H", "D"), [(1, 1), (3, 2), (6, 4)])
def test_forecast_equals_statsmodels_missing_future(H, D):
    system = random_system(H, D)
    v = series(system, 2, 20, "partial")
    params = nd(system)
    filtered = kalman.filter(v, *params)
    future = kalman.forecast(filtered.mean[:, -1], filtered.cov[:, -1], *params[:4], horizon=7)
    for n in range(2):
        golden = peer(v[n], system, missing_at_end=7)
        close(future.mean[n], (system.B @ golden.predicted_state[:, 20:27]).T, 1e-10)
        covs = [
            system.B @ golden.predicted_state_cov[..., t] @ system.B.T + system.S_v
            for t in range(20, 27)
        ]
        close(future.cov[n], np.array(covs), 1e-10)


def dense_em(v, system):
    """One EM iteration by conditioning the joint Gaussian of all states and observations."""
    A, B, S_h, S_v, mu0, S0 = system
    (N, T, D), H = v.shape, len(mu0)
    # h = M x + m with independent x = (h_1, eps_1, ...); then v = B h + nu.
    M = np.zeros((T * H, T * H))
    for t in range(T):
        for s in range(t + 1):
            M[t * H : (t + 1) * H, s * H : (s + 1) * H] = np.linalg.matrix_power(A, t - s)
    noise = np.kron(np.diag([0.0] + [1.0] * (T - 1)), S_h)
    noise[:H, :H] = S0
    Bs = np.kron(np.eye(T), B)
    P = M @ noise @ M.T
    top = M[:, :H] @ mu0
    mean = np.concatenate([top, Bs @ top])
    cov = np.block([[P, P @ Bs.T], [Bs @ P, Bs @ P @ Bs.T + np.kron(np.eye(T), S_v)]])
    second, firsts, square, logp = [], [], [], 0.0
    for one in v:
        seen = np.flatnonzero(~np.isnan(one.ravel())) + T * H
        K = np.linalg.solve(cov[np.ix_(seen, seen)], cov[seen]).T
        error = one.ravel()[seen - T * H] - mean[seen]
        post, post_cov = mean + K @ error, cov - K @ cov[seen]
        _, logdet = np.linalg.slogdet(2 * np.pi * cov[np.ix_(seen, seen)])
        logp -= 0.5 * (logdet + error @ np.linalg.solve(cov[np.ix_(seen, seen)], error))
        E = post_cov + np.outer(post, post)
        h = [slice(t * H, (t + 1) * H) for t in range(T)]
        o = [slice(T * H + t * D, T * H + (t + 1) * D) for t in range(T)]
        used = [t for t in range(T) if not np.isnan(one[t]).all()]
        second.append([
            sum(E[h[t - 1], h[t - 1]] for t in range(1, T)),
            sum(E[h[t], h[t - 1]] for t in range(1, T)),
            sum(E[h[t], h[t]] for t in range(1, T)),
            sum(E[h[t], h[t]] for t in used),
            sum(E[o[t], h[t]] for t in used),
            sum(E[o[t], o[t]] for t in used),
            len(used),
        ])  # fmt: skip
        firsts.append(post[:H])
        square.append(E[:H, :H])
    S00, S10, S11, Shh, Svh, Svv, used = (sum(x) for x in zip(*second))
    newA, newB = S10 @ np.linalg.inv(S00), Svh @ np.linalg.inv(Shh)
    new_mu0 = np.mean(firsts, axis=0)
    return logp, kalman.System(
        newA,
        newB,
        (S11 - newA @ S10.T) / (N * (T - 1)),
        (Svv - newB @ Svh.T) / used,
        new_mu0,
        np.mean(square, axis=0) - np.outer(new_mu0, new_mu0),
    )


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize(("H", "D"), [(1, 1), (2, 3), (3, 2)])
def test_one_em_step_equals_dense_conditioning(H, D, kind):
    system = random_system(H, D)
    v = series(random_system(H, D, seed=9), 4, 10, kind)
    log_likelihood, expected = dense_em(v, system)
    params = nd(system)
    shards = [em.e_step_statistics(part, params) for part in (v[:1], v[1:])]
    statistics = em.add(shards)
    assert statistics.log_likelihood.asscalar() == pytest.approx(log_likelihood, rel=1e-9)
    new = em.m_step(statistics, params)
    for found, wanted in zip(new, expected):
        close(found, wanted, 1e-8)


def test_em_statistics_of_shards_on_two_contexts_add_up():
    system = random_system(2, 2)
    v = series(system, 5, 10, "partial")
    whole = em.e_step_statistics(v, nd(system))
    shards = []
    for part, ctx in ((v[:2], mx.cpu(0)), (v[2:], mx.cpu(1))):
        params = kalman.System(*(x.as_in_context(ctx) for x in nd(system)))
        shards.append(em.e_step_statistics(part, params))
        assert {x.context for x in shards[-1]} == {ctx}
    for a, b in zip(em.add(shards), whole):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize(
    "learn", [em.LEARNABLE, ("S_h", "S_v"), ("A", "mu0"), ("B", "S0", "S_v")], ids="-".join
)
def test_em_never_lowers_the_likelihood(kind, learn):
    v = series(random_system(2, 2, seed=4), 3, 25, kind)
    start = system = nd(random_system(2, 2))
    climbed = []
    for _ in range(12):
        statistics = em.e_step_statistics(v, system)
        climbed.append(statistics.log_likelihood.asscalar())
        system = em.m_step(statistics, system, learn)
    assert np.diff(climbed).min() > -1e-9 * abs(climbed[-1])
    assert climbed[-1] > climbed[0] + 0.1
    for name, before, after in zip(em.LEARNABLE, start, system):
        assert np.array_equal(before.asnumpy(), after.asnumpy()) == (name not in learn)


def test_gradient_vanishes_where_em_stands_still():
    learn = ("A", "S_h")
    v = series(random_system(1, 1, seed=4), 10, 30, "entire")
    system = nd(random_system(1, 1))
    for _ in range(80):
        system = em.m_step(em.e_step_statistics(v, system), system, learn)
    for x in system:
        x.attach_grad()
    with mx.autograd.record():
        total = kalman.filter(v, *system).log_likelihood.sum()
    total.backward()
    gradient = {name: abs(x.grad.asnumpy()).max() for name, x in system._asdict().items()}
    assert max(gradient[name] for name in learn) < 1e-5
    assert gradient["S0"] > 1e-3  # not learned, so not at rest: the test can tell them apart


def test_one_step_series_and_one_series():
    system = random_system(2, 1)
    v = series(system, 1, 1)
    params = nd(system)
    filtered = kalman.filter(v, *params)
    smoothed = smoother.smooth(filtered, params.A, params.S_h)
    np.testing.assert_array_equal(smoothed.mean.asnumpy(), filtered.mean.asnumpy())
    np.testing.assert_array_equal(smoothed.cross.asnumpy(), np.zeros((1, 1, 2, 2)))
    new = em.m_step(em.e_step_statistics(v, params), params)
    np.testing.assert_array_equal(new.A.asnumpy(), system.A)  # no transition was seen


def test_wrong_input_is_named():
    system = nd(random_system(2, 1))
    with pytest.raises(ConfigError, match="B has shape"):
        kalman.filter(np.zeros((1, 5, 2)), *system)
    with pytest.raises(ConfigError, match="series, time, components"):
        kalman.filter(np.zeros(5), *system)
    with pytest.raises(DataError, match="infinite"):
        kalman.filter(np.full((1, 5, 1), np.inf), *system)
    broken = system._replace(S_v=-system.S_v * 100)
    with pytest.raises(ConfigError, match="not positive definite"):
        kalman.filter(np.zeros((1, 5, 1)), *broken)
    assert np.isfinite(kalman.filter(np.zeros((1, 5, 1)), *system).log_likelihood.asscalar())
    values = mx.nd.zeros((1, 5, 1), dtype="float64")
    with pytest.raises(ConfigError, match="unrolled for 4 steps was given 5"):
        kalman.KalmanLogLikelihood(length=4)(values, values, *system)
    with pytest.raises(ConfigError, match="horizon"):
        kalman.forecast(mx.nd.zeros((1, 2)), mx.nd.zeros((1, 2, 2)), *system[:4], horizon=0)
    statistics = em.e_step_statistics(np.zeros((1, 5, 1)), system)
    with pytest.raises(ConfigError, match="'Q' is not a parameter"):
        em.m_step(statistics, system, ("A", "Q"))

"""The filter of the innovation state-space model against statsmodels and against dense matrices.

Holds the tests of innovations.py with given parameters; learning them is test_issm.py's.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.backend import mx
from dope.plugins.timeseries.innovations import Structure, filter_states
from dope.plugins.timeseries.issm import InnovationModel
from dope.plugins.timeseries.series import Simulated

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = {
    "level": Structure(),
    "trend": Structure(trend=True),
    "season 4": Structure(season=4),
    "trend season 4": Structure(trend=True, season=4),
    "trend season 12": Structure(trend=True, season=12),
}
DAMPED = {
    "level": [(1.0, 1.0), (0.95, 1.0)],
    "trend": [(1.0, 1.0), (1.0, 0.9), (0.95, 0.9)],
    "season 4": [(1.0, 1.0), (0.95, 1.0)],
    "trend season 4": [(1.0, 1.0), (1.0, 0.9), (0.95, 0.9)],
    "trend season 12": [(1.0, 1.0), (1.0, 0.9)],
}
CASES = [(kind, damping) for kind, each in DAMPED.items() for damping in each]
GAPS = ["whole", "gaps", "lengths"]


def panel(structure, gaps="whole", series=3, length=60, seed=1):
    """A SeriesSet drawn from a model like it, some of its values made missing."""
    kind = "seasonal" if structure.seasonal else "trend" if structure.trend else "level"
    made = Simulated(kind=kind, series=series, length=length, season=structure.season, seed=seed)
    data = made.load()
    rng = np.random.default_rng(seed)
    if gaps == "gaps":
        inner = rng.random(data.values[:, 3:-2].shape) < 0.2
        data.values[:, 3:-2][inner] = np.nan
        data.values[0, 20:27] = np.nan
    if gaps == "lengths":
        for i in range(series):
            data.values[i, length - 7 * i :] = np.nan
    return data


def ratios_of(structure, series, seed=0):
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(-1.2, 0.6, size=(series, len(structure.strengths))))


def filtered(structure, ratios, values, damping=(1.0, 1.0), **more):
    g = structure.innovation_vector(ratios)
    delta, phi = (np.full(len(values), each) for each in damping)
    return filter_states(structure, g, values, delta, phi, **more)


def without_end(z):
    return z[: np.flatnonzero(~np.isnan(z))[-1] + 1]


def dense_log_likelihood(structure, ratios, z, sigma, damping=(1.0, 1.0)):
    """The marginal likelihood by its definition: one Gaussian, no recursion."""
    g = structure.innovation_vector(ratios)
    row, rows = structure.emission(*damping), []
    for _ in z:
        rows.append(row)
        row = row @ structure.transition(*damping)
    rows = np.array(rows)
    impulse = np.concatenate([[0.0], rows @ g])[: len(z)]
    made = np.array(
        [[impulse[t - s] if t > s else 0.0 for s in range(len(z))] for t in range(len(z))]
    )
    seen = ~np.isnan(z)
    v = (sigma**2 * (made @ made.T + np.eye(len(z))))[np.ix_(seen, seen)]
    x, z = rows[seen] @ structure.free_to_state(), z[seen]
    information = x.T @ np.linalg.solve(v, x)
    left = z - x @ np.linalg.solve(information, x.T @ np.linalg.solve(v, z))
    logs = np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1]
    free = len(z) - structure.free
    return -0.5 * (free * np.log(2 * np.pi) + logs + left @ np.linalg.solve(v, left))


class General(InnovationModel):
    """The model with the general recursion even where the differenced one would do."""

    def _build(self):
        super()._build()
        if self.differenced:
            from dope.plugins.timeseries.innovations import Gains, Innovations

            trend = self.fixed_damping["trend_damping"]
            self.differenced, total = False, self.values.shape[1]
            self.steps = -(-total // -(-total // 24))
            damped = (False, trend != 1.0)
            self.gains = Gains(self.structure, self.steps, damped)
            self.innovations = Innovations(self.structure, self.steps, damped)


def model_of(cls, structure, data, damping):
    delta, phi = damping
    return cls(
        data,
        trend=structure.trend,
        seasonal=structure.season,
        level_damping=delta,
        trend_damping=phi,
    )


def losses(net, logs):
    """Negative log-likelihoods in the data's own units, and their gradients."""
    (_, values, mask), *_ = net.batches(1)
    logs = mx.nd.array(logs, dtype="float64")
    logs.attach_grad()
    with mx.autograd.record():
        found = net._nll(logs, values.transpose(), mask.transpose())
    found.backward()
    degrees = net.mask.sum(axis=1) - net.structure.free
    return found.asnumpy() + degrees * np.log(net.spread), logs.grad.asnumpy()


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize(("kind", "damping"), CASES)
def test_log_likelihood_is_statsmodels_and_that_of_one_gaussian(peer, kind, damping, gaps):
    structure = KINDS[kind]
    data = panel(structure, gaps)
    ratios = ratios_of(structure, 3)
    found = filtered(structure, ratios, data.values, damping)
    for i in range(3):
        z = without_end(data.values[i])
        sigma = found.sigma[i]
        other = peer(structure, z, *damping)
        at_maximum = other.log_likelihood(ratios[i], sigma)
        assert found.log_likelihood[i] == pytest.approx(at_maximum, abs=1e-6)
        dense = dense_log_likelihood(structure, ratios[i], z, sigma, damping)
        assert found.log_likelihood[i] == pytest.approx(dense, abs=1e-6)
        for factor in (0.97, 1.03):  # sigma is the most likely one
            assert other.log_likelihood(ratios[i], factor * sigma) < at_maximum - 0.01
        assert found.log_likelihood[i] == pytest.approx(other.profile(ratios[i]), abs=1e-6)


@pytest.mark.parametrize("kind", ["level", "trend", "trend season 4"])
def test_a_wide_prior_tends_to_the_flat_one(peer, kind):
    structure = KINDS[kind]
    data = panel(structure, "gaps")
    z, ratios = data.values[:1], ratios_of(structure, 1)
    found = filtered(structure, ratios, z)
    far = [
        abs(peer(structure, z[0], kappa=kappa).log_likelihood(ratios[0], found.sigma[0])
            - found.log_likelihood[0])
        for kappa in (1e4, 1e7)
    ]  # fmt: skip
    assert far[1] < 1e-4 and far[1] < 0.1 * far[0]


@pytest.mark.parametrize("gaps", ["whole", "gaps"])
@pytest.mark.parametrize(("kind", "damping"), CASES)
def test_from_a_known_initial_state(peer, kind, damping, gaps):
    structure = KINDS[kind]
    data = panel(structure, gaps)
    ratios, rng = ratios_of(structure, 3), np.random.default_rng(5)
    initial = rng.normal(size=(3, structure.free)) @ structure.free_to_state().T
    initial[:, 0] += 10
    found = filtered(structure, ratios, data.values, damping, initial=initial)
    for i in range(3):
        other = peer(structure, data.values[i], *damping).known(initial[i])
        expected = other.log_likelihood(ratios[i], found.sigma[i], marginal=False)
        assert found.log_likelihood[i] == pytest.approx(expected, abs=1e-6)
        result = other.set(ratios[i], found.sigma[i]).filter()
        np.testing.assert_allclose(found.fitted[i], result.forecasts[0], atol=1e-8)
        deviation = np.sqrt(result.forecasts_error_cov[0, 0])
        # statsmodels has no variance where nothing was seen
        seen = ~np.isnan(data.values[i])
        np.testing.assert_allclose(found.deviation[i][seen], deviation[seen], rtol=1e-8)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize(("kind", "damping"), CASES)
def test_states_and_forecasts_are_statsmodels(peer, kind, damping, gaps):
    structure, ahead = KINDS[kind], 15
    data = panel(structure, gaps)
    ratios = ratios_of(structure, 3)
    found = filtered(structure, ratios, data.values, damping)
    mean, deviation = found.forecast(ahead)
    for i in range(3):
        z = without_end(data.values[i])
        n = len(z)
        other = peer(structure, np.append(z, np.full(ahead, np.nan)), *damping)
        result = other.set(ratios[i], found.sigma[i]).smooth()
        basis = other.basis
        close = {"rtol": 1e-5, "atol": 1e-6}
        np.testing.assert_allclose(found.state[i], basis @ result.predicted_state[:, n], **close)
        cov = basis @ result.predicted_state_cov[:, :, n] @ basis.T
        np.testing.assert_allclose(found.sigma[i] ** 2 * found.cov[i], cov, **close)
        initial = basis @ result.smoothed_state[:, 0]
        np.testing.assert_allclose(found.initial[i], initial, **close)
        np.testing.assert_allclose(mean[i], result.forecasts[0, n:], **close)
        design, covs = result.design[0, :, 0], result.predicted_state_cov
        variance = [design @ covs[:, :, n + h] @ design for h in range(ahead)]
        expected = np.sqrt(np.array(variance) + found.sigma[i] ** 2)
        np.testing.assert_allclose(deviation[i], expected, rtol=1e-6)
    if structure.seasonal:
        season = found.initial[:, 1 + structure.trend :]
        np.testing.assert_allclose(season.sum(axis=1), 0, atol=1e-9)


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize(("kind", "damping"), CASES)
def test_both_recursions_and_numpys_agree_with_their_gradients(kind, damping, gaps):
    structure = KINDS[kind]
    data = panel(structure, gaps)
    ratios = ratios_of(structure, 3)
    logs = np.log(ratios)
    net, general = (model_of(cls, structure, data, damping) for cls in (InnovationModel, General))
    assert net.differenced is (gaps != "gaps" and damping[0] == 1.0) and not general.differenced
    values, gradients = losses(net, logs)
    expected = -filtered(structure, ratios, data.values, damping).log_likelihood
    np.testing.assert_allclose(values, expected, atol=1e-6)
    if net.differenced:
        others, other_gradients = losses(general, logs)
        np.testing.assert_allclose(values, others, atol=1e-6)
        np.testing.assert_allclose(gradients, other_gradients, atol=1e-5)
    step = 1e-5
    for j in range(logs.shape[1]):
        moved = np.eye(logs.shape[1])[j] * step
        ends = [losses(net, logs + sign * moved)[0] for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(gradients[:, j], slope, atol=2e-5)


def test_the_gradient_of_a_learned_damping_is_the_slope():
    data = panel(KINDS["trend"], "gaps")
    net = InnovationModel(data, trend=True, level_damping="learn", trend_damping="learn")
    assert net.names == ["level", "trend", "level_damping", "trend_damping"]
    raw = np.array([[-1.0, -2.0, 2.0, 1.0], [-0.5, -3.0, 3.0, 2.0], [0.0, -2.0, 1.5, 0.5]])
    values, gradients = losses(net, raw)
    for j in range(4):
        moved = np.eye(4)[j] * 1e-5
        slope = (losses(net, raw + moved)[0] - losses(net, raw - moved)[0]) / 2e-5
        np.testing.assert_allclose(gradients[:, j], slope, atol=2e-5)
    damping = 1 / (1 + np.exp(-raw[:, 2:]))
    g = net.structure.innovation_vector(np.exp(raw[:, :2]))
    expected = filter_states(net.structure, g, data.values, *damping.T).log_likelihood
    np.testing.assert_allclose(values, -expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_differencing_removes_the_initial_state(kind):
    structure = KINDS[kind]
    for phi in (1.0, 0.9) if structure.trend else (1.0,):
        d = structure.differencing(phi)
        row, rows = structure.emission(1.0, phi), []
        for _ in range(4 * structure.size):
            rows.append(row @ structure.free_to_state())
            row = row @ structure.transition(1.0, phi)
        rows = np.array(rows)
        for column in rows.T:
            np.testing.assert_allclose(np.convolve(column, d, mode="valid"), 0, atol=1e-10)
        expected = np.linalg.slogdet(rows[: structure.free])[1]
        assert structure.log_determinant(1.0, phi) == pytest.approx(expected)


def test_forecast_variance_of_the_level_model_has_its_closed_form():
    structure, steps = KINDS["level"], np.arange(1, 41)
    ratios = np.array([[0.3], [1.0], [2.5]])
    found = filtered(structure, ratios, panel(structure, "gaps").values)
    mean, deviation = found.forecast(40)
    expected = found.sigma[:, None] ** 2 * (found.cov[:, 0] + 1 + (steps - 1) * ratios**2)
    np.testing.assert_allclose(deviation**2, expected, rtol=1e-12)
    np.testing.assert_allclose(mean, np.repeat(found.state, 40, axis=1), rtol=1e-12)


def test_forecast_spread_of_a_level_in_its_steady_state():
    # alpha = sigma = 0.5: P = (1 + sqrt(5)) / 8, variance P + 0.25 + 0.25 (h - 1)
    structure, rng = KINDS["level"], np.random.default_rng(0)
    found = filtered(structure, np.ones((1, 1)), rng.normal(size=(1, 200)))
    deviation = 0.5 * found.forecast(13)[1][0] / found.sigma[0]
    golden = (1 + np.sqrt(5)) / 8 + 0.25 + 0.25 * np.arange(13)
    np.testing.assert_allclose(deviation**2, golden, rtol=1e-5)
    assert deviation[[0, 12]] == pytest.approx([0.809, 1.912], abs=5e-4)


@pytest.mark.parametrize(("kind", "damping"), CASES)
def test_forecast_variance_is_that_of_matrices_multiplied_out(kind, damping):
    structure = KINDS[kind]
    ratios = ratios_of(structure, 2)
    found = filtered(structure, ratios, panel(structure, "whole", series=2).values, damping)
    _, deviation = found.forecast(20)
    move, row = structure.transition(*damping), structure.emission(*damping)
    for i in range(2):
        cov, g = found.cov[i], structure.innovation_vector(ratios[i])
        for h in range(20):
            variance = found.sigma[i] ** 2 * (row @ cov @ row + 1)
            assert deviation[i, h] ** 2 == pytest.approx(variance, rel=1e-9)
            cov = move @ cov @ move.T + np.outer(g, g)


def test_rescaled_is_the_trajectory_of_the_unscaled_series():
    structure = KINDS["trend season 4"]
    z = panel(structure, "gaps").values
    ratios = ratios_of(structure, 3)
    centre, spread = np.array([9.0, 10.0, 11.0]), np.array([2.0, 3.0, 0.5])
    plain = filtered(structure, ratios, z)
    scaled = filtered(structure, ratios, (z - centre[:, None]) / spread[:, None])
    back = scaled.rescaled(centre, spread)
    for key in ("fitted", "deviation", "initial", "state", "sigma", "log_likelihood"):
        np.testing.assert_allclose(getattr(back, key), getattr(plain, key), rtol=1e-6, atol=1e-6)
    for one, other in zip(back.forecast(6), plain.forecast(6)):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_series_in_a_panel_are_as_if_alone():
    structure = KINDS["trend season 4"]
    z = panel(structure, "lengths").values
    ratios = ratios_of(structure, 3)
    together = filtered(structure, ratios, z)
    for i in range(3):
        end = len(without_end(z[i]))
        alone = filtered(structure, ratios[i : i + 1], z[i : i + 1, :end])
        assert together.log_likelihood[i] == pytest.approx(alone.log_likelihood[0], rel=1e-12)
        np.testing.assert_allclose(together.state[i], alone.state[0], rtol=1e-9)
        assert np.isnan(together.fitted[i, end:]).all()
        assert np.isfinite(together.fitted[i, :end]).all()

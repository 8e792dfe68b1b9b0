"""Optimizers by name: their first updates against formulas and PyTorch, flat vectors, resuming.

The formulas are written out below in float64; what the options mean to a run is tested elsewhere.
"""

from __future__ import annotations

import inspect
import math
import subprocess
import sys

import numpy as np
import pytest

from dope.core.backend import mx, nd
from dope.core.configuring.signature import signature
from dope.core.errors import ConfigError
from dope.core.optimizing import adaptive, descent
from dope.core.optimizing.optimizers import OPTIMIZERS
from dope.core.optimizing.updates import make_optimizer

MXNET_S = [name for name in OPTIMIZERS if name != "bfgs"]
START = [1.0, -2.0, 0.5, 3.0]
GRADIENTS = [[0.5, -4.0, 0.0, 1.0], [-1.0, 2.0, 0.25, 1.0], [2.0, -0.5, -0.125, 1.0]]
EXAMPLES = 4  # the gradients that an optimizer gets are sums over these


def options_class(name):
    module, _, kind = OPTIMIZERS[name].partition(":")
    return getattr(sys.modules[module], kind)


def leaves(state):
    if state is None:
        return []
    if isinstance(state, (list, tuple)):
        return [leaf for each in state for leaf in leaves(each)]
    return [state]


class Run:
    """Some arrays under one optimizer, updated as the engine does it."""

    def __init__(self, name, options, arrays, dtype="float32"):
        self.optimizer = make_optimizer(name, options_class(name)(**options).options())
        self.optimizer.rescale_grad = 1 / EXAMPLES
        self.arrays = [nd.array(a, dtype=dtype) for a in arrays]
        self.states = [
            self.optimizer.create_state_multi_precision(i, a) for i, a in enumerate(self.arrays)
        ]

    def step(self, gradients):
        for i, gradient in enumerate(gradients):
            grad = nd.array(np.multiply(gradient, EXAMPLES), dtype=self.arrays[i].dtype)
            self.optimizer.update_multi_precision(i, self.arrays[i], grad, self.states[i])

    def values(self):
        return np.concatenate([a.asnumpy() for a in self.arrays])


def after(name, options, gradients=GRADIENTS):
    run = Run(name, options, [START])
    for gradient in gradients:
        run.step([gradient])
    return run.values()


# The updates of weights w from a mean gradient g in step t = 1, 2, …; `s` holds what is kept.
# Where the weight decay comes in, and whether the clipping sees it, differs, and is MXNet's.


def clipped(g, o):
    limit = o["clip_gradient"]
    return g if limit is None else np.clip(g, -limit, limit)


def sgd(w, g, s, t, o):
    s["m"] = o["momentum"] * s.get("m", 0) - o["learning_rate"] * (clipped(g, o) + o["wd"] * w)
    return w + s["m"]


def nag(w, g, s, t, o):
    share, rate, g = o["momentum"], o["learning_rate"], clipped(g, o)
    ahead = share * s.get("m", 0) - rate * (g + o["wd"] * w)
    new = w + share * ahead - rate * (g + o["wd"] * w)
    # MXNet writes the weights first, in place: the decay that is remembered is of the new ones.
    s["m"] = ahead + rate * o["wd"] * (w - new)
    return new


def signum(w, g, s, t, o):
    if not o["momentum"]:
        return (1 - o["learning_rate"] * o["wd"]) * w - o["learning_rate"] * np.sign(g)
    share = o["momentum"]
    s["m"] = share * s.get("m", 0) + (1 - share) * (clipped(g, o) + o["wd"] * w)
    return (1 - o["learning_rate"] * o["wd_lh"]) * w - o["learning_rate"] * np.sign(s["m"])


def moments(g, s, o):
    s["m"] = o["beta1"] * s.get("m", 0) + (1 - o["beta1"]) * g
    s["v"] = o["beta2"] * s.get("v", 0) + (1 - o["beta2"]) * g * g
    return s["m"], s["v"]


def adam(w, g, s, t, o):  # the paper's faster form: epsilon beside the biased root
    m, v = moments(clipped(g + o["wd"] * w, o), s, o)
    rate = o["learning_rate"] * math.sqrt(1 - o["beta2"] ** t) / (1 - o["beta1"] ** t)
    return w - rate * m / (np.sqrt(v) + o["epsilon"])


def lamb(w, g, s, t, o):
    m, v = moments(clipped(g, o), s, o)
    if o["bias_correction"]:
        m, v = m / (1 - o["beta1"] ** t), v / (1 - o["beta2"] ** t)
    step = m / (np.sqrt(v) + o["epsilon"]) + o["wd"] * w
    size = np.linalg.norm(w)
    size = max(size, o["lower_bound"] or 0)
    size = min(size, o["upper_bound"] or math.inf)
    return w - o["learning_rate"] * size / np.linalg.norm(step) * step


def lars(w, g, s, t, o):
    w_norm, g_norm = np.linalg.norm(w), np.linalg.norm(g)
    rate = o["learning_rate"] * o["eta"] * w_norm / (g_norm + o["wd"] * w_norm + o["eps"])
    return sgd(w, g, s, t, {**o, "learning_rate": rate})


def ftml(w, g, s, t, o):  # Algorithm 1 of the paper
    g = clipped(g + o["wd"] * w, o)
    s["v"] = o["beta2"] * s.get("v", 0) + (1 - o["beta2"]) * g * g
    root = np.sqrt(s["v"] / (1 - o["beta2"] ** t)) + o["epsilon"]
    d = (1 - o["beta1"] ** t) / o["learning_rate"] * root
    sigma = d - o["beta1"] * s.get("d", 0)
    s["z"] = o["beta1"] * s.get("z", 0) + (1 - o["beta1"]) * g - sigma * w
    s["d"] = d
    return -s["z"] / d


def ftrl(w, g, s, t, o):  # Algorithm 1 of the paper, whose λ2 is wd
    g = clipped(g, o)
    before = s.get("n", 0)
    s["n"] = before + g * g
    sigma = (np.sqrt(s["n"]) - np.sqrt(before)) / o["learning_rate"]
    s["z"] = s.get("z", 0) + g - sigma * w
    curve = (o["beta"] + np.sqrt(s["n"])) / o["learning_rate"] + o["wd"]
    pull = s["z"] - np.sign(s["z"]) * o["lamda1"]
    return np.where(np.abs(s["z"]) <= o["lamda1"], 0, -pull / curve)


def adagrad(w, g, s, t, o):
    g = clipped(g, o)
    s["n"] = s.get("n", 0) + g * g
    return w - o["learning_rate"] * (g / np.sqrt(s["n"] + o["eps"]) + o["wd"] * w)


def adadelta(w, g, s, t, o):  # Algorithm 1 of the paper; the decay knows no learning rate
    g = clipped(g, o)
    s["n"] = o["rho"] * s.get("n", 0) + (1 - o["rho"]) * g * g
    step = np.sqrt(s.get("d", 0) + o["epsilon"]) / np.sqrt(s["n"] + o["epsilon"]) * g
    s["d"] = o["rho"] * s.get("d", 0) + (1 - o["rho"]) * step * step
    return w - step - o["wd"] * w


def rmsprop(w, g, s, t, o):
    g = clipped(g + o["wd"] * w, o)
    s["n"] = o["gamma1"] * s.get("n", 0) + (1 - o["gamma1"]) * g * g
    if o["centered"]:
        s["g"] = o["gamma1"] * s.get("g", 0) + (1 - o["gamma1"]) * g
        s["d"] = o["gamma2"] * s.get("d", 0) - o["learning_rate"] * g / np.sqrt(
            s["n"] - s["g"] ** 2 + o["epsilon"]
        )
        w = w + s["d"]
    else:
        w = w - o["learning_rate"] * g / np.sqrt(s["n"] + o["epsilon"])
    limit = o["clip_weights"]
    return w if limit is None else np.clip(w, -limit, limit)


CASES = [
    ("sgd", {}),
    ("sgd", {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.1, "clip_gradient": 0.75}),
    ("nag", {}),
    ("nag", {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.1, "clip_gradient": 0.75}),
    ("signum", {"wd": 0.3}),
    ("signum", {"momentum": 0.5, "wd": 0.3, "wd_lh": 0.2, "clip_gradient": 0.75}),
    ("signum", {"momentum": 0.0, "wd": 0.3, "clip_gradient": 0.75}),
    ("adam", {}),
    ("adam", {"beta1": 0.5, "beta2": 0.7, "epsilon": 0.1, "wd": 0.1, "clip_gradient": 0.75}),
    ("lamb", {"wd": 0.1}),
    ("lamb", {"beta1": 0.5, "beta2": 0.7, "epsilon": 0.1, "clip_gradient": 0.75}),
    ("lamb", {"bias_correction": False, "wd": 0.1, "lower_bound": 9.0}),
    ("lamb", {"upper_bound": 2.0, "learning_rate": 0.1}),
    ("lars", {"momentum": 0.9, "wd": 0.1}),
    ("lars", {"eta": 0.1, "eps": 0.5, "learning_rate": 0.3, "clip_gradient": 0.75}),
    ("ftml", {}),
    ("ftml", {"beta1": 0.5, "beta2": 0.7, "epsilon": 0.1, "wd": 0.1, "clip_gradient": 0.75}),
    ("ftrl", {}),
    ("ftrl", {"lamda1": 0.4, "beta": 0.3, "wd": 0.2, "clip_gradient": 0.75}),
    ("adagrad", {}),
    ("adagrad", {"learning_rate": 0.1, "eps": 0.1, "wd": 0.1, "clip_gradient": 0.75}),
    ("adadelta", {}),
    ("adadelta", {"rho": 0.5, "epsilon": 0.1, "wd": 0.1, "clip_gradient": 0.75}),
    ("rmsprop", {}),
    ("rmsprop", {"gamma1": 0.5, "epsilon": 0.1, "wd": 0.1, "clip_gradient": 0.75}),
    ("rmsprop", {"centered": True, "gamma2": 0.7, "learning_rate": 0.1, "wd": 0.1}),
    ("rmsprop", {"learning_rate": 0.1, "clip_weights": 1.5}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_first_updates(name, options):
    whole = options_class(name)(**options).options()
    w, kept = np.array(START), {}
    for t, gradient in enumerate(GRADIENTS, 1):
        w = globals()[name](w, np.array(gradient), kept, t, whole)
    moved = np.abs(w - START).max()
    np.testing.assert_allclose(after(name, options), w, rtol=1e-6, atol=1e-5 * moved)


def test_every_option_is_tested():
    """Each option of each optimizer is given a value of its own in a case above."""
    for name in set(MXNET_S) - {"sgld"}:
        said = {key for other, options in CASES if other == name for key in options}
        shared = {"learning_rate", "momentum_correction"}
        assert set(signature(OPTIMIZERS[name]).options) - shared <= said, name


# PyTorch 2.13.0, float32, the same start and gradients, three steps of e.g.
#   o = torch.optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.01)
# Adam, Adagrad and RMSprop with eps=1e-12: PyTorch adds it elsewhere than MXNet does. Nesterov's
# momentum, AdaGrad and AdaDelta decay weights in another way, so they do not here.
@pytest.mark.parametrize(
    ("name", "options", "golden"),
    [
        (
            "sgd",
            {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.01},
            [0.8489848, -1.236109, 0.4622224, 2.422664],
        ),
        (
            "nag",
            {"learning_rate": 0.1, "momentum": 0.9},
            [0.71905, -1.0714, 0.456, 2.1951],
        ),
        (
            "adam",
            {"learning_rate": 0.1, "beta1": 0.8, "beta2": 0.9, "epsilon": 1e-12, "wd": 0.01},
            [0.8945309, -1.853258, 0.3010862, 2.700011],
        ),
        (
            "adagrad",
            {"learning_rate": 0.1, "eps": 1e-12},
            [0.9021555, -1.93361, 0.4447214, 2.771554],
        ),
        (
            "rmsprop",
            {"learning_rate": 0.1, "gamma1": 0.8, "epsilon": 1e-12, "wd": 0.01},
            [0.7784458, -1.853067, 0.1606541, 2.466957],
        ),
        (
            "adadelta",
            {"rho": 0.8, "epsilon": 1e-3},
            [0.9031292, -1.963672, 0.4781154, 2.778099],
        ),
    ],
)
def test_same_as_pytorch(name, options, golden):
    np.testing.assert_allclose(after(name, options), golden, rtol=2e-6)


def test_sgld_samples_what_it_says():
    """From the density exp(-L - wd/2·w²), here Gaussian, and with the noise that it says."""
    mx.random.seed(3)
    run = Run("sgld", {"learning_rate": 0.04, "wd": 2.0}, [np.zeros(20000)])
    run.step([np.full(20000, 5.0)])
    first = run.values()
    assert abs(first.mean() + 0.04 / 2 * 5) < 5 * 0.2 / math.sqrt(20000)
    assert abs(first.std() - 0.2) < 0.005
    for _ in range(150):
        run.step([np.full(20000, 5.0)])
    found = run.values()
    # L = 5w and wd = 2: mean -5/2, variance 1/2, a little more for steps that are not tiny.
    assert abs(found.mean() + 2.5) < 0.03
    assert abs(found.var() - 0.5 / (1 - 0.04 * 2 / 4)) < 0.02


def test_a_gradient_that_is_always_zero_moves_nothing():
    """Dead pixels and units are common; FTRL starts from 0 anyway."""
    zeros = [[0.0, 1.0, 0.0, -1.0]] * 3
    for name in set(MXNET_S) - {"sgld"}:
        found = after(name, {}, zeros)
        assert np.isfinite(found).all(), name
        still = [0.0, 0.0] if name == "ftrl" else [START[0], START[2]]
        assert found[[0, 2]] == pytest.approx(still, rel=1e-6), name


SIZES = [(3,), (2, 5), (1,), (4, 1, 2)]


def several(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=size).astype("float32") for size in SIZES]


FULL = [next((n, o) for n, o in reversed(CASES) if n == name) for name in MXNET_S if name != "sgld"]


@pytest.mark.parametrize(("name", "options"), [*FULL, ("sgld", {})])
def test_resumed_goes_on_with_the_same_bits(name, options):
    """The arrays of the state and the count of updates are all that an optimizer knows."""
    run = Run(name, options, several())
    for seed in (1, 2, 3):
        run.step(several(seed))
    again = Run(name, options, [a.asnumpy() for a in run.arrays])
    for old, new in zip(leaves(run.states), leaves(again.states)):
        new[:] = nd.array(old.asnumpy(), dtype=old.dtype)
    again.optimizer.begin_num_update = again.optimizer.num_update = run.optimizer.num_update
    for each in (run, again):
        mx.random.seed(7)
        for seed in (4, 5):
            each.step(several(seed))
    for old, new in zip(run.arrays, again.arrays):
        assert np.array_equal(old.asnumpy(), new.asnumpy())
    assert again.optimizer.num_update == run.optimizer.num_update == 5


@pytest.mark.parametrize("name", MXNET_S)
def test_options_and_defaults_are_mxnet_s(name):
    """Every option has MXNet's name and default, but that decay is 0 and nothing corrected."""
    theirs = {}
    for kind in reversed(type(make_optimizer(name, {})).__mro__[:-1]):
        theirs.update(inspect.signature(kind.__init__).parameters)
    created = make_optimizer(name, {})
    for option in signature(OPTIMIZERS[name]).options.values():
        default = theirs[option.name].default
        if option.name == "learning_rate":
            default = created.lr  # its signature says None where 0.01 is meant
        if option.name != "momentum_correction":
            assert option.default == default, option.name
    left_out = {"lazy_update", "multi_precision", "rescale_grad", "param_idx2name", "sym"}
    left_out |= {"lr_scheduler", "begin_num_update", "param_dict", "kwargs", "self"}
    left_out |= {"learning_rate"} if name == "adadelta" else set()  # MXNet takes and ignores it
    assert set(theirs) - left_out == set(signature(OPTIMIZERS[name]).options)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("adam", {"beta1": 1.0}, "optimizer.beta1=1.0 is out of range. It is at least 0 and below"),
        ("nag", {"momentum": -0.1}, "optimizer.momentum=-0.1 is out of range"),
        ("adadelta", {"rho": 1.5}, "optimizer.rho=1.5 is out of range. It is at least 0 and below"),
        ("sgd", {"wd": -1.0}, "optimizer.wd=-1.0 is out of range. It is at least 0"),
        ("sgd", {"clip_gradient": 0.0}, "optimizer.clip_gradient=0.0 is out of range. It is above"),
        ("ftrl", {"learning_rate": 0.0}, "optimizer.learning_rate=0.0 is out of range. It is abov"),
        ("ftml", {"learning_rate": 0.0}, "optimizer.learning_rate=0.0 is out of range. It is abov"),
        ("ftrl", {"beta": 0.0}, "optimizer.beta=0.0 is out of range. It is above 0"),
        ("ftrl", {"lamda1": -1.0}, "optimizer.lamda1=-1.0 is out of range. It is at least 0"),
        ("adagrad", {"eps": 0.0}, "optimizer.eps=0.0 is out of range. It is above 0"),
        ("lars", {"eps": -1.0}, "optimizer.eps=-1.0 is out of range. It is at least 0"),
        ("signum", {"wd_lh": 0.1, "momentum": 0.0}, "wd_lh=0.1 has no meaning with optimizer.mome"),
        ("lamb", {"lower_bound": 2.0, "upper_bound": 1.0}, "lower_bound=2.0 is above upper_bound"),
    ],
)
def test_values_that_are_refused(name, options, words):
    with pytest.raises(ConfigError) as caught:
        options_class(name)(**options)
    assert words in str(caught.value) and caught.value.hint
    assert "\n" not in str(caught.value)


def test_zero_is_allowed_where_it_means_none():
    descent.Lars(eps=0.0, learning_rate=0.0)
    adaptive.Ftrl(lamda1=0.0, wd=0.0)
    descent.Signum(momentum=0.0, wd=0.1)


def test_light():
    code = (
        "import sys; from dope.core.configuring import options; "
        "from dope.core.optimizing import optimizers, schedules; "
        "assert not {'mxnet', 'numpy', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

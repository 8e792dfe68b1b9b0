"""The learning rate over a run: against PyTorch's schedulers, at its ends, and with warm-up.

What the options refuse is in test_config.py.
"""

from __future__ import annotations

import math

import pytest

from dope.core.configuring.options import TrainerOptions
from dope.core.optimizing.schedules import factor

EPOCHS, STEPS = 3, 4


def factors(epochs=EPOCHS, **options):
    """What each step of a run of 4 steps an epoch gets."""
    made = TrainerOptions(epochs=epochs, **options)
    return [factor(made, step / STEPS, epochs) for step in range(epochs * STEPS)]


# PyTorch 2.13.0: opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), then twelve
# times param_groups[0]["lr"], opt.step(), scheduler.step(), for the scheduler that is named.
@pytest.mark.parametrize(
    ("options", "golden"),
    [
        (  # CosineAnnealingLR(opt, T_max=12, eta_min=0.1)
            {"schedule": "cosine", "final": 0.1},
            "1.0 0.984666622 0.939711432 0.868198052 0.775 0.66646857 "
            "0.55 0.43353143 0.325 0.231801948 0.160288568 0.115333378",
        ),
        (  # MultiStepLR(opt, milestones=[4, 10], gamma=0.2)
            {"schedule": "step", "milestones": [1.0, 2.5], "decay": 0.2},
            "1 1 1 1 0.2 0.2 0.2 0.2 0.2 0.2 0.04 0.04",
        ),
        (  # PolynomialLR(opt, total_iters=12, power=1.5)
            {"schedule": "poly", "power": 1.5},
            "1.0 0.877641515 0.760725774 0.649519053 0.544331054 0.445528193 "
            "0.353553391 0.268957177 0.19245009 0.125 0.0680413817 0.0240562612",
        ),
        (  # LinearLR(opt, start_factor=1.0, end_factor=0.25, total_iters=12)
            {"schedule": "linear", "final": 0.25},
            "1.0 0.9375 0.875 0.8125 0.75 0.6875 0.625 0.5625 0.5 0.4375 0.375 0.3125",
        ),
        (  # LinearLR(opt, start_factor=0.01, end_factor=1.0, total_iters=6)
            {"warmup": 1.5},
            "0.01 0.175 0.34 0.505 0.67 0.835 1 1 1 1 1 1",
        ),
        (  # SequentialLR(opt, [LinearLR(opt, start_factor=0.01, end_factor=1.0, total_iters=4),
            #                   CosineAnnealingLR(opt, T_max=8)], milestones=[4])
            {"schedule": "cosine", "warmup": 1.0},
            "0.01 0.2575 0.505 0.7525 1.0 0.961939766 "
            "0.853553391 0.691341716 0.5 0.308658284 0.146446609 0.0380602337",
        ),
    ],
)
def test_same_as_pytorch(options, golden):
    wanted = [float(word) for word in golden.split()]
    assert factors(**options) == pytest.approx(wanted, rel=1e-8)


def test_constant_is_exactly_one():
    assert factors() == [1.0] * 12
    assert factors(warmup=1.0)[4:] == [1.0] * 8


@pytest.mark.parametrize("kind", ["cosine", "linear", "poly"])
def test_ends(kind):
    options = TrainerOptions(schedule=kind, final=0.2, warmup=1.0)
    assert factor(options, 1.0, 5) == 1.0
    assert factor(options, 5.0, 5) == pytest.approx(0.2)
    assert factor(options, 7.0, 5) == pytest.approx(0.2)  # a run that was told of fewer epochs
    falling = [factor(options, 1 + step / 10, 5) for step in range(41)]
    assert all(a > b for a, b in zip(falling, falling[1:]))


@pytest.mark.parametrize("kind", ["constant", "step", "cosine", "linear", "poly"])
@pytest.mark.parametrize("warmup", [0.0, 0.3, 3.0, 50.0])
def test_no_step_of_a_run_is_wasted(kind, warmup):
    more = {"milestones": [1.0]} if kind == "step" else {}
    found = factors(schedule=kind, warmup=warmup, **more)
    assert all(0 < value <= 1 and math.isfinite(value) for value in found)
    if warmup:
        assert found[0] == 0.01


def test_milestones_are_counted_from_the_start_of_the_run():
    found = factors(schedule="step", milestones=[0.5, 2.0], decay=0.5, warmup=1.0)
    assert found == pytest.approx([0.01, 0.2575, 0.2525, 0.37625] + [0.5] * 4 + [0.25] * 4)


def test_more_epochs_stretch_the_schedule():
    options = TrainerOptions(schedule="linear")
    assert factor(options, 2.0, 4) == 0.5 and factor(options, 2.0, 8) == 0.75
    step = TrainerOptions(schedule="step", milestones=[1.0])
    assert factor(step, 2.0, 4) == factor(step, 2.0, 8) == pytest.approx(0.1)

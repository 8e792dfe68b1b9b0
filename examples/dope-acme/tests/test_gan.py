"""The task acme.gan: two networks that do not disturb each other, and what they learn."""

import numpy as np
import pytest
from dope_acme.gan import GAN, Cloud, pair

import dope
from dope.core import backend
from dope.core.engine import Engine


def parameters(net):
    return np.concatenate([p.data().asnumpy().ravel() for p in net.collect_params().values()])


@pytest.mark.parametrize(
    ("learns", "rests", "loss"),
    [("discriminator", "generator", "tell_apart"), ("generator", "discriminator", "deceive")],
)
def test_a_step_of_one_network_leaves_the_other_as_it_is(learns, rests, loss):
    task, data = GAN(), Cloud(n=50)
    task.optimizer = {"name": "adam", "learning_rate": 0.1}
    backend.seed(1)
    nets = pair(data)
    engine = Engine(nets, task.groups(nets), backend.contexts("cpu(0)"))
    (batch,) = data.batches("train", 50)
    before = {name: parameters(net) for name, net in nets.items()}
    engine.minimize(learns, getattr(task, loss), batch)
    assert (parameters(nets[learns]) != before[learns]).all()
    assert (parameters(nets[rests]) == before[rests]).all()


def test_the_discriminator_sends_no_gradient_into_the_generator():
    task, data = GAN(), Cloud(n=50)
    nets = pair(data)
    for net in nets.values():
        net.initialize()
    weight = nets["generator"].weight
    weight.grad()[:] = 7  # what nobody writes to stays
    (batch,) = data.batches("train", 50)
    with backend.mx.autograd.record():
        loss = task.tell_apart(nets, batch, None)
    loss.backward()
    assert (weight.grad().asnumpy() == 7).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_mean_and_covariance_come_near_those_of_the_data(tmp_path, seed):
    run = dope.run("acme.gan", seed=seed, runs=tmp_path)
    first, *_, last = run.directory.metrics()
    assert first["mean_error"] > 1
    assert last["mean_error"] < 0.2  # the mean is (1, -2)
    assert last["covariance_error"] < 0.4  # the largest variance is 2
    rows = run.predict()["rows"]
    assert len(rows) == 100
    assert abs(np.mean([row["x"] for row in rows]) - Cloud.mean[0]) < 0.6  # 4 standard errors

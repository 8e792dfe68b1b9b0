"""The model, the loss and the callbacks of acme, against numbers from elsewhere."""

import numpy as np
import pytest
from dope_acme.focal import Focal
from dope_acme.resnet import Residual, ResNet

import dope
from dope.core.backend import mx, nd


class Photographs:
    """As much of a data set of images as a model asks for."""

    shape, classes = (3, 32, 32), list("0123456789")


# scipy.special.log_softmax(logits, axis=1), then -(1 - exp(log_p))**gamma * log_p
@pytest.mark.parametrize(
    ("gamma", "expected"),
    [
        (0.0, [0.2413113, 1.0986123, 3.0494556]),
        (0.5, [0.1117360, 0.8970132, 2.9763300]),
        (2.0, [0.0110928, 0.4882721, 2.7673074]),
    ],
)
def test_focal_loss(gamma, expected):
    logits = nd.array([[2, -1, 0.5], [0, 0, 0], [-3, 1, 4]])
    found = Focal(gamma=gamma)(logits, nd.array([0, 2, 1])).asnumpy()
    assert np.allclose(found, expected, rtol=1e-4)  # MXNet's log_softmax is right to 5e-6


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_the_gradient_of_focal_loss_is_finite_where_the_class_is_certain(gamma):
    logits = nd.array([[60, 0, -60], [-60, 0, 60]])
    logits.attach_grad()
    with mx.autograd.record():
        loss = Focal(gamma=gamma)(logits, nd.array([0, 0]))
    loss.backward()
    assert np.isfinite(logits.grad.asnumpy()).all() and (loss.asnumpy() >= -1e-5).all()


def test_resnet_20_has_as_many_parameters_as_in_the_paper():
    net = ResNet(Photographs, blocks=(3, 3, 3))
    net.initialize()
    assert net(nd.zeros((2, 3, 32, 32))).shape == (2, 10)
    learned = [p for p in net.collect_params().values() if p.grad_req != "null"]
    # table 6 says 0.27M; by hand, for kernels, normalizations and the last layer:
    kernels = 9 * (3 * 16 + 6 * 16**2 + 16 * 32 + 5 * 32**2 + 32 * 64 + 5 * 64**2)
    shortcuts = 16 * 32 + 32 * 64
    normalized = 7 * 16 + (6 + 1) * 32 + (6 + 1) * 64
    by_hand = kernels + shortcuts + 2 * normalized + 65 * 10
    assert sum(np.prod(p.shape) for p in learned) == by_hand == 272_474


def test_a_residual_block_whose_convolutions_are_zero_passes_on_what_comes_in():
    block = Residual(4, 4, 1)
    block.initialize()
    for parameter in block.collect_params(".*weight").values():
        parameter.set_data(nd.zeros_like(parameter.data()))
    x = nd.random.uniform(shape=(2, 4, 5, 5))
    assert (block(x).asnumpy() == x.asnumpy()).all()


def test_a_resnet_without_blocks_is_refused():
    with pytest.raises(dope.DopeError, match="blocks"):
        ResNet(Photographs, blocks=())

"""The numbers of docs/errata.md on DCGAN: what the book's recipe gives, and what is right.

Holds computations only; those of the other chapters are in files of their own.
"""

from __future__ import annotations

import types

import numpy as np
import pytest
from scipy.stats import norm

from dope.core.backend import mx, nd
from dope.plugins.generative.dcgan import between
from dope.plugins.generative.dcgan_nets import dcgan

IMAGES, BATCH = 13_233, 64  # of Labeled Faces in the Wild, and the book's batch


def products(net, given):
    """Multiplications of one example: of each convolution, outputs by what each is made of."""
    x, count = nd.zeros(given), 0
    for layer in net:
        inputs, x = x, layer(x)
        weight = getattr(layer, "weight", None)
        if weight is not None:  # a transposed one takes each input, another makes each output
            up = isinstance(layer, mx.gluon.nn.Conv2DTranspose)
            side = inputs.shape[2:] if up else x.shape[2:]
            count += int(np.prod(weight.shape)) * int(np.prod(side or (1,)))
    return count


def test_the_books_step_multiplies_a_quarter_more():
    nets = dcgan(types.SimpleNamespace(shape=(3, 64, 64)))
    for net in nets.values():
        net.initialize()
    G = products(nets["generator"], (1, 100))
    D = products(nets["discriminator"], (1, 3, 64, 64))
    assert round(G / 1e6) == 105 and round(D / 1e6) == 104
    # forward 1; backward 1 for the inputs and 1 for the weights of a layer
    book = (G + 2 * D + 4 * D + 2 * G) + (G + D + 2 * D + 2 * G)
    right = (G + 2 * D + 4 * D) + (G + D + D + 2 * G)
    assert book / right == pytest.approx(1.25, abs=0.005)


def test_a_threshold_of_a_half_on_logits():
    assert 1 / (1 + np.exp(-0.5)) == pytest.approx(0.622, abs=5e-4)
    real, false = norm(1, 1), norm(-1, 1)  # logits of a discriminator that is fairly good
    assert 100 * real.sf(0.5) == pytest.approx(69.1, abs=0.05)
    assert 100 * false.cdf(0.5) == pytest.approx(93.3, abs=0.05)
    assert 50 * (real.sf(0.5) + false.cdf(0.5)) == pytest.approx(81.2, abs=0.05)
    assert 100 * real.sf(0) == pytest.approx(84.1, abs=0.05)
    assert 100 * false.cdf(0) == pytest.approx(84.1, abs=0.05)


def test_the_books_walk_leads_to_no_second_image():
    z = np.random.default_rng(0).standard_normal((2000, 2, 100))
    last = z[:, 0] + 11 * 0.05
    assert np.linalg.norm(last - z[:, 0], axis=1) == pytest.approx(5.5)
    assert np.linalg.norm(z[:, 1] - z[:, 0], axis=1).mean() == pytest.approx(14.1, abs=0.1)
    lengths = [np.linalg.norm((z[:, 0] + z[:, 1]) / 2, axis=1).mean()]
    lengths += [np.mean([np.linalg.norm(between(a, b, 3)[1]) for a, b in z[:300]])]
    assert lengths == pytest.approx([7.05, 9.97], abs=0.05)


def test_fifteen_photographs_count_twice():
    data = np.arange(IMAGES, dtype=np.float32)
    batches = [b.data[0].asnumpy() for b in mx.io.NDArrayIter(data, batch_size=BATCH)]
    seen = np.concatenate(batches)
    assert len(batches) == 207 and len(seen) - IMAGES == 15
    assert np.bincount(seen.astype(int)).tolist() == [2] * 15 + [1] * (IMAGES - 15)
    assert (seen[:IMAGES] == data).all()  # and they are never shuffled

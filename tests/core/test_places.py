"""Small parameters side by side: the same bits as one by one, and states that are still theirs.

Measures nothing; the rules themselves are tested in test_inplace.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.backend import mx, nd
from dope.core.optimizing import places
from dope.core.optimizing.inplace import BLOCK
from dope.core.optimizing.updates import Updates
from dope.core.task import Group

SHAPES = [(3, 5), (), (70, 60), (7,), (1, 1)]  # the third is too large to lie beside others
RULES = {
    "sgd": {},
    "sgd-momentum": {"momentum": 0.5, "wd": 0.01},
    "adam": {"beta1": 0.5},
    "adagrad": {"wd": 0.1},
}


class Bag(mx.gluon.Block):
    def __init__(self, shapes, multiples=()):
        super().__init__()
        for i, shape in enumerate(shapes):
            made = self.params.get(f"p{i}", shape=shape or (1,), init=mx.init.One())
            made.lr_mult = multiples[i] if multiples else 1.0
            setattr(self, f"p{i}", made)


def updates_of(rule, multiples=(), shapes=SHAPES):
    bag = Bag(shapes, multiples)
    bag.initialize()
    group = Group([bag], rule.split("-")[0], {"learning_rate": 0.125, **RULES[rule]})
    return Updates("main", group, [mx.cpu(0)])


def train(updates, steps=5, seed=0):
    updates.prepare()
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for p in updates.parameters:
            p.grad()[:] = nd.array(rng.normal(size=p.shape))
        updates.reduce([True])
        updates.apply((), (), 4)
    return [p.data().asnumpy() for p in updates.parameters], updates.state("s")[0]


@pytest.mark.parametrize("multiples", [(), (1.0, 0.5, 1.0, 2.0, 1.0)])
@pytest.mark.parametrize("rule", RULES)
def test_side_by_side_gives_the_bits_of_one_by_one(rule, multiples, monkeypatch):
    together = updates_of(rule, multiples)
    weights, states = train(together)
    assert [len(row.numbers) for row in together._rows[0]] == [4, 1]
    monkeypatch.setattr(places, "SMALL", 0)
    alone = updates_of(rule, multiples)
    expected, expected_states = train(alone)
    assert [len(row.numbers) for row in alone._rows[0]] == [1] * 5
    for a, b in zip(weights, expected):
        np.testing.assert_array_equal(a, b)
    assert list(states) == list(expected_states)
    for key, value in states.items():
        np.testing.assert_array_equal(value, expected_states[key])


@pytest.mark.parametrize("rule", ["sgd-momentum", "adam"])
def test_states_put_back_go_on_with_the_same_bits(rule):
    first = updates_of(rule)
    train(first, 3)
    kept, count = first.state("s")
    again = updates_of(rule)
    again.restore("s", kept, count)
    for mine, theirs in zip(again.parameters, first.parameters):
        mine.set_data(theirs.data())
    a, states_a = train(first, 2, seed=1)
    b, states_b = train(again, 2, seed=1)
    for x, y in zip([*a, *states_a.values()], [*b, *states_b.values()]):
        np.testing.assert_array_equal(x, y)


def test_a_row_is_no_longer_than_a_block():
    shapes = [(places.SMALL,)] * (BLOCK // places.SMALL + 1)
    updates = updates_of("sgd", shapes=shapes)
    train(updates, 1)
    assert [len(row.numbers) for row in updates._rows[0]] == [BLOCK // places.SMALL, 1]

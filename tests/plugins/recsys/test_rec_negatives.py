"""Negatives: never the user's own, even, seeded, and found where hardly anything is left.

Holds no learning.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.errors import ConfigError
from dope.plugins.recsys.negatives import Negatives


@pytest.fixture(params=[1 << 26, 0], ids=["table", "searched"])
def ratings(request, monkeypatch):
    monkeypatch.setattr("dope.plugins.recsys.negatives.DENSE", request.param)
    rng = np.random.default_rng(2)
    known = rng.random((30, 40)) < 0.3
    known[:, 35:] = False  # items without a rating
    users, items = np.nonzero(known)
    return known, users.astype(np.int32), items.astype(np.int32)


def test_own_and_cold_items_are_never_drawn(ratings):
    known, users, items = ratings
    drawn = Negatives(users, items, (30, 40)).draw(users, 50, np.random.default_rng(0))
    assert drawn.shape == (len(users), 50) and drawn.dtype == np.int32
    assert not known[users[:, None], drawn].any()
    assert drawn.max() < 35


def test_all_others_are_equally_likely(ratings):
    known, users, items = ratings
    user = np.full(20000, 3, np.int32)
    drawn = Negatives(users, items, (30, 40)).draw(user, 1, np.random.default_rng(1))
    counts = np.bincount(drawn.ravel(), minlength=40)
    free = np.flatnonzero(~known[3] & known.any(axis=0))
    expected = 20000 / len(free)
    assert set(np.flatnonzero(counts)) == set(free)
    chi = ((counts[free] - expected) ** 2 / expected).sum()
    assert chi < len(free) + 6 * np.sqrt(2 * len(free))


def test_the_same_seed_draws_the_same(ratings):
    _, users, items = ratings
    made = Negatives(users, items, (30, 40))
    one, two, other = (made.draw(users, 3, np.random.default_rng(s)) for s in (5, 5, 6))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_the_last_free_item_is_found():
    users = np.zeros(1999, np.int32)
    items = np.delete(np.arange(2000), 1234).astype(np.int32)
    users = np.append(users, 1).astype(np.int32)
    items = np.append(items, 1234).astype(np.int32)
    drawn = Negatives(users, items, (2, 2000)).draw(
        np.zeros(3, np.int32), 2, np.random.default_rng(0)
    )
    assert (drawn == 1234).all()


def test_who_has_rated_all_is_known_and_refused():
    users, items = np.array([0, 0, 1], np.int32), np.array([0, 1, 1], np.int32)
    made = Negatives(users, items, (3, 5))
    np.testing.assert_array_equal(made.full, [True, False, False])
    with pytest.raises(ConfigError, match="every item"):
        made.draw(users, 1, np.random.default_rng(0))

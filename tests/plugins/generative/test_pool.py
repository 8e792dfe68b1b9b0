"""The pool of earlier images: what it returns, which slots it uses, and that it can be put back.

Holds no networks; images here are single numbers.
"""

from __future__ import annotations

import numpy as np
import pytest

from dope.core.backend import nd
from dope.core.errors import RunError
from dope.plugins.generative.pool import ImagePool


def images(*values):
    return nd.array(np.array(values, np.float32).reshape(-1, 1, 1, 1))


def numbers(array):
    return array.asnumpy().ravel().tolist()


def fed(pool, count, start=0):
    """What comes out while ``count`` images go in one by one."""
    return [numbers(pool.query(images(start + i)))[0] for i in range(count)]


def test_a_pool_that_has_room_returns_what_comes():
    pool = ImagePool(3)
    assert numbers(pool.query(images(1, 2))) == [1, 2]
    assert numbers(pool.query(images(3))) == [3]
    assert [numbers(each)[0] for each in pool.images] == [1, 2, 3]


def test_no_pool_returns_the_very_images():
    given = images(1, 2)
    assert ImagePool(0).query(given) is given


def test_every_slot_is_returned_the_last_one_too():
    pool = ImagePool(5, seed=1)
    fed(pool, 5)
    found = fed(pool, 200, start=100)
    assert {0, 1, 2, 3, 4} <= set(found)


def test_half_of_the_images_are_earlier_ones_and_slots_are_drawn_evenly():
    size, count = 10, 4000
    pool = ImagePool(size, seed=3)
    fed(pool, size)
    found = np.array(fed(pool, count, start=size))
    earlier = found != np.arange(size, size + count)
    assert abs(earlier.mean() - 0.5) < 4 * 0.5 / count**0.5
    # of the images that are kept, one stays for size / 0.5 steps in the mean: P(swapped) = 1 / 20
    ages = (np.arange(size, size + count) - found)[earlier]
    assert abs(ages[len(ages) // 2 :].mean() - 2 * size) < 4 * 2 * size / (len(ages) / 2) ** 0.5


def test_images_are_copied():
    pool, given = ImagePool(2), images(1, 2)
    pool.query(given)
    given[:] = 9
    assert [numbers(each)[0] for each in pool.images] == [1, 2]


def test_an_image_can_return_within_its_own_batch_and_none_is_lost():
    pool = ImagePool(2, seed=0)
    found = [x for i in range(50) for x in numbers(pool.query(images(*range(4 * i, 4 * i + 4))))]
    kept = [numbers(each)[0] for each in pool.images]
    assert len(found) == 200
    assert set(found) <= set(range(200)) and set(found) | set(kept) == set(range(200))


@pytest.mark.parametrize("before", [0, 2, 30])
def test_a_pool_that_was_put_back_goes_on_alike(before):
    one, other = ImagePool(4, seed=5), ImagePool(4, seed=6)
    fed(one, before)
    state = {key: value.copy() for key, value in one.state().items()}
    rest = fed(one, 40, start=1000)
    other.restore(state)
    assert fed(other, 40, start=1000) == rest
    assert one.state()["generator"].tolist() == other.state()["generator"].tolist()


def test_the_state_of_the_generator_is_numpys():
    pool = ImagePool(1, seed=7)
    words = pool.state()["generator"]
    expected = np.random.PCG64(7).state["state"]
    assert int(words[0]) << 64 | int(words[1]) == expected["state"]
    assert int(words[2]) << 64 | int(words[3]) == expected["inc"]


def test_a_smaller_pool_refuses():
    pool = ImagePool(4)
    fed(pool, 4)
    with pytest.raises(RunError, match=r"4 images, and task\.pool is 2"):
        ImagePool(2).restore(pool.state())

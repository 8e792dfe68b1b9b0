"""Every example comes once an epoch, in the seed's order; batches cut into shards lose none.

Holds the tests of data.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dope.core.backend import mx, nd
from dope.core.data import ArrayBatches, batch_length, cut, head, split

CONTEXTS = [mx.cpu(i) for i in range(3)]


def arrays(n, width=3):
    x = np.arange(n * width, dtype="float32").reshape(n, width)
    return x, np.arange(n, dtype="int32")


def read(batches):
    return [tuple(part.asnumpy() for part in batch) for batch in batches]


def generator(seed=0):
    return np.random.default_rng(seed)


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 40),
    size=st.integers(1, 45),
    repeats=st.integers(1, 3),
    shuffle=st.booleans(),
    bytes_together=st.sampled_from([1, 40, 200, 1 << 22]),
    data=st.data(),
)
def test_every_example_comes_once_and_skipping_leaves_the_rest_as_it_is(
    n, size, repeats, shuffle, bytes_together, data
):
    x, y = arrays(n)
    batches = ArrayBatches((x, y), size, shuffle=shuffle, repeats=repeats)
    batches.CHUNK = bytes_together
    whole = read(batches.epoch(generator()))
    assert len(whole) == len(batches)
    sizes = [len(rows) for _, rows in whole]
    last = n % size or min(n, size)
    assert sizes == ([min(n, size)] * (-(-n // size) - 1) + [last]) * repeats
    for start in range(0, len(whole), len(whole) // repeats):
        once = np.concatenate([rows for _, rows in whole[start : start + len(whole) // repeats]])
        assert sorted(once) == list(range(n))
        if not shuffle:
            assert list(once) == list(range(n))
    for inputs, rows in whole:
        np.testing.assert_array_equal(inputs, x[rows])
        assert (inputs.dtype, rows.dtype) == (np.float32, np.int32)
    skip = data.draw(st.integers(0, len(whole)))
    rest = read(batches.epoch(generator(), skip))
    assert len(rest) == len(whole) - skip
    for one, other in zip(whole[skip:], rest):
        for a, b in zip(one, other):
            np.testing.assert_array_equal(a, b)


def test_the_generator_decides_the_order():
    batches = ArrayBatches(arrays(50), 7, shuffle=True)
    orders = [np.concatenate([y for _, y in read(batches.epoch(generator(s)))]) for s in (1, 1, 2)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()
    assert (orders[0] != np.arange(50)).any()
    unseeded = np.concatenate([y for _, y in read(batches)])
    np.testing.assert_array_equal(unseeded, np.arange(50))


@pytest.mark.parametrize("bytes_together", [1, 60, 500])
def test_a_transform_sees_whole_chunks_and_has_the_same_numbers_after_a_skip(bytes_together):
    seen = []

    def transform(taken, rng):
        x, y = taken
        seen.append(len(x))
        noise = 0 if rng is None else rng.normal(size=x.shape)
        return (x / 2 + noise).astype("float32"), y.astype("float32")

    x, y = arrays(50)
    batches = ArrayBatches((x.astype("uint8"), y), 8, shuffle=True, transform=transform)
    batches.CHUNK = bytes_together
    whole = read(batches.epoch(generator(3)))
    assert sum(seen) == 50 and whole[0][0].dtype == whole[0][1].dtype == np.float32
    assert len(seen) == {1: 7, 500: 1, 60: 4}[bytes_together]
    for skip in range(8):
        rest = read(batches.epoch(generator(3), skip))
        assert len(rest) == 7 - skip
        for one, other in zip(whole[skip:], rest):
            np.testing.assert_array_equal(one[0], other[0])
    still = read(batches.epoch())
    np.testing.assert_array_equal(np.concatenate([a for a, _ in still]), x.astype("uint8") / 2)


def test_a_chunk_that_was_given_away_is_not_written_again():
    """Batches share memory with their chunk: what the consumer keeps must stay."""
    x, y = arrays(64)
    batches = ArrayBatches((x, y), 4, shuffle=True)
    batches.CHUNK = 100
    kept = list(batches.epoch(generator()))
    copies = [tuple(part.asnumpy().copy() for part in batch) for batch in kept]
    for _ in range(3):
        list(batches.epoch(generator(9)))
    for batch, copy in zip(kept, copies):
        for part, expected in zip(batch, copy):
            np.testing.assert_array_equal(part.asnumpy(), expected)
    kept[0][0][:] = -1  # and the arrays of the data set stay as well
    np.testing.assert_array_equal(batches.arrays[0], arrays(64)[0])


def test_the_whole_in_one_batch_is_uploaded_once():
    batches = ArrayBatches(arrays(5), None, repeats=3)
    found = list(batches.epoch(generator()))
    assert len(found) == len(batches) == 3 and all(each is found[0] for each in found)
    assert len(list(batches.epoch(generator(), 2))) == 1
    assert next(iter(batches))[0] is found[0][0]


def test_narrowing_counts_the_original_rows():
    batches = ArrayBatches(arrays(10), 4)
    batches.narrow(np.array([7, 2, 9]))
    assert len(batches) == 1 and batches.examples == 3
    (only,) = read(batches)
    assert only[1].tolist() == [7, 2, 9]
    batches.narrow(np.array([0]))
    assert read(batches)[0][1].tolist() == [0]
    with pytest.raises(ValueError, match="first axis"):
        ArrayBatches((np.zeros((2, 5)),), axis=1).narrow(np.array([0]))


def test_examples_may_lie_along_another_axis():
    x = np.arange(30, dtype="float32").reshape(3, 10)
    batches = ArrayBatches((x,), 4, axis=1, shuffle=True)
    parts = [part for (part,) in read(batches.epoch(generator()))]
    assert [part.shape for part in parts] == [(3, 4), (3, 4), (3, 2)]
    joined = np.concatenate(parts, axis=1)
    order = joined[0].astype(int)
    assert sorted(order) == list(range(10))
    np.testing.assert_array_equal(joined, x[:, order])


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 20), parts=st.integers(1, 3), axis=st.integers(0, 1))
def test_shards_are_even_in_order_and_on_their_contexts(n, parts, axis):
    x = np.arange(2 * n, dtype="float32").reshape((n, 2) if axis == 0 else (2, n))
    batch = {"x": nd.array(x), "pair": (x, nd.array(x))}
    shards = split(batch, CONTEXTS[:parts], axis)
    assert len(shards) == parts
    filled = [shard for shard in shards if shard is not None]
    sizes = [0 if shard is None else shard["x"].shape[axis] for shard in shards]
    assert sum(sizes) == n and max(sizes) - min(sizes) <= 1
    for shard, context in zip(shards, CONTEXTS):
        if shard is not None:
            assert isinstance(shard["pair"], tuple)
            assert batch_length(shard, axis) == shard["x"].shape[axis]
            for array in (shard["x"], *shard["pair"]):
                assert array.context == context
    for get in (lambda s: s["x"], lambda s: s["pair"][0], lambda s: s["pair"][1]):
        joined = np.concatenate([get(shard).asnumpy() for shard in filled], axis=axis)
        np.testing.assert_array_equal(joined, x)


@pytest.mark.parametrize("n", [3, 7, 12])
def test_pieces_are_even_and_keep_their_form(n):
    batch = (nd.arange(n), np.arange(n), [f"tree {i}" for i in range(n)])
    pieces = cut(batch, 3)
    sizes = [batch_length(piece) for piece in pieces]
    assert sum(sizes) == n and max(sizes) - min(sizes) <= 1 and min(sizes) >= 1
    assert np.concatenate([a.asnumpy() for a, _, _ in pieces]).tolist() == list(range(n))
    assert np.concatenate([b for _, b, _ in pieces]).tolist() == list(range(n))
    assert [tree for _, _, trees in pieces for tree in trees] == batch[2]
    assert cut(batch, 1) == [batch]
    first = head(batch, 2)
    assert batch_length(first) == 2 and first[2] == ["tree 0", "tree 1"]


def test_types_survive_the_way_to_the_device():
    for dtype in ("float64", "int32", "uint8"):
        batch = np.arange(5).astype(dtype)
        assert split(batch, CONTEXTS[:2])[1].dtype == np.dtype(dtype)
        (found,) = next(iter(ArrayBatches((batch,), 2)))
        assert found.dtype == np.dtype(dtype)

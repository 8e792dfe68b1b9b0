"""Parts of ratings: at random, by time, the last of each user; folds; batches; counts.

Holds comparisons with plain loops over users and ratings.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dope.core.errors import ConfigError
from dope.plugins.recsys.ratings import Ratings, RatingSet, Source
from dope.plugins.recsys.splitting import divide, repeats, settle


class Made(RatingSet):
    """Ratings of 6 users and 9 items, drawn here."""

    n = 47

    def read(self):
        rng = np.random.default_rng(4)
        pairs = rng.permutation(54)[: self.n]
        users, items = (pairs // 9).astype(np.int32), (pairs % 9).astype(np.int32)
        values = rng.integers(1, 6, self.n).astype(np.float32)
        times = rng.integers(0, 9, self.n).astype(float)  # many are the same
        return Source(
            Ratings(users, items, values, times), [f"u{i}" for i in range(6)], list("abcdefghi")
        )


logs = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 5), min_size=n, max_size=n),
        st.lists(st.integers(0, 9), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n).filter(lambda held: not all(held)),
    )
)
shares = st.sampled_from([0.0, 0.1, 0.3, 0.45])


@given(logs, st.sampled_from(["random", "time", "last"]), shares, shares, st.booleans())
def test_parts_are_what_they_are_said_to_be(log, how, test, valid, hold):
    users, times, held = map(np.array, log)
    held = held if hold else np.zeros(len(users), bool)
    parts = divide(how, users, times.astype(float), test=test, valid=valid, seed=3, held=held)
    everything = np.concatenate(list(parts.values()))
    assert sorted(everything) == list(range(len(users)))  # each row in exactly one part
    assert all((np.diff(rows) > 0).all() for rows in parts.values())
    assert len(parts["train"]) and not held[parts["train"]].any()
    found = {name: set(map(int, parts.get(name, ()))) for name in ("train", "valid", "test")}
    withheld = {i for i in range(len(users)) if held[i]}
    assert withheld <= found["test"]
    free = [i for i in range(len(users)) if not held[i]]
    if how == "last":
        expected = {"valid": set(), "test": set(withheld)}
        for user in set(users[free].tolist()):
            own = sorted((times[i], i) for i in free if users[i] == user)
            for name, share in (("test", test), ("valid", valid)):
                if share and len(own) > 1:
                    expected[name].add(own.pop()[1])
        assert (found["valid"], found["test"]) == (expected["valid"], expected["test"])
        return
    n_test = min(round(test * len(users)), len(free) - 1)
    n_valid = min(round(valid * len(users)), len(free) - 1 - n_test)
    assert len(found["test"]) == n_test + len(withheld) and len(found["valid"]) == n_valid
    if how == "time":
        latest = sorted(free, key=lambda i: (times[i], i))
        cut = len(latest) - n_test
        assert found["test"] - withheld == set(latest[cut:])
        assert found["valid"] == set(latest[cut - n_valid : cut])


def test_seeds_make_parts():
    first, same, other = (Made(seed=seed).rows for seed in (1, 1, 2))
    assert all((first[part] == same[part]).all() for part in first)
    assert (first["test"] != other["test"]).any()
    assert {part: len(rows) for part, rows in first.items()} == {"train": 37, "valid": 5, "test": 5}


@pytest.mark.parametrize("split", ["time", "last"])
def test_times_are_needed_for_some_splits(split):
    class Timeless(Made):
        def read(self):
            source = super().read()
            return source._replace(ratings=source.ratings._replace(times=None))

    assert len(Timeless().parts["test"].values) == 5
    with pytest.raises(ConfigError, match=f"split={split} goes by times, but the source has none"):
        _ = Timeless(split=split).parts


def test_counts_are_those_of_training():
    data = Made(test=0.3, valid=0.3)
    train = data.parts["train"]
    for counts, numbers, size in (
        (data.user_counts, train.users, 6), (data.item_counts, train.items, 9),
    ):  # fmt: skip
        seen = Counter(numbers.tolist())
        assert counts.tolist() == [seen[i] for i in range(size)]
    summary = data.summary()
    assert summary["density"] == 47 / 54 and summary["cold_users"] == 0
    assert summary["train_ratings"] + summary["valid_ratings"] + summary["test_ratings"] == 47


def test_batches_are_users_items_and_ratings():
    data = Made()
    batches = data.batches("train", 10)
    assert batches.shuffle and len(batches) == 4
    users, items, values = (
        np.concatenate(column)
        for column in zip(*[[a.asnumpy() for a in batch] for batch in batches.epoch()])
    )
    assert (users.dtype, items.dtype, values.dtype) == (np.int32, np.int32, np.float32)
    train = data.parts["train"]
    assert (users == train.users).all() and (items == train.items).all()
    assert (values == train.values).all()
    assert not data.batches("test", 10).shuffle
    assert Made(test=0).batches("test", 10) is None


@pytest.mark.parametrize("split", ["random", "time", "last"])
def test_folds_share_out_all_but_the_test_part(split):
    whole = Made(split=split, test=0.2, valid=0.2)
    folds = [whole.fold(number, 5, seed=7) for number in range(1, 6)]
    pool = sorted([*whole.rows["train"], *whole.rows["valid"]])
    assert sorted(np.concatenate([fold.rows["valid"] for fold in folds])) == pool
    sizes = {len(fold.rows["valid"]) for fold in folds}
    assert max(sizes) - min(sizes) <= 1
    for fold in folds:
        assert sorted([*fold.rows["train"], *fold.rows["valid"]]) == pool
        assert (fold.rows["test"] == whole.rows["test"]).all()
        assert fold.user_counts.sum() == len(fold.parts["train"].values) == len(fold.rows["train"])
        assert fold.users is whole.users
    assert len(whole.parts["train"].values) == len(whole.rows["train"])  # left as it was
    with pytest.raises(ConfigError, match="cannot make 99 folds"):
        whole.fold(1, 99, 0)


@given(logs, st.booleans())
def test_of_repeats_the_last_stays(log, timed):
    users, times, _ = map(np.array, log)
    items = np.arange(len(users)) % 3
    known = times.astype(float) if timed else None
    last, first, values = {}, {}, {}
    for row in sorted(range(len(users)), key=lambda i: (times[i] if timed else 0, i)):
        pair = users[row], items[row]
        last[pair] = row
        first.setdefault(pair, row)
        values.setdefault(pair, []).append(float(row))
    rows = np.arange(len(users))
    assert repeats(users, items, known).tolist() == sorted(last.values())
    assert settle("first", users, items, rows, known)[0].tolist() == sorted(first.values())
    kept, means = settle("mean", users, items, rows.astype(np.float32), known)
    expected = [np.mean(values[users[row], items[row]]) for row in kept]
    assert kept.tolist() == sorted(last.values())
    np.testing.assert_allclose(means, expected, rtol=1e-6)

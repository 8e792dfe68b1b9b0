"""Cross-validation: what each fold leaves out, its runs, and that a stopped one goes on.

Holds the tests of folds.py and folding.py.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import dope
from dope.core.data import ArrayBatches
from dope.core.errors import ConfigError
from dope.core.folds import Fold, fold, left_out


@pytest.mark.parametrize(("examples", "of"), [(10, 5), (11, 5), (3, 3), (1460, 5), (7, 2)])
def test_every_row_is_in_exactly_one_fold_and_folds_are_even(examples, of):
    parts = [left_out(examples, number, of, 4) for number in range(1, of + 1)]
    assert sorted(np.concatenate(parts)) == list(range(examples))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert examples < 1000 or len(set(parts[0]) & set(range(300))) < 100  # drawn, not cut
    assert all((np.diff(part) > 0).all() for part in parts)


def test_rows_depend_on_the_seed_and_nothing_else():
    assert np.array_equal(left_out(50, 2, 5, 1), left_out(50, 2, 5, 1))
    assert not np.array_equal(left_out(50, 2, 5, 1), left_out(50, 2, 5, 2))


class Numbers:
    """The numbers 0 to 10, doubled and marked where a generator was given."""

    def __init__(self):
        self.classes = ["a"]

    def batches(self, split, batch_size):
        if split == "valid":
            return None
        rows = np.arange(11.0, dtype="float32") + 100 * (split == "test")
        return ArrayBatches([rows], batch_size, shuffle=split == "train", transform=self.doubled)

    @staticmethod
    def doubled(arrays, rng):
        return (2 * arrays[0] + (0 if rng is None else 0.5),)


def seen(batches, rng=None):
    return sorted(float(x) for (batch,) in batches.epoch(rng) for x in batch.asnumpy())


def test_a_fold_is_trained_on_the_rest_and_judged_on_itself_without_chance():
    whole = set(range(0, 22, 2))
    for number in (1, 2, 3):
        part = Fold(Numbers(), number, 3, 0)
        out = {2.0 * row for row in left_out(11, number, 3, 0)}
        assert set(seen(part.batches("valid", 4))) == out
        assert set(seen(part.batches("valid", 4), np.random.default_rng(0))) == out
        trained = seen(part.batches("train", 4), np.random.default_rng(0))
        assert {x - 0.5 for x in trained} == whole - out
        assert seen(part.batches("test", 4))[0] == 200
        assert part.classes == ["a"]


def test_a_data_set_with_folds_of_its_own_makes_them():
    class Own:
        def fold(self, number, of, seed):
            return number, of, seed

    assert fold(Own(), 2, 5, 7) == (2, 5, 7)


def test_what_cannot_be_divided_is_refused():
    class Listed:
        def batches(self, split, batch_size):
            return [1, 2]

    with pytest.raises(ConfigError, match="Listed cannot be divided"):
        fold(Listed(), 1, 5, 0).batches("train", 1)
    with pytest.raises(ConfigError, match="11 examples cannot make 12 folds"):
        Fold(Numbers(), 1, 12, 0).batches("train", 1)


def options(**more):
    return {"folds": 3, "epochs": 3, "batch_size": 50, **more}


def arrays(run):
    newest = max((run / "checkpoints").glob("0*.npz"))
    with np.load(newest) as file:
        return {key: file[key] for key in file.files}


def test_folds_are_runs_of_their_own_with_their_figures_beside_those_of_the_whole(tmp_path):
    dataset = {"name": "vision.digits", "train": 300}
    run = dope.run("vision.softmax", dataset=dataset, trainer=options(), runs=tmp_path)
    table = run.metrics["folds"]
    assert list(table) == ["1", "2", "3", "mean", "sd"]
    losses = [table[name]["valid_loss"] for name in "123"]
    assert table["mean"]["valid_loss"] == pytest.approx(np.mean(losses), rel=1e-12)
    assert table["sd"]["valid_loss"] == pytest.approx(np.std(losses, ddof=1), rel=1e-12)
    assert "test_loss" in run.metrics and "test_loss" not in table["mean"]
    for name in "123":
        again = dope.evaluate(run.path / "folds" / name)
        assert again["valid_loss"] == pytest.approx(table[name]["valid_loss"], rel=1e-6)
    plain = dope.run(
        "vision.softmax", dataset=dataset, trainer={**options(), "folds": 1}, runs=tmp_path
    )
    ours, others = arrays(run.path), arrays(plain.path)
    assert all(np.array_equal(ours[key], others[key]) for key in others)


class Interrupt(dope.Callback):
    """Stops a run after so many epochs of all its trainings together."""

    def __init__(self, after):
        self.left = after

    def on_epoch_end(self, trainer, metrics):
        import os
        import signal

        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("after", [2, 3, 5, 10])
def test_stopped_in_any_fold_it_ends_as_if_it_had_not_been(tmp_path, after):
    dataset = {"name": "vision.digits", "train": 200}
    given = {"dataset": dataset, "trainer": options(), "runs": tmp_path, "seed": 5}
    whole = dope.run("vision.softmax", **given)
    stopped = dope.run("vision.softmax", **given, callbacks=[Interrupt(after)])
    assert stopped.result["status"] == "interrupted"
    done = dope.resume(stopped.path)
    assert done.result["status"] == "done"
    assert json.dumps(done.metrics) == json.dumps(whole.metrics)
    ours, others = arrays(done.path), arrays(whole.path)
    assert all(np.array_equal(ours[key], others[key]) for key in others)


def test_an_error_in_a_fold_names_it(tmp_path):
    with pytest.raises(dope.DopeError, match="fold 1 of 400: 200 examples cannot make 400 folds"):
        dope.run(
            "vision.softmax",
            dataset={"name": "vision.digits", "train": 200},
            trainer=options(folds=400),
            runs=tmp_path,
        )

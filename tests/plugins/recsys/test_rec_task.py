"""The task: floors of generated data, cold users and items, ranking losses, and what is predicted.

Holds runs; the arithmetic has its own tests.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import dope
from dope.core.errors import ConfigError
from dope.core.task import Task
from dope.plugins.recsys.recommend import Recommender, liked_from

SMALL = {"name": "recsys.generated", "users": 60, "items": 40, "ratings": 900}
TINY = {"trainer": {"epochs": 2, "batch_size": 128}, "optimizer": {"learning_rate": 1.0}}


def run(tmp_path, **sections):
    return dope.run("recsys.ratings", runs=tmp_path, contexts="cpu(0)", **sections)


@pytest.mark.parametrize("seed", [0, 1])
def test_factors_reach_the_noise(tmp_path, seed):
    data = {"name": "recsys.generated", "seed": seed}
    found = run(tmp_path, dataset=data, task={"ranking": "never"}).metrics
    assert found["test_rmse"] < 1.02 * found["test_noise_rmse"]


def test_biases_and_mean_reach_their_floors(tmp_path):
    task = {"ranking": "never"}
    bias = run(tmp_path, model={"name": "recsys.bias"}, task=task).metrics
    assert bias["test_rmse"] == pytest.approx(bias["test_bias_rmse"], rel=0.02)
    mean = run(tmp_path, model="recsys.mean", task=task, trainer={"epochs": 1}).metrics
    assert mean["test_rmse"] == pytest.approx(mean["test_mean_rmse"], rel=0.002)
    assert mean["test_rmse"] == mean["baselines"]["mean"]["test_rmse"]


def test_cold_ones_get_the_mean_and_what_is_known_and_are_counted(tmp_path):
    data = {**SMALL, "cold_users": 5, "cold_items": 4}
    made = run(tmp_path, dataset=data, model={"name": "recsys.mf", "factors": 3}, **TINY)
    judge, tables = made.task.judge, made.nets.tables()
    users, items, values, *_ = made.task.dataset.parts["test"]
    cold_user, cold_item = judge.cold("test")
    assert cold_user.sum() > 0 and cold_item.sum() > 0
    guess = tables.pairs(users, items)
    np.testing.assert_allclose(
        guess[cold_user], tables.mean + tables.item_bias[items[cold_user]], rtol=1e-6
    )
    np.testing.assert_allclose(
        guess[cold_item], tables.mean + tables.user_bias[users[cold_item]], rtol=1e-6
    )
    assert made.metrics["test_cold_user_ratings"] == cold_user.sum()
    assert made.metrics["test_cold_item_ratings"] == cold_item.sum()
    wrong = np.clip(guess, *made.task.dataset.scale) - values
    cold = cold_user | cold_item
    for name, rows in (("rmse", ~cold), ("rmse_cold", cold)):
        expected = np.sqrt(np.mean(wrong[rows].astype(float) ** 2))
        key = "test_rmse_warm" if name == "rmse" else "test_rmse_cold"
        assert made.metrics[key] == pytest.approx(expected, rel=1e-6)
    ranked = json.loads((made.path / "ranking.json").read_text())["test"]
    assert ranked["cold_users"]["users"] > 0
    assert "without training ratings" in ranked["cold_users"]["protocol"]
    assert "full catalogue of 40 items" in ranked["model"]["protocol"]


@pytest.mark.parametrize(
    ("loss", "rate"), [("recsys.bpr", 400.0), ("recsys.sampled_softmax", 400.0)]
)
def test_ranking_losses_beat_the_popular(tmp_path, loss, rate):
    data = {
        "name": "recsys.generated",
        "users": 300,
        "items": 150,
        "ratings": 12000,
        "appeal": 2.0,
        "tail": 0.3,
    }
    made = run(
        tmp_path,
        dataset=data,
        loss=loss,
        model={"name": "recsys.mf", "factors": 8, "l2": 0.002},
        optimizer={"name": "adam", "learning_rate": 0.02},
        trainer={"epochs": 12, "batch_size": 512},
    )
    popular = made.metrics["baselines"]["popular"]["test_ndcg@10"]
    assert made.metrics["test_ndcg@10"] > 1.2 * popular
    assert "test_rmse" not in made.metrics
    rows = [row["valid_loss"] for row in made.directory.metrics()]
    assert rows[-1] < rows[0]


def test_negatives_of_held_out_data_stay_and_those_of_training_change(tmp_path):
    made = run(tmp_path, dataset=SMALL, loss={"name": "recsys.bpr", "negatives": 3}, **TINY)
    task = made.task
    task.options.batch_size = 32

    def items(split, rng=None):
        return np.concatenate([batch[1].asnumpy() for batch in task.data(split).epoch(rng)])

    np.testing.assert_array_equal(items("valid"), items("valid"))
    one, again, other = (items("train", np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    whole = list(task.data("train").epoch(np.random.default_rng(1)))
    rest = list(task.data("train").epoch(np.random.default_rng(1), 2))  # a run that is resumed
    assert len(rest) == len(whole) - 2 > 0
    for before, after in zip(whole[2:], rest):
        np.testing.assert_array_equal(before[1].asnumpy(), after[1].asnumpy())
    train = task.dataset.parts["train"]
    known = set(zip(train.users.tolist(), train.items.tolist()))
    for users, drawn, values in task.data("train").epoch(np.random.default_rng(3)):
        assert (values.asnumpy() >= task.relevant).all()
        for user, row in zip(users.asnumpy().tolist(), drawn.asnumpy().tolist()):
            assert (user, row[0]) in known
            assert not any((user, item) in known for item in row[1:])


@pytest.mark.parametrize("loss", ["losses.huber", "losses.l1"])
def test_other_losses_of_ratings_learn_too(tmp_path, loss):
    sections = {"dataset": SMALL, "optimizer": {"learning_rate": 0.5}}
    made = run(tmp_path, loss=loss, trainer={"epochs": 6, "batch_size": 128}, **sections)
    rows = [row["valid_loss"] for row in made.directory.metrics()]
    assert rows[-1] < rows[0]


def test_recommendations_leave_out_what_is_known(tmp_path):
    made = run(tmp_path, dataset=SMALL, model={"name": "recsys.mf", "factors": 3}, **TINY)
    found = dope.predict(made.path, user="u7", top=5)
    dataset = made.task.dataset
    known = {
        dataset.items[i]
        for part in dataset.parts.values()
        for u, i in zip(*part[:2])
        if dataset.users[u] == "u7"
    }
    rows = found["rows"]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert not known & {row["item"] for row in rows} and found["left_out"] == len(known)
    tables, number = made.nets.tables(), dataset.users.index("u7")
    scores = {dataset.items[i]: s for i, s in enumerate(tables.rows(np.array([number]))[0])}
    order = sorted(set(scores) - known, key=lambda item: -scores[item])
    assert [row["item"] for row in rows] == order[:5]
    assert len(dope.predict(made.path, user="u7", top=1000)["rows"]) == 40 - len(known)
    everything = dope.predict(made.path)["rows"]
    assert len(everything) == len(dataset.parts["test"].values)
    with pytest.raises(ConfigError, match="--user: there is no user 'u700'") as error:
        dope.predict(made.path, user="u700")
    assert "train again" in error.value.hint
    with pytest.raises(ConfigError, match="--top 0"):
        dope.predict(made.path, user="u7", top=0)


def test_titles_are_shown(tmp_path):
    lines = [f"{u},{i},{1 + (u * i) % 5}" for u in range(8) for i in range(6) if (u + i) % 3]
    data, titles = tmp_path / "ratings.csv", tmp_path / "titles.csv"
    data.write_text("user,item,rating\n" + "\n".join(lines) + "\n")
    titles.write_text("item,title\n" + "\n".join(f"{i},Film {i}" for i in range(6)) + "\n")
    given = {"name": "recsys.table", "path": str(data), "titles": str(titles)}
    model = {"name": "recsys.mf", "factors": 2}
    made = run(tmp_path, dataset=given, model=model, **TINY)
    rows = dope.predict(made.path, user="3", top=2)["rows"]
    assert all(row["title"] == f"Film {row['item']}" for row in rows) and rows


def test_one_rating_and_a_full_user(tmp_path):
    data = tmp_path / "one.csv"
    data.write_text("user,item,rating\n1,1,4\n")
    given = {"name": "recsys.table", "path": str(data), "valid": 0.0, "test": 0.0}
    made = run(tmp_path, dataset=given, model={"name": "recsys.mf", "factors": 2}, **TINY)
    assert made.result["status"] == "done" and made.metrics["learning_rate"] == 0.5
    found = dope.predict(made.path, user="1")
    assert found["rows"] == [] and found["note"] == "this user has rated every item"
    with pytest.raises(ConfigError, match="nothing ranks first"):
        run(tmp_path, dataset=given, loss="recsys.bpr", **TINY)


def test_the_default_rate_is_cut_where_data_are_few(tmp_path):
    data = tmp_path / "few.csv"
    data.write_text("user,item,rating\n1,1,4\n1,2,2\n2,1,5\nbroken\n")
    given = {"name": "recsys.table", "path": str(data), "valid": 0.0, "test": 0.0}
    made = run(tmp_path, dataset={**given, "on_error": "skip"}, task={"ranking": "never"})
    assert made.metrics["skipped_lines"] == 1
    assert made.metrics["learning_rate"] == 0.75 and made.metrics["loss"] < 0.5


def test_folds_are_judged_on_their_own_cold_ones(tmp_path):
    sections = {"dataset": SMALL, "model": {"name": "recsys.mf", "factors": 2}, **TINY}
    sections["trainer"] = {**sections["trainer"], "folds": 3}
    found = run(tmp_path, **sections).metrics["folds"]
    assert set(found) == {"1", "2", "3", "mean", "sd"}
    mean = np.mean([found[str(i)]["valid_rmse"] for i in (1, 2, 3)])
    assert found["mean"]["valid_rmse"] == pytest.approx(mean)


def test_what_is_relevant_by_default():
    class Data:
        scale = (1.0, 5.0)

        def __init__(self, values):
            train = type("Part", (), {"values": np.asarray(values, np.float32)})
            self.parts = {"train": train}

    assert liked_from(Data([1, 2, 3, 4, 5])) == 4.0
    assert liked_from(Data(np.linspace(0, 1, 101))) == pytest.approx(0.75)


def test_bad_options_and_other_data_are_refused(tmp_path):
    for options in ({"k": 0}, {"cutoffs": (0,)}, {"cutoffs": ()}):
        with pytest.raises(ConfigError, match="out of range"):
            Recommender(**options)
    with pytest.raises(ConfigError, match="holds no ratings"):
        run(tmp_path, dataset="tabular.plane")
    assert Recommender.step is not Task.step

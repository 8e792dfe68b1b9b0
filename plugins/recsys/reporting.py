"""What a recommender writes down at its end, and what it predicts when asked.

Holds rows and files; how they are judged is in judging.py, how they are drawn in ranking_plots.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dope.core.errors import ConfigError
from dope.core.rundir import RunDirectory
from dope.plugins.recsys import ranking_plots, ratings_data_plots
from dope.plugins.recsys.bias import Tables
from dope.plugins.recsys.judging import Judge
from dope.plugins.recsys.ranking import best

HELD_OUT = ("test", "valid")


def write(task: Any, tables: Tables, run: RunDirectory) -> dict[str, Any]:
    """Write ``ranking.json``, ``errors.json`` and pictures; the figures for ``result.json``.

    Parameters
    ----------
    task
        A `recommend.Recommender`.
    tables
        The trained model.
    run
        Where the files go.
    """
    judge, dataset = task.judge, task.dataset
    ratings_data_plots.overview(run.plots / "ratings.png", dataset)
    figures: dict[str, Any] = {**dataset.summary(), "relevant_from": float(task.relevant)}
    rate = task.optimizer.get("learning_rate")
    if task.optimizer["name"] == "sgd" and rate is not None and rate > task.fastest:
        figures["learning_rate"] = task.fastest
    facts = dataset.facts.items()
    figures.update({k: float(v) for k, v in facts if not k.startswith(("train_", "valid_"))})
    baselines: dict[str, dict[str, float]] = {"popular": {}, "mean": {}}
    parts = [split for split in HELD_OUT if split in dataset.parts]
    if not task.ranks:
        figures.update(_errors(judge, tables, parts, run, baselines))
    if task.ranking != "never":
        figures.update(_lists(task, tables, parts, run, baselines))
    kept = {name: row for name, row in baselines.items() if row}
    return {**figures, **({"baselines": kept} if kept else {})}


def _errors(
    judge: Judge,
    tables: Tables,
    parts: list[str],
    run: RunDirectory,
    baselines: dict[str, dict[str, float]],
) -> dict[str, Any]:
    """Errors of each part, beside those of the mean, and a picture by popularity."""
    found = {split: judge.errors(tables, split) for split in parts}
    run.write_json("errors.json", found)
    for split in parts:
        plain = judge.errors(judge.average(), split)
        names = ("rmse", "mae")
        baselines["mean"].update({f"{split}_{name}": plain[name] for name in names})
    for split in parts[:1]:
        wrong = judge.predicted(tables, split) - judge.dataset.parts[split].values
        users, items = judge.dataset.parts[split][:2]
        counts = {
            "user": judge.dataset.user_counts[users],
            "item": judge.dataset.item_counts[items],
        }
        floor = judge.dataset.facts.get("noise_rmse")
        ranking_plots.errors(run.plots / "error_by_popularity.png", wrong, counts, floor, split)
    return {f"{split}_{k}": v for split, row in found.items() for k, v in row.items()}


def _lists(
    task: Any,
    tables: Tables,
    parts: list[str],
    run: RunDirectory,
    baselines: dict[str, dict[str, float]],
) -> dict[str, Any]:
    """Figures of lists of each part, beside those of what is popular, and a picture by length."""
    judge, written, figures = task.judge, {}, {}
    cutoffs = sorted({task.k, *task.cutoffs})
    for split in parts:
        own = judge.lists(tables, split, cutoffs)
        popular = judge.lists(judge.popular(), split, cutoffs)
        protocol = judge.protocol(split)
        written[split] = {
            "protocol": protocol,
            "model": {**own["warm"], "protocol": protocol},
            "popular": {**popular["warm"], "protocol": protocol},
            "cold_users": {**own["cold"], "protocol": judge.protocol(split, cold=True)},
        }
        figures[f"{split}_ranking_protocol"] = protocol
        figures[f"{split}_ranked"] = own["warm"]["users"]
        figures[f"{split}_without_relevant"] = own["warm"]["without"]
        for name, value in own["warm"].items():
            if name.endswith(f"@{task.k}"):
                figures[f"{split}_{name}"] = value
                baselines["popular"][f"{split}_{name}"] = popular["warm"][name]
        figures[f"{split}_cold_users_ranked"] = own["cold"]["users"]
        name = f"ndcg@{task.k}"
        if name in own["cold"]:
            figures[f"{split}_{name}_cold_users"] = own["cold"][name]
    run.write_json("ranking.json", written)
    for split in [part for part in parts if written[part]["model"]["users"]][:1]:
        ranking_plots.lists(
            run.plots / "ranking.png",
            {"model": written[split]["model"], "popular": written[split]["popular"]},
            cutoffs,
            written[split]["protocol"],
        )
    return figures


def held_out(task: Any, tables: Tables) -> dict[str, Any]:
    """Each held-out rating beside what is predicted for it.

    Raises
    ------
    ConfigError
        No part is held out.
    """
    dataset = task.dataset
    split = next((part for part in HELD_OUT if part in dataset.parts), None)
    if split is None:
        raise ConfigError("the data set has no held-out part", "Add --user ID or dataset.test.")
    users, items, values = dataset.parts[split][:3]
    found = task.judge.predicted(tables, split)
    kind = "score" if task.ranks else "predicted"
    rows = [
        {"user": dataset.users[u], "item": dataset.items[i], "is": float(value), kind: float(made)}
        for u, i, value, made in zip(users, items, values, found)
    ]
    return {"rows": rows, "part": split}


def recommended(task: Any, tables: Tables, user: str, top: int) -> dict[str, Any]:
    """The best items that a user has not rated in any part.

    Raises
    ------
    ConfigError
        The data has no such user.
    """
    dataset = task.dataset
    number = _place(dataset, user)
    rated = np.zeros(len(dataset.items), bool)
    for users, items, *_ in dataset.parts.values():
        rated[items[users == number]] = True
    scores = tables.rows(np.array([number]))
    scores[0, rated] = -np.inf
    chosen = best(scores, top)[0][: int((~rated).sum())]
    values = scores[0, chosen]
    if not task.ranks:
        values = np.clip(values, *dataset.scale)
    kind = "score" if task.ranks else "predicted"
    titles = dataset.titles
    rows = [
        _row(rank, dataset.items[i], titles, {kind: float(value)}, int(dataset.item_counts[i]))
        for rank, (i, value) in enumerate(zip(chosen, values), 1)
    ]
    found: dict[str, Any] = {"rows": rows, "user": user, "left_out": int(rated.sum())}
    if not task.judge.warm_users[number]:
        found["note"] = "no rating by this user was in the training part: what all users like"
    elif rated.all():
        found["note"] = "this user has rated every item"
    return found


def _row(
    rank: int, item: str, titles: Mapping[str, str], value: Mapping[str, float], count: int
) -> dict[str, Any]:
    title = {"title": titles.get(item, "")} if titles else {}
    return {"rank": rank, "item": item, **title, **value, "ratings": count}


def _place(dataset: Any, user: str) -> int:
    try:
        return int(dataset.user_index(user))
    except ConfigError as error:
        raise ConfigError(
            f"--user: {error.message}",
            f"{error.hint} Of somebody new nothing is known: add ratings to the data, train again.",
        ) from None

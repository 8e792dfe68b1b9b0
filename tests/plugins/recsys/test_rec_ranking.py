"""Figures of lists against brute force and scikit-learn, and the edges of what lists can be.

Holds no models; scores are made up.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from dope.plugins.recsys.ranking import Pairs, best, figures, judged

NONE = np.zeros(0, int)


def brute(scores, relevant, seen, k):
    """One user, one item after the other, by the definitions."""
    items = [i for i in range(len(scores)) if i not in seen]
    ranked = sorted(items, key=lambda i: (-scores[i], i))[:k]
    wanted = relevant - seen
    hits = [i in wanted for i in ranked]
    gain = sum(1 / math.log2(j + 2) for j, hit in enumerate(hits) if hit)
    ideal = sum(1 / math.log2(j + 2) for j in range(min(k, len(wanted))))
    area = sum(sum(hits[: j + 1]) / (j + 1) for j, hit in enumerate(hits) if hit)
    return {
        f"recall@{k}": sum(hits) / len(wanted),
        f"precision@{k}": sum(hits) / k,
        f"ndcg@{k}": gain / ideal,
        f"map@{k}": area / min(k, len(wanted)),
    }


def as_pairs(sets):
    users = np.repeat(np.arange(len(sets)), [len(each) for each in sets])
    items = np.array([i for each in sets for i in sorted(each)], int)
    order = np.random.default_rng(0).permutation(len(users))
    return Pairs.of(users[order], items[order], len(sets))


@pytest.mark.parametrize("block", [1 << 22, 90])
@pytest.mark.parametrize("levels", [3, 10**6])  # with three different scores nearly all are tied
def test_equals_brute_force(monkeypatch, block, levels):
    monkeypatch.setattr("dope.plugins.recsys.ranking.CELLS", block)
    rng = np.random.default_rng(levels)
    n, items, cutoffs = 60, 30, [1, 3, 10, 30, 45]
    scores = rng.integers(0, levels, (n, items)).astype(np.float32)
    relevant = [set(np.flatnonzero(rng.random(items) < 0.2).tolist()) for _ in range(n)]
    seen = [set(np.flatnonzero(rng.random(items) < 0.3).tolist()) for _ in range(n)]
    warm = rng.random(n) < 0.8
    found = judged(
        lambda users: scores[users], as_pairs(relevant), as_pairs(seen), warm, items, cutoffs
    )
    for name, members in (("warm", warm), ("cold", ~warm)):
        asked = [u for u in np.flatnonzero(members) if relevant[u] - seen[u]]
        assert found[name]["users"] == len(asked)
        assert found[name]["without"] == members.sum() - len(asked)
        for k in cutoffs:
            rows = [brute(scores[u], relevant[u], seen[u], k) for u in asked]
            for figure in rows[0]:
                expected = np.mean([row[figure] for row in rows])
                assert found[name][figure] == pytest.approx(expected, abs=1e-12)
                assert 0 <= found[name][figure] <= 1


def test_equals_scikit_learn():
    # scikit-learn 1.x: ndcg_score(r[[u]], s[[u]], k=k) and average_precision_score(r[u], s[u])
    ndcg = {
        0: {1: 0.0, 3: 0.296081910966, 5: 0.296081910966, 12: 0.570939883281},
        1: {1: 0.0, 3: 0.0, 5: 0.202107346501, 12: 0.500169791635},
        2: {1: 1.0, 3: 0.469278726023, 5: 0.469278726023, 12: 0.726997733023},
    }
    average = [0.333333333333, 0.285353535354, 0.477272727273]
    scores = np.array(
        [[(7 * u + 5 * i * i + 3 * i * u) % 23 + i / 100 for i in range(12)] for u in range(3)]
    )
    relevant = [{i for i in range(12) if (u * 5 + i * 7) % 4 == 0} for u in range(3)]
    for u in range(3):
        found = judged(
            lambda users: scores[users].copy(),
            as_pairs([each if v == u else set() for v, each in enumerate(relevant)]),
            as_pairs([set()] * 3),
            np.ones(3, bool),
            12,
            [1, 3, 5, 12],
        )["warm"]
        for k, expected in ndcg[u].items():
            assert found[f"ndcg@{k}"] == pytest.approx(expected, abs=1e-11)
        assert found["map@12"] == pytest.approx(average[u], abs=1e-11)


def test_equal_scores_come_in_the_order_of_the_data():
    scores = np.zeros((2, 50), np.float32)
    scores[1, 40] = 1
    np.testing.assert_array_equal(best(scores, 4), [[0, 1, 2, 3], [40, 0, 1, 2]])
    scores[:, 0] = -np.inf
    np.testing.assert_array_equal(best(scores, 3), [[1, 2, 3], [40, 1, 2]])


def test_who_has_seen_all_is_left_out_and_counted():
    relevant, seen = as_pairs([{1}, {0, 2}]), as_pairs([{0, 1, 2}, {0}])
    scores = np.array([[3.0, 2, 1], [3, 1, 2]], np.float32)
    found = judged(lambda users: scores[users], relevant, seen, np.ones(2, bool), 3, [1, 5])
    assert found["warm"]["users"] == 1 and found["warm"]["without"] == 1
    assert found["warm"]["recall@1"] == 1.0  # item 0 has been seen, item 2 comes first
    assert found["warm"]["precision@5"] == pytest.approx(1 / 5)
    assert found["cold"] == {"users": 0, "without": 0}


def test_nothing_relevant_gives_no_figures():
    empty = Pairs.of(NONE, NONE, 3)
    scores = np.ones((3, 4), np.float32)
    found = judged(lambda users: scores[users], empty, empty, np.ones(3, bool), 4, [2])
    assert found["warm"] == {"users": 0, "without": 3}


def test_one_rating_and_a_perfect_list():
    one = Pairs.of(np.array([0]), np.array([0]), 1)
    none = Pairs.of(NONE, NONE, 1)
    scores = np.ones((1, 1), np.float32)
    found = judged(lambda users: scores[users], one, none, np.ones(1, bool), 1, [1, 10])
    assert [found["warm"][f"{f}@1"] for f in ("recall", "precision", "ndcg", "map")] == [1.0] * 4
    assert found["warm"]["precision@10"] == pytest.approx(0.1)
    assert found["warm"]["ndcg@10"] == 1.0


def test_figures_never_exceed_one():
    rng = np.random.default_rng(1)
    found = rng.random((200, 20)) < 0.7
    counts = found.sum(axis=1) + rng.integers(0, 4, 200)
    counts = np.maximum(counts, 1)
    for k in (1, 5, 20, 100):
        for values in figures(found, counts, k).values():
            assert (values >= 0).all() and (values <= 1 + 1e-12).all()

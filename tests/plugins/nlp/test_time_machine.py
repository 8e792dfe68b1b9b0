"""The Time Machine in 20 epochs: bits per character, and perplexity as NumPy has it.

Holds one run of some minutes; what is quick to see is in test_language_models.py.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np
import pytest

from dope.core import api
from dope.core.backend import use_threads

SHARED = Path(os.environ.get("DOPE_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data")
NOVEL = SHARED / "text" / "timemachine.txt"


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def in_numpy(weights, ids):
    """Probability of each character but the first, by the equations of an LSTM, step by step."""
    W, U = weights["recurrent.layer0.l0_i2h_weight"], weights["recurrent.layer0.l0_h2h_weight"]
    b = weights["recurrent.layer0.l0_i2h_bias"] + weights["recurrent.layer0.l0_h2h_bias"]
    V, d = weights["decoder.weight"], weights["decoder.bias"]
    h, c = np.zeros(U.shape[1]), np.zeros(U.shape[1])
    found = []
    for now, behind in zip(ids, ids[1:]):
        i, f, g, o = np.split(W[:, now] + U @ h + b, 4)  # one-hot inputs: a column of W
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        shares = np.exp(V @ h + d)
        found.append(shares[behind] / shares.sum())
    return np.array(found)


@pytest.mark.slow
@pytest.mark.skipif(not NOVEL.is_file(), reason="needs the text of The Time Machine")
def test_the_time_machine_below_two_point_one_bits(tmp_path):
    use_threads(1)
    run = api.run("nlp.char_lm", profile="tuned", runs=tmp_path, dataset={"path": str(NOVEL)})
    use_threads(None)
    texts = run.task.dataset.texts
    assert len(run.history) == 20 and run.nets.recurrent.sizes == [256]
    assert len(texts["valid"]) == round(0.1 * sum(map(len, texts.values())))
    assert run.metrics["valid_bits_per_char"] < 2.1

    weights = {
        name: value.data().asnumpy().astype(float)
        for name, value in run.nets._collect_params_with_prefix().items()
    }
    p = in_numpy(weights, run.task.dataset.ids("valid").astype(int))
    assert len(p) == len(texts["valid"]) - 1
    assert math.isclose(run.metrics["valid_bits_per_char"], -np.log2(p).mean(), rel_tol=1e-5)
    assert math.isclose(run.metrics["valid_perplexity"], np.exp(-np.log(p).mean()), rel_tol=1e-5)

    (row,) = run.predict(prefix="The Time", temperature=0.5, length=2000)["rows"]
    known = set(re.findall(r"[a-z]+", " ".join(texts.values()).lower()))
    words = re.findall(r"[a-z]+", row["text"].lower())
    assert np.mean([word in known for word in words]) > 0.85, row["text"]

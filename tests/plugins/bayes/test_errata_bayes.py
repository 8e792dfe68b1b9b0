"""The numbers of docs/errata.md on Bayes by Backprop: what the book's recipes give.

Holds computations only; the book's steps are written anew here.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from dope.core.backend import nd
from dope.plugins.bayes.priors import MixturePrior

TEXT = (Path(__file__).parents[3] / "docs" / "errata.md").read_text(encoding="utf-8")
CHAPTER = " ".join(TEXT.partition("\n## Bayes by Backprop\n")[2].partition("\n## ")[0].split())
SHAPES = [(784, 400), (400,), (400, 400), (400,), (400, 10), (10,)]


def test_the_second_hidden_layer_is_never_used():
    used = {len(SHAPES) - 2, len(SHAPES) - 1}
    for i in range(len(SHAPES) // 2 - 2):  # the book's loop
        used |= {2 * i, 2 * i + 1}
    sizes = [int(np.prod(shape)) for shape in SHAPES]
    unused, total = sum(s for i, s in enumerate(sizes) if i not in used), sum(sizes)
    assert f"{unused:,} of the {total:,} weights, {100 * unused / total:.1f} %" in CHAPTER
    table = re.findall(r"\| (\d+) % \| ([\d.]+) % \|", CHAPTER)
    assert [int(a) for a, _ in table] == [10, 25, 50, 75, 95, 99]
    for pruned, told in table:
        share = max(0.0, int(pruned) / 100 * total - unused) / (total - unused)
        assert float(told) == pytest.approx(100 * share, abs=0.05)


def test_the_books_mixture_vanishes():
    def density(x, sigma):  # the book's, in float32
        scaling = 1.0 / nd.sqrt(2.0 * np.pi * nd.array([sigma]) ** 2)
        return scaling * nd.exp(-(x**2) / (2.0 * sigma**2))

    w = nd.array(np.arange(5, 20, 0.1))
    found = nd.log(0.25 * density(w, 0.75) + 0.75 * density(w, 0.01)).asnumpy()
    limit = w.asnumpy()[np.isneginf(found)].min()
    assert f"about {limit:.1f} on" in CHAPTER
    right = special.logsumexp(
        [
            np.log(0.25) + stats.norm.logpdf(12, 0, 0.75),
            np.log(0.75) + stats.norm.logpdf(12, 0, 0.01),
        ]
    )
    assert f"at 12, {right:.1f}." in CHAPTER
    one = nd.array([12.0])
    divergence = MixturePrior(0.25, 0.75, 0.01).divergence(
        one, {"w": (one, nd.ones(1))}, [{"w": one}], 1
    )
    assert -divergence.asscalar() - stats.norm.entropy() == pytest.approx(right, rel=1e-5)

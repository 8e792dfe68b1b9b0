"""The task acme.survival, against what the table itself says."""

import numpy as np
from dope_acme.survival import DIED, SURVIVED, Titanic

import dope


def test_the_table_has_the_sums_of_the_report():
    assert (np.sum(DIED), np.sum(SURVIVED)) == (1490, 711)
    people = np.add(DIED, SURVIVED)
    assert people.sum(axis=1).tolist() == [325, 285, 706, 885]
    assert people.sum(axis=0).tolist() == [1667, 425, 64, 45]
    parts = Titanic().parts.values()
    assert sum(len(y) for _, y in parts) == 2201
    assert sum(y.sum() for _, y in parts) == 711


def test_it_learns_more_than_logistic_regression_can(tmp_path):
    run = dope.run("acme.survival", runs=tmp_path)
    # of all 2,201 people: statsmodels 0.15.0, GLM(Binomial) on class, female, child
    assert run.metrics["loss"] < 0.50206
    assert 0.77 < run.metrics["valid_accuracy"] < 0.81
    # and no model tells apart who has the same class, sex and age
    x, y = Titanic().parts["train"]
    _, kind = np.unique(x, axis=0, return_inverse=True)
    share = (np.bincount(kind, y) / np.bincount(kind))[kind.ravel()]
    least = -np.log(np.where(y == 1, share, 1 - share)).mean()
    assert least < run.metrics["loss"] < least + 0.01

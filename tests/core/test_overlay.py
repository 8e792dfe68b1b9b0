"""Pictures of whole sweeps: members drawn together where a task says how, and three keys as lines.

Holds no other pictures; those of one and two keys are tested in test_sweeping.py.
"""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

import dope
from dope.core.sweeping.plots import picture


@pytest.fixture
def saved(monkeypatch):
    """Figures, in place of their files."""
    kept: list[Figure] = []
    monkeypatch.setattr("dope.core.sweeping.plots.save", lambda fig, path: kept.append(fig) or path)
    return kept


def test_a_sweep_draws_its_members_and_three_keys_as_lines(saved, tmp_path):
    found = dope.sweep(
        "tabular.quadratic",
        "optimizer.momentum=0,0.5",
        "trainer.batch_size=4,16,32",
        "optimizer.learning_rate=0.1,0.2",
        "trainer.monitor=distance",
        profile="tiny",
        runs=tmp_path,
        jobs=1,
    )
    assert (found.path / "plots" / "members.png").stat().st_size > 20_000
    (fig,) = saved
    (panel,) = fig.axes
    drawn = {line.get_label(): line.get_xdata() for line in panel.get_lines()}
    assert len([name for name in drawn if ", " in str(name)]) == 4
    assert list(drawn["0.5, 0.2"]) == [4, 16, 32]
    ours = {(e.values["optimizer.momentum"], e.values["optimizer.learning_rate"],
             e.values["trainer.batch_size"]): e.figure for e in found.standings}  # fmt: skip
    (line,) = [each for each in panel.get_lines() if each.get_label() == "0.5, 0.2"]
    assert list(line.get_ydata()) == [ours["0.5", "0.2", size] for size in ("4", "16", "32")]


def test_three_keys_of_some_points_are_a_panel_each(saved, tmp_path):
    found = dope.sweep(
        "tabular.quadratic",
        "optimizer.momentum=0,0.5",
        "trainer.batch_size=8,16",
        "optimizer.learning_rate=0.1,0.2",
        n=2,
        profile="tiny",
        runs=tmp_path,
        jobs=1,
    )
    picture(tmp_path / "x.png", found)
    assert [len([a for a in fig.axes if a.get_visible()]) for fig in saved] == [3, 3]

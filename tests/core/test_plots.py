"""Tests of the figures that all plugins share, and of the training curves.

Holds what can be said of a figure without looking: what is drawn where, and that files are whole.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from dope.core import plots
from dope.core.errors import RunError


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, in order."""
    found = []
    save = plots.save
    monkeypatch.setattr(plots, "save", lambda fig, path: (found.append(fig), save(fig, path))[1])
    return found


def panels(fig):
    """Title to axes, of the axes that are seen."""
    return {axes.get_title(loc="left"): axes for axes in fig.axes if axes.get_visible()}


def lines(axes):
    """Label to (x, y), gaps left out."""
    found = {}
    for line in axes.get_lines():
        x, y = line.get_data()
        known = np.isfinite(y)
        found[line.get_label()] = (np.asarray(x)[known].tolist(), np.asarray(y)[known].tolist())
    return found


def test_training_and_held_out_values_share_a_panel(tmp_path, drawn):
    rows = [
        {"epoch": 1, "step": 10, "loss": 2.0, "valid_loss": 2.5, "accuracy": 0.5},
        {"epoch": 2, "step": 20, "loss": 1.0, "test_loss": 1.75, "valid_accuracy": 0.25},
    ]
    path = plots.curves(tmp_path / "curves.png", rows)
    assert path.read_bytes().startswith(b"\x89PNG")
    found = panels(drawn[0])
    assert list(found) == ["loss", "accuracy"]
    assert lines(found["loss"]) == {
        "training": ([1, 2], [2.0, 1.0]),
        "validation": ([1], [2.5]),
        "test": ([2], [1.75]),
    }
    assert lines(found["accuracy"]) == {"training": ([1], [0.5]), "validation": ([2], [0.25])}
    said = [text.get_text() for text in found["loss"].texts]
    assert said == ["training 1", "validation 2.5", "test 1.75"]


def test_none_breaks_the_line_and_a_metric_not_mentioned_does_not(tmp_path, drawn):
    rows = [{"epoch": i, "loss": None if i == 3 else float(i)} for i in range(1, 6)]
    for i in (1, 5):
        rows[i - 1]["valid_loss"] = 7.0
    plots.curves(tmp_path / "c.png", rows)
    training, validation = panels(drawn[0])["loss"].get_lines()
    assert np.isnan(training.get_ydata()).tolist() == [False, False, True, False, False]
    assert validation.get_xydata().tolist() == [[1, 7], [5, 7]]


def test_rows_of_other_kinds_are_passed_over(tmp_path, drawn):
    rows = [
        {"epoch": 1, "loss": 1.0, "note": "text", "flag": True, "parts": [1, 2]},
        {"loss": 9.0},
        {"epoch": 2, "loss": float("inf")},
        {"epoch": 2, "loss": 0.5},
        {"epoch": 3, "loss": float("nan"), "never": None},
    ]
    plots.curves(tmp_path / "c.png", rows)
    assert list(panels(drawn[0])) == ["loss"]
    assert lines(panels(drawn[0])["loss"]) == {"training": ([1, 2], [1.0, 0.5])}


@pytest.mark.parametrize("rows", [[], [{"epoch": 1, "step": 3}], [{"epoch": 1, "loss": None}]])
def test_nothing_to_draw_writes_nothing(tmp_path, rows):
    assert plots.curves(tmp_path / "c.png", rows) is None
    assert list(tmp_path.iterdir()) == []


def test_a_single_epoch_is_a_marked_point_on_its_own_tick(tmp_path, drawn):
    plots.curves(tmp_path / "c.png", [{"epoch": 1, "loss": 0.5, "valid_loss": 0.75}])
    axes = panels(drawn[0])["loss"]
    for line in axes.get_lines():
        assert line.get_marker() not in ("None", "", None) and line.get_markevery() == [0]
    assert axes.get_xticks().tolist() == [1.0]
    low, high = axes.get_ylim()
    assert low < 0.5 and high > 0.75


def test_long_runs_mark_only_points_that_stand_alone(tmp_path, drawn):
    rows = [{"epoch": i, "loss": None if i in (49, 51) else 1.0 / i} for i in range(1, 101)]
    plots.curves(tmp_path / "c.png", rows)
    (line,) = panels(drawn[0])["loss"].get_lines()
    assert line.get_markevery() == [49]  # epoch 50, between two gaps


@pytest.mark.parametrize(
    ("name", "values", "scale"),
    [
        ("loss", (3.1, 0.1), "log"),
        ("loss", (2.9, 0.1), "linear"),
        ("loss", (3.1, -0.1), "linear"),
        ("regularized_loss", (1e6, 1.0), "log"),
        ("accuracy", (0.01, 0.99), "linear"),
    ],
)
def test_only_a_loss_of_wide_range_gets_a_logarithmic_scale(tmp_path, drawn, name, values, scale):
    plots.curves(tmp_path / "c.png", [{"epoch": i, name: v} for i, v in enumerate(values)])
    assert panels(drawn[0])[name.replace("_", " ")].get_yscale() == scale


def test_six_quantities_at_most_the_most_telling_first(tmp_path, drawn):
    names = ["a", "b", "valid_b", "accuracy", "c", "d", "e", "f", "loss"]
    plots.curves(tmp_path / "c.png", [{"epoch": 1, **dict.fromkeys(names, 1.0)}], "title")
    assert list(panels(drawn[0])) == ["loss", "accuracy", "b", "a", "c", "d"]


def test_labels_of_lines_that_end_together_do_not_overlap(tmp_path, drawn):
    rows = [
        {"epoch": i, "loss": 1 / i, "valid_loss": 1 / i, "test_loss": 1.001 / i} for i in (1, 9)
    ]
    plots.curves(tmp_path / "c.png", rows)
    boxes = sorted(
        (text.get_window_extent() for text in panels(drawn[0])["loss"].texts), key=lambda b: b.y0
    )
    assert len(boxes) == 3
    assert all(below.y1 <= above.y0 + 1 for below, above in zip(boxes, boxes[1:]))


def test_a_failed_save_leaves_the_old_picture(tmp_path, monkeypatch):
    fig, _ = plots.figure("title")
    path = plots.save(fig, tmp_path / "x.png")
    before = path.read_bytes()

    def fail(temporary, **options):
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fig, "savefig", fail)
    with pytest.raises(RunError, match="No space left"):
        plots.save(fig, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_no_pyplot_and_matplotlib_only_with_the_first_picture():
    code = (
        "import sys; from dope.core import plots; assert 'matplotlib' not in sys.modules;"
        "plots.figure('x'); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

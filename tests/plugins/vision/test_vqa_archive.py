"""Archives of features: read as they are, without pickle; what is wrong is named.

Holds no networks.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from dope.core.errors import ConfigError, DataError
from dope.plugins.vision.vqa_archive import Archive


def made(folder, **changed):
    """The six files of the book's form, small; ``changed`` replaces arrays."""
    rng = np.random.default_rng(0)
    for stem, count in (("train", 30), ("val", 10)):
        arrays = {
            "question": rng.standard_normal((count, 5)),
            "img": rng.standard_normal((count, 7)).astype(np.float32),
            "ans": np.arange(count) % 4,
        }
        for name, array in arrays.items():
            array = changed.get(f"{stem}_{name}", array)
            np.savez(folder / f"{stem}_{name}.npz", x=array)
    return folder


def test_parts_are_what_the_files_hold(tmp_path):
    data = Archive(path=made(tmp_path))
    assert data.image_shape == (7,) and data.question_units == 5
    assert data.classes == ["0", "1", "2", "3"] and data.kinds == ["all"]
    part, file = data.split("valid"), np.load(tmp_path / "val_question.npz")["x"]
    np.testing.assert_allclose(part.questions[:, 0], file, rtol=1e-6)
    assert part.answers[:, 0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert data.split("test") is None and data.batches("test", 4) is None
    images, questions, answers = next(iter(data.batches("valid", 4)))
    assert (images.shape, questions.shape, answers.shape) == ((4, 7), (4, 1, 5), (4, 1))
    assert len(Archive(path=tmp_path, train=12).split("train").images) == 12


def test_names_of_answers_give_kinds(tmp_path):
    named = {"1": "yes", "2": "2", "3": "red", "4": "no", "5": "pizza"}
    (made(tmp_path) / "atoi.json").write_text(json.dumps({"ix_to_ans": named}))
    data = Archive(path=tmp_path)
    assert data.classes == ["yes", "2", "red", "no", "pizza"]
    kinds = [data.kinds[k] for k in data.split("valid").kinds[:4, 0]]
    assert kinds == ["yes/no", "number", "other", "yes/no"]
    (tmp_path / "atoi.json").write_text(json.dumps({"ix_to_ans": {"1": "yes"}}))
    with pytest.raises(DataError, match="has an answer 3, and 1 answers"):
        Archive(path=tmp_path).split("train")
    (tmp_path / "atoi.json").write_text("[]")
    with pytest.raises(DataError, match="ix_to_ans"):
        Archive(path=tmp_path).split("train")


def test_more_answers_can_be_kept_free(tmp_path):
    assert len(Archive(path=made(tmp_path), answers=1000).classes) == 1000
    with pytest.raises(DataError, match="has an answer 3, and 3 answers"):
        Archive(path=tmp_path, answers=3).split("train")


def test_missing_files_are_named_and_where_they_come_from(tmp_path):
    (made(tmp_path) / "val_img.npz").unlink()
    with pytest.raises(ConfigError, match=r"lacks val_img.npz") as caught:
        Archive(path=tmp_path).split("train")
    assert "VQA-notebook" in caught.value.hint and "dataset.path" in caught.value.hint


class Trap:
    """Writes a file where it is unpickled."""

    def __reduce__(self):
        return (exec, ("open('trapped', 'w')",))


def test_objects_are_refused_and_nothing_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = np.empty(30, object)
    rows[:] = [Trap() for _ in range(30)]
    with pytest.raises(DataError, match=r"train_question.npz: x is an array of Python obj") as e:
        Archive(path=made(tmp_path, train_question=rows)).split("train")
    assert "np.savez" in e.value.hint and not (tmp_path / "trapped").exists()


BAD = np.zeros((30, 7), np.float32)
BAD[3, 2] = np.nan


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"train_ans": np.arange(29)}, "train_ans.npz has 29 rows"),
        ({"train_ans": np.full(30, -1)}, "answer 1 is -1"),
        ({"train_ans": np.full(30, 0.5)}, r"answer 1 is 0\.5"),
        ({"train_ans": np.zeros((30, 2))}, "of 2 answers"),
        ({"train_img": np.zeros(30)}, r"x has shape \(30,\)"),
        ({"train_img": np.full((30, 7), "a")}, "x is of type <U1"),
        ({"train_img": BAD}, "not finite"),
        ({"val_img": np.zeros((10, 8))}, "of validation"),
        (
            {"val_ans": np.zeros(0), "val_img": np.zeros((0, 7)), "val_question": np.ones((0, 5))},
            "is empty",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, changed, said):
    with pytest.raises(DataError, match=said):
        Archive(path=made(tmp_path, **changed)).split("train")


def test_damaged_files_are_named(tmp_path):
    file = made(tmp_path) / "train_img.npz"
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no archive"):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"train_img.npz cannot be read"):
            Archive(path=tmp_path).split("train")
    np.savez(file, y=np.zeros(3))
    with pytest.raises(DataError, match="holds y, no array x"):
        Archive(path=tmp_path).split("train")


@pytest.mark.parametrize("option", ["train", "valid", "answers"])
def test_options_out_of_range_are_refused(tmp_path, option):
    with pytest.raises(ConfigError, match=f"dataset.{option}=0"):
        Archive(path=tmp_path, **{option: 0})

"""Generated scenes and questions: answers are right, say little by themselves, and are drawn so.

Holds no networks; answers are checked by code of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image

from dope.core.errors import ConfigError
from dope.plugins.vision import questions, scenes
from dope.plugins.vision.questions import COLOURS, KINDS, SHAPES, Thing
from dope.plugins.vision.scenes import Scenes

# red disc at the top left, red square in the middle, green disc below it at the bottom centre
FEW = [Thing(0, 0, 0, 0), Thing(0, 1, 1, 1), Thing(1, 0, 2, 1)]


def answered(kind, things=FEW):
    return dict(found for _, found in questions.possible(kind, things))


def test_answers_of_a_scene_worked_out_by_hand():
    assert answered("colour") == {"what colour is the square": "red"}  # there are two discs
    assert answered("shape") == {"what shape is the green thing": "disc"}
    there = answered("there")
    assert len(there) == 12 and there["is there a red disc"] == "yes"
    assert Counter(there.values()) == {"yes": 3, "no": 9}
    count = answered("count")
    assert count["how many red things"] == "2" and count["how many discs"] == "2"
    assert count["how many red discs"] == "1" and count["how many yellow squares"] == "0"
    assert answered("place") == {
        "what colour is at the top left": "red",
        "what colour is at the middle centre": "red",
        "what colour is at the bottom centre": "green",
    }
    assert answered("beside") == {"what shape is left of the green thing": "disc"}


def test_more_than_four_are_not_counted():
    count = answered("count", [Thing(2, 2, *divmod(k, 3)) for k in range(5)])
    assert "how many blue things" not in count and count["how many discs"] == "0"


def seen(image):
    """The things in an image by their colours and areas, without the generator's list."""
    size = image.shape[1]
    cell = size // 3
    found = []
    for row in range(3):
        for column in range(3):
            part = image[:, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
            part = part.reshape(3, -1).astype(float)
            vivid = part.max(axis=0) - part.min(axis=0) > 60
            if vivid.sum() < 10:
                continue
            mean = part[:, vivid].mean(axis=1)
            distance = [np.abs(mean - np.array(paint)).sum() for paint in scenes.PAINT]
            found.append((COLOURS[int(np.argmin(distance))], row, column))
    return found


def test_pictures_show_what_questions_are_about():
    rng = np.random.default_rng(0)
    made = [scenes.scene((3, 6), rng) for _ in range(40)]
    pixels = scenes.draw(made, 72, 0.0, rng)
    for image, things in zip(pixels, made):
        wanted = sorted((COLOURS[t.colour], t.row, t.column) for t in things)
        assert sorted(seen(image)) == wanted


def test_shapes_have_their_areas():
    rng = np.random.default_rng(1)
    areas = defaultdict(list)
    for shape in range(3):
        for _ in range(60):
            (image,) = scenes.draw([[Thing(2, shape, 1, 1)]], 90, 0.0, rng)
            vivid = image.max(axis=0).astype(int) - image.min(axis=0) > 60
            rows, columns = np.flatnonzero(vivid.any(axis=1)), np.flatnonzero(vivid.any(axis=0))
            assert rows[0] >= 29 and rows[-1] <= 60 and columns[0] >= 29 and columns[-1] <= 60
            box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            areas[SHAPES[shape]].append(vivid.sum() / box)
    assert np.mean(areas["disc"]) == pytest.approx(np.pi / 4, abs=0.03)
    assert np.mean(areas["square"]) == pytest.approx(1, abs=0.03)
    assert np.mean(areas["triangle"]) == pytest.approx(1 / 2, abs=0.05)


def test_each_scene_is_asked_one_question_of_each_kind_and_none_twice():
    part = Scenes(train=200, valid=0, test=0).split("train")
    assert part.images.shape == (200, 3, 36, 36) and part.questions.shape == (200, 6, 8)
    assert all(len(set(texts)) == 6 for texts in part.texts)
    counts = np.bincount(part.kinds.ravel(), minlength=6)
    assert counts.sum() == 1200 and counts.min() > 60  # "beside" is often not to be asked


def test_a_question_says_little_about_its_answer():
    data = Scenes(train=3000, valid=0, test=600)
    train, test = data.split("train"), data.split("test")
    by_text = defaultdict(Counter)
    for texts, answers in zip(train.texts, train.answers):
        for text, answer in zip(texts, answers):
            by_text[text][answer] += 1
    hits = defaultdict(list)
    for texts, answers, kinds in zip(test.texts, test.answers, test.kinds):
        for text, answer, kind in zip(texts, answers, kinds):
            hits[KINDS[kind]].append(by_text[text].most_common(1)[0][0] == answer)
    chance = {"colour": 1 / 4, "shape": 1 / 3, "there": 1 / 2, "count": 1 / 5, "place": 1 / 4}
    for kind, share in {**chance, "beside": 1 / 3}.items():
        assert np.mean(hits[kind]) < share + 0.08, kind


def test_parts_are_disjoint_and_follow_the_seed():
    one, again, other = (Scenes(train=30, valid=30, test=30, seed=s) for s in (0, 0, 1))
    train, test = one.split("train"), one.split("test")
    assert not {image.tobytes() for image in train.images} & {i.tobytes() for i in test.images}
    assert (again.split("train").images == train.images).all()
    assert again.split("train").texts == train.texts
    assert (other.split("train").images != train.images).any()
    assert Scenes(train=4, valid=0).split("valid") is None and one.split("nothing") is None


def test_batches_hold_scaled_pixels_words_and_answers():
    data = Scenes(train=10, valid=3, test=0, size=24)
    images, asked, answers = next(iter(data.batches("valid", 8)))
    part = data.split("valid")
    assert images.shape == (3, 3, 24, 24) and asked.shape == (3, 6, 8) and answers.shape == (3, 6)
    np.testing.assert_allclose(images.asnumpy(), part.images / 255 - 0.5, atol=1e-6)
    assert (asked.asnumpy() == part.questions).all()
    assert (answers.asnumpy() == part.answers).all()


def test_words_are_numbered_from_the_right_and_case_does_not_count():
    known = questions.vocabulary()
    assert len(known.words) == len(set(known.words)) and len(known) == len(known.words) + 1
    found = known.numbers("How many RED discs?")
    assert found.shape == (8,) and (found[:4] == 0).all()
    assert [known.words[n - 1] for n in found[4:]] == ["how", "many", "red", "discs"]


@pytest.mark.parametrize(
    ("question", "said", "hint"),
    [
        ("how many purple discs?", "'purple', a word of", "It knows:"),
        ("how many yelow discs?", "'yelow'", "yellow"),
        ("where is my cat?", "'where', 'my', 'cat', words of", "It knows:"),
        ("?!", "has 0 words", "reads 1 to 8"),
        ("how many red red red red red red discs", "has 9 words", "reads 1 to 8"),
    ],
)
def test_questions_that_cannot_be_read_are_refused(question, said, hint):
    with pytest.raises(ConfigError) as caught:
        questions.vocabulary().numbers(question)
    assert said in caught.value.message and hint in caught.value.hint


@pytest.mark.parametrize(
    "options",
    [
        {"train": 0},
        {"test": -1},
        {"size": 10},
        {"things": (0, 3)},
        {"things": (3, 10)},
        {"kinds": ()},
        {"kinds": ("colour", "smell")},
        {"kinds": ("colour", "colour")},
        {"noise": -1.0},
        {"seed": -1},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=f"dataset.{next(iter(options))}"):
        Scenes(**options)


def test_a_scene_that_has_no_question_is_named():
    with pytest.raises(ConfigError, match=r"1 things has not 1 questions of the kinds beside"):
        Scenes(train=5, things=(1, 1), kinds=("beside",)).split("train")


def test_an_image_file_is_brought_to_size(tmp_path):
    data = Scenes(train=1)
    Image.fromarray(np.full((90, 60, 3), (10, 200, 30), np.uint8)).save(tmp_path / "a.png")
    found = data.from_image(tmp_path / "a.png")
    assert found.shape == (3, 36, 36) and (found == np.array([10, 200, 30])[:, None, None]).all()
    with pytest.raises(ConfigError, match="there is no image"):
        data.from_image(tmp_path / "b.png")

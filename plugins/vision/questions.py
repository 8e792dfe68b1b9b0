"""Questions about scenes of shapes: their kinds, templates and answers, and words to numbers.

Holds no pixels; the scenes are drawn in scenes.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Optional

import numpy as np

from dope.core.errors import ConfigError, did_you_mean

COLOURS = ("red", "green", "blue", "yellow")
SHAPES = ("disc", "square", "triangle")
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
SIDES = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
MOST = 4  # the highest number that is asked for
KINDS = ("colour", "shape", "there", "count", "place", "beside")
ANSWERS = (*COLOURS, *SHAPES, "yes", "no", *(str(n) for n in range(MOST + 1)))
PLURALS = {shape: f"{shape}s" for shape in SHAPES}
LONGEST = 8  # words of a question

Found = tuple[str, str]  # a question and its answer


class Thing(NamedTuple):
    """One thing of a scene: places in `COLOURS` and `SHAPES`, and its cell of the 3 x 3."""

    colour: int
    shape: int
    row: int
    column: int


def possible(kind: str, things: Sequence[Thing]) -> Iterator[tuple[str, Found]]:
    """All questions of a kind that a scene answers without doubt.

    Parameters
    ----------
    kind
        One of `KINDS`: ``colour`` and ``shape`` of the only such thing; ``there``: is there one;
        ``count``; ``place``: colour at one of nine places; ``beside``: the shape of the only thing
        on one side of the only thing of a colour.
    things
        What the scene holds.

    Yields
    ------
    str, (str, str)
        The template, then the question and its answer.
    """
    yield from _MADE[kind](things)


def _colour(things: Sequence[Thing]) -> Iterator[tuple[str, Found]]:
    for s, shape in enumerate(SHAPES):
        found = [t for t in things if t.shape == s]
        if len(found) == 1:
            yield "", (f"what colour is the {shape}", COLOURS[found[0].colour])


def _shape(things: Sequence[Thing]) -> Iterator[tuple[str, Found]]:
    for c, colour in enumerate(COLOURS):
        found = [t for t in things if t.colour == c]
        if len(found) == 1:
            yield "", (f"what shape is the {colour} thing", SHAPES[found[0].shape])


def _there(things: Sequence[Thing]) -> Iterator[tuple[str, Found]]:
    pairs = {(t.colour, t.shape) for t in things}
    for c, colour in enumerate(COLOURS):
        for s, shape in enumerate(SHAPES):
            yield shape, (f"is there a {colour} {shape}", "yes" if (c, s) in pairs else "no")


def _count(things: Sequence[Thing]) -> Iterator[tuple[str, Found]]:
    colours, shapes = Counter(t.colour for t in things), Counter(t.shape for t in things)
    pairs = Counter((t.colour, t.shape) for t in things)
    asked = [("colour", f"{colour} things", colours[c]) for c, colour in enumerate(COLOURS)]
    asked += [("shape", PLURALS[shape], shapes[s]) for s, shape in enumerate(SHAPES)]
    asked += [
        ("both", f"{colour} {PLURALS[shape]}", pairs[c, s])
        for c, colour in enumerate(COLOURS)
        for s, shape in enumerate(SHAPES)
    ]
    for template, what, number in asked:
        if number <= MOST:
            yield template, (f"how many {what}", str(number))


def _place(things: Sequence[Thing]) -> Iterator[tuple[str, Found]]:
    for t in things:
        words = f"what colour is at the {ROWS[t.row]} {COLUMNS[t.column]}"
        yield f"{t.row} {t.column}", (words, COLOURS[t.colour])


def _beside(things: Sequence[Thing]) -> Iterator[tuple[str, Found]]:
    for c, colour in enumerate(COLOURS):
        middle = [t for t in things if t.colour == c]
        if len(middle) != 1:
            continue
        for side, (axis, sign) in SIDES.items():
            found = [t for t in things if sign * (_along(t, axis) - _along(middle[0], axis)) > 0]
            if len(found) == 1:
                yield side, (f"what shape is {side} the {colour} thing", SHAPES[found[0].shape])


def _along(thing: Thing, axis: int) -> int:
    return thing.row if axis else thing.column


_MADE = {
    "colour": _colour,
    "shape": _shape,
    "there": _there,
    "count": _count,
    "place": _place,
    "beside": _beside,
}


def ask(
    scenes: Sequence[Sequence[Thing]], kinds: Sequence[str], rng: np.random.Generator
) -> list[list[tuple[str, str, str]]]:
    """One question of each kind about each scene, with answers as even as can be.

    A template is drawn, then of its answers that the scene allows the one that was given least so
    far, so that a question says little about its answer. Where a scene answers no question of a
    kind, a question of another kind, drawn at random, takes its place.

    Returns
    -------
    list of lists of (kind, question, answer)
        As many for each scene as there are kinds.
    """
    given: Counter[tuple[str, str, str]] = Counter()
    made = []
    for things in scenes:
        mine: list[tuple[str, str, str]] = []
        for kind in kinds:
            waiting = [kind, *rng.permutation([k for k in kinds if k != kind])]
            for instead in waiting:
                found = _one(instead, things, {q for _, q, _ in mine}, given, rng)
                if found is not None:
                    mine.append((instead, *found))
                    break
            else:
                raise ConfigError(
                    f"a scene of {len(things)} things has not {len(kinds)} questions of the kinds "
                    f"{', '.join(kinds)}",
                    "Name more of dataset.kinds, or set dataset.things higher.",
                )
        made.append(mine)
    return made


def _one(
    kind: str,
    things: Sequence[Thing],
    asked: set[str],
    given: Counter[tuple[str, str, str]],
    rng: np.random.Generator,
) -> Optional[Found]:
    """A question of a kind that was not asked yet, and its answer; None where there is none."""
    by_template: dict[str, list[Found]] = {}
    for template, found in possible(kind, things):
        if found[0] not in asked:
            by_template.setdefault(template, []).append(found)
    if not by_template:
        return None
    template = sorted(by_template)[rng.integers(len(by_template))]
    choice = by_template[template]
    answers = sorted({answer for _, answer in choice})
    least = min(given[kind, template, answer] for answer in answers)
    rare = [answer for answer in answers if given[kind, template, answer] == least]
    answer = rare[rng.integers(len(rare))]
    questions = [found for found in choice if found[1] == answer]
    given[kind, template, answer] += 1
    return questions[rng.integers(len(questions))]


class Vocabulary:
    """Words and their numbers, from 1; 0 fills up.

    Parameters
    ----------
    words
        Each once.
    length
        Numbers of a question.
    """

    def __init__(self, words: Sequence[str], length: int) -> None:
        self.words, self.length = list(words), length
        self._numbers: Mapping[str, int] = {word: n for n, word in enumerate(words, 1)}

    def __len__(self) -> int:
        return len(self.words) + 1

    def numbers(self, question: str) -> np.ndarray:
        """A question as int32 (T,), filled up from the left.

        Case and punctuation do not count.

        Raises
        ------
        ConfigError
            A word is not known, or there are none or too many.
        """
        words = re.findall(r"[^\W_]+", question.lower())
        strange = list(dict.fromkeys(word for word in words if word not in self._numbers))
        if strange:
            near = [did_you_mean(word, self.words) for word in strange]
            said = ", ".join(f"'{word}'" for word in strange)
            raise ConfigError(
                f"the model has never seen {said}, a word of --question '{question}'"
                if len(strange) == 1
                else f"the model has never seen {said}, words of --question '{question}'",
                " ".join(filter(None, [*near, f"It knows: {', '.join(self.words)}."])),
            )
        if not 0 < len(words) <= self.length:
            raise ConfigError(
                f"--question '{question}' has {len(words)} words",
                f"The model reads 1 to {self.length}.",
            )
        found = np.zeros(self.length, np.int32)
        found[-len(words) :] = [self._numbers[word] for word in words]
        return found


def vocabulary() -> Vocabulary:
    """All words of all templates, in alphabetical order."""
    places = f"what colour is at the {' '.join(ROWS)} {' '.join(COLUMNS)}"
    text = f"{places} shape thing things there a how many {' '.join(SIDES)}"
    words = {*text.split(), *COLOURS, *SHAPES, *PLURALS.values()}
    return Vocabulary(sorted(words), LONGEST)

"""Made-up pairs of sentences from a small grammar, with trees and graded likeness.

Holds the grammar and the data set; reading real pairs is in sick.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import numpy as np

from dope.core.errors import ConfigError
from dope.plugins.nlp.sick import Pair, PairSet
from dope.plugins.nlp.trees import Tree, make_tree

# Each row is one meaning; its words are synonyms
PEOPLE = (
    ("man", "guy", "gentleman"),
    ("woman", "lady"),
    ("child", "kid", "youngster"),
    ("dog", "puppy", "hound"),
    ("cat", "kitten"),
    ("bird", "sparrow"),
    ("musician", "performer"),
    ("player", "athlete"),
)
THINGS = (
    ("ball", "football"),
    ("guitar", "instrument"),
    ("stick", "branch"),
    ("picture", "painting"),
    ("car", "automobile"),
    ("box", "crate"),
)
DEEDS = (
    ("carries", "holds"),
    ("watches", "observes"),
    ("chases", "follows"),
    ("finds", "discovers"),
    ("pushes", "shoves"),
    ("drops", "loses"),
)
KINDS = (("small", "little"), ("big", "large"), ("old", "aged"), ("happy", "cheerful"))
PLACES = (("park", "garden"), ("street", "road"), ("house", "building"), ("beach", "shore"))
HELD_OUT = 0.2


class Meaning(NamedTuple):
    """What a sentence says: rows of the tables; None where it is left unsaid."""

    who: int
    who_kind: Optional[int]
    deed: int
    what: tuple[bool, int]  # a person or a thing, and which
    what_kind: Optional[int]
    where: Optional[int]
    denied: bool


class Grammar(PairSet):
    """Made-up sentences in pairs, with trees, from a grammar of 66 words.

    Who does what to whom, of which kind, and where. The second sentence says the same in other
    words, or with some of it changed, turned round (who does it to whom) or denied. The score is
    5 minus what the changes cost, at least 1, with a little noise: so the same words in another
    tree have another score.

    Parameters
    ----------
    pairs
        Pairs to make; the last fifth is ``valid``.
    noise
        Standard deviation of the score's noise.
    seed
        Seed of all pairs.
    """

    def __init__(
        self, *, pairs: int = 2500, noise: float = 0.1, seed: int = 0, **options: Any
    ) -> None:
        super().__init__(**options)
        if pairs < 10:
            raise ConfigError(f"dataset.pairs={pairs} is out of range", "It is at least 10.")
        if not 0 <= noise < float("inf"):
            raise ConfigError(f"dataset.noise={noise} is out of range", "It is 0 or more.")
        if seed < 0:
            raise ConfigError(f"dataset.seed={seed} is out of range", "It is 0 or more.")
        self.pairs, self.noise, self.seed = pairs, noise, seed

    def read(self) -> dict[str, list[Pair]]:
        rng = np.random.default_rng(self.seed)
        made = [self._pair(rng) for _ in range(self.pairs)]
        kept = self.pairs - round(HELD_OUT * self.pairs)
        return {"train": made[:kept], "valid": made[kept:]}

    def _pair(self, rng: np.random.Generator) -> Pair:
        first = _meaning(rng)
        second, cost = _changed(first, rng)
        score = float(np.clip(5 - cost + self.noise * rng.normal(), 1, 5))
        return Pair(_said(first, rng), _said(second, rng), round(score, 1))


def _meaning(rng: np.random.Generator) -> Meaning:
    person = bool(rng.random() < 0.5)
    return Meaning(
        int(rng.integers(len(PEOPLE))),
        _maybe(rng, len(KINDS)),
        int(rng.integers(len(DEEDS))),
        (person, int(rng.integers(len(PEOPLE if person else THINGS)))),
        _maybe(rng, len(KINDS)),
        _maybe(rng, len(PLACES)),
        False,
    )


def _maybe(rng: np.random.Generator, count: int) -> Optional[int]:
    return int(rng.integers(count)) if rng.random() < 0.5 else None


def _changed(first: Meaning, rng: np.random.Generator) -> tuple[Meaning, float]:
    """Another meaning, and what it costs to come from one to the other."""
    other, second, cost = _meaning(rng), first, 0.0
    costs = {"who": 1.2, "who_kind": 0.4, "deed": 1.0, "what": 1.0, "what_kind": 0.4, "where": 0.6}
    share = rng.choice([0.1, 0.3, 0.9])  # alike, related, or about something else
    for part, price in costs.items():
        new = getattr(other, part)
        if rng.random() < share and new != getattr(first, part):
            second, cost = second._replace(**{part: new}), cost + price
    person, what = second.what
    if person and what != second.who and rng.random() < 0.25:
        second = second._replace(
            who=what, what=(True, second.who), who_kind=second.what_kind, what_kind=second.who_kind
        )
        cost += 1.5
    if rng.random() < 0.15:
        second, cost = second._replace(denied=True), cost + 1.5
    return second, cost


def _said(meaning: Meaning, rng: np.random.Generator) -> Tree:
    """A sentence that says it, each meaning in one of its words."""
    words: list[str] = []
    heads: list[int] = []

    def add(word: str, head: int = 0) -> int:
        words.append(word)
        heads.append(head)
        return len(words)

    def thing(rows: Any, number: int, kind: Optional[int], article: str) -> int:
        begin = add(article)
        if kind is not None:
            add(_one_of(KINDS[kind], rng))
        noun = add(_one_of(rows[number], rng))
        heads[begin - 1 : noun - 1] = [noun] * (noun - begin)
        return noun

    subject = thing(PEOPLE, meaning.who, meaning.who_kind, _one_of(("the", "that"), rng))
    never = add("never") if meaning.denied else 0
    verb = add(_one_of(DEEDS[meaning.deed], rng))
    person, what = meaning.what
    objects = PEOPLE if person else THINGS
    target = thing(objects, what, meaning.what_kind, _one_of(("the", "that"), rng))
    heads[subject - 1] = heads[target - 1] = verb
    if never:
        heads[never - 1] = verb
    if meaning.where is not None:
        preposition = add(_one_of(("in", "near"), rng))
        place = thing(PLACES, meaning.where, None, "the")
        heads[preposition - 1], heads[place - 1] = place, verb
    return make_tree(words, heads)


def _one_of(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]

"""Items that a user has not rated, drawn at random: the negatives of ranking losses.

Holds drawing; the generator, and so when it is seeded, is the caller's.
"""

from __future__ import annotations

import numpy as np

from dope.core.errors import ConfigError

DENSE = 1 << 26  # pairs of user and item up to which a table says which are known
ROUNDS = 30  # times that what was refused is drawn again, before it is looked for


class Negatives:
    """Draws among the warm items those that a user has not rated in training, evenly.

    Parameters
    ----------
    users, items
        The training ratings, (n,) each.
    counts
        Numbers of users and items, U and I.

    Attributes
    ----------
    candidates : array
        Items that have a training rating; others would only be pushed down, and be cold no more.
    full : array
        bool (U,): users who have rated all of them, of whom nothing can be drawn.
    """

    def __init__(self, users: np.ndarray, items: np.ndarray, counts: tuple[int, int]) -> None:
        self._items = counts[1]
        self._keys = np.unique(users.astype(np.int64) * counts[1] + items)
        self.candidates = np.unique(items).astype(np.int32)
        rated = np.bincount(self._keys // counts[1], minlength=counts[0])
        self.full = rated == len(self.candidates)
        self._table = None
        if counts[0] * counts[1] <= DENSE:
            self._table = np.zeros(counts[0] * counts[1], bool)
            self._table[self._keys] = True

    def known(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """bool (n,): whether the training has a rating by users[j] of items[j]."""
        keys = users.astype(np.int64) * self._items + items
        if self._table is not None:
            return self._table[keys]
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        found: np.ndarray = self._keys[places] == keys
        return found

    def draw(self, users: np.ndarray, each: int, rng: np.random.Generator) -> np.ndarray:
        """int32 (n, each): items for users (n,), none of whom is `full`.

        Raises
        ------
        ConfigError
            A user has rated all items.
        """
        if self.full[users].any():
            raise ConfigError(
                "a user has rated every item, so that no negative can be drawn",
                "Use a loss of ratings such as losses.l2.",
            )
        many = np.repeat(users, each)
        found = self.candidates[rng.integers(len(self.candidates), size=len(many))]
        wrong = np.flatnonzero(self.known(many, found))
        for _ in range(ROUNDS):
            if not len(wrong):
                break
            found[wrong] = self.candidates[rng.integers(len(self.candidates), size=len(wrong))]
            wrong = wrong[self.known(many[wrong], found[wrong])]
        for row in wrong:  # hardly anything is left for this user
            free = self.candidates[
                ~self.known(np.full(len(self.candidates), many[row]), self.candidates)
            ]
            found[row] = rng.choice(free)
        return found.reshape(len(users), each)

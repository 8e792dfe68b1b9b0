"""Answering by compact bilinear pooling: the book's second model.

Holds the network; sketches and their convolution are in sketch.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dope.core.errors import ConfigError
from dope.plugins.vision.sketch import Buckets, Signs, Transforms, compact_bilinear
from dope.plugins.vision.vqa_concat import Answerer


class Bilinear(Answerer):
    """The outer product of the features of image and question, sketched, then an MLP.

    Each product of a feature of the image and one of the question is added, with a random sign, to
    a random one of ``sketch`` buckets. The hashes are drawn once, from the run's seed, and are
    constants of the model: they are in its checkpoints and never drawn again.

    Parameters
    ----------
    sketch
        Buckets d of the count sketch. The more, the less do products collide.
    ones
        Add a 1 to the features of either sense, so that the outer product holds them themselves,
        too.

    Notes
    -----
    Fukui et al., "Multimodal compact bilinear pooling for visual question answering and visual
    grounding" (2016). The book adds thousands of ones in place of one.
    """

    def __init__(
        self, dataset: Any, *, sketch: int = 1024, ones: bool = True, **options: Any
    ) -> None:
        if sketch < 2:
            raise ConfigError(f"model.sketch={sketch} is out of range", "It is at least 2.")
        self.sketch, self.ones = sketch, ones
        self._instead: list[Any] = []  # what pools while the network is traced for others
        super().__init__(dataset, **options)

    def meet(self, image: int, question: int) -> int:
        """Draw the hashes, as constants."""
        for name, units in (("image", image + self.ones), ("question", question + self.ones)):
            for kind, start in (("buckets", Buckets(self.sketch)), ("signs", Signs())):
                given = {"shape": (units,), "init": start, "grad_req": "null"}
                setattr(self, f"{name}_{kind}", self.params.get(f"{name}_{kind}", **given))
        return self.sketch

    def portable(self) -> tuple[Callable[..., Any], list[Any]]:
        """The trained network by MXNet's own operators alone, for graphs that others run.

        Returns
        -------
        callable, list of Block
            To be called with symbols; and whose parameters it takes.
        """
        transforms = Transforms(
            [
                getattr(self, f"{n}_{k}").list_data()[0].asnumpy()
                for n in ("image", "question")
                for k in ("buckets", "signs")
            ],
            self.sketch,
        )

        def call(*inputs: Any) -> Any:
            self._instead.append(transforms)
            try:
                return self(*inputs)
            finally:
                self._instead.clear()

        return call, [self, transforms]

    def fuse(self, F: Any, x: Any, y: Any, **own: Any) -> Any:
        """The sketch of the outer product (n Q, d)."""
        if self.ones:
            x, y = (F.concat(each, _one(F, each), dim=1) for each in (x, y))
        hashes = [own[f"{n}_{k}"] for n in ("image", "question") for k in ("buckets", "signs")]
        if self._instead:
            return self._instead[0](x, y)
        return compact_bilinear(F, x, y, hashes, self.sketch)


def _one(F: Any, features: Any) -> Any:
    """A column of ones (n, 1)."""
    return F.ones_like(F.slice_axis(features, axis=1, begin=0, end=1))

"""Answering by concatenation: the network around both senses, and the first of the book's models.

Holds no encoders and no pooling; those are in vqa_encoders.py and bilinear.py.
"""

from __future__ import annotations

from typing import Any, Literal, Optional, Tuple

from dope.core.backend import mx
from dope.core.errors import ConfigError
from dope.plugins.vision.vqa_encoders import Given, Reading, Sight

nn = mx.gluon.nn
SENSES = ("both", "image", "question")


class Answerer(mx.gluon.HybridBlock):
    """Images and questions to scores of answers; a subclass says how features meet.

    Features of both are brought to length 1, fused, and go through a hidden layer with relu, batch
    normalization and dropout. Images (n, ...) with Q questions each (n, Q, ...) give (n Q, K).

    Parameters
    ----------
    hidden
        Units of the hidden layer.
    dropout
        Share of its values that are dropped in training.
    batch_norm
        Normalize its values, and the channels of the encoder of images.
    channels
        Filters of the encoder of images, one 3 x 3 convolution each; not used where the data set
        has features.
    question
        Encoder of questions, likewise: ``lstm``, or ``bag`` for the sum of the vectors of words.
    words
        Length of the vectors of words.
    states
        Units of the LSTM.
    sees
        ``both``; or one sense only, ``image`` or ``question``, which shows what the other adds.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        hidden: int = 128,
        dropout: float = 0.3,
        batch_norm: bool = True,
        channels: Tuple[int, ...] = (16, 32, 32),
        question: Literal["lstm", "bag"] = "lstm",
        words: int = 32,
        states: int = 64,
        sees: Literal["both", "image", "question"] = "both",
    ) -> None:
        super().__init__()
        sizes = {"hidden": hidden, "channels": min(channels, default=0), "words": words}
        for name, number in {**sizes, "states": states}.items():
            if number < 1:
                raise ConfigError(f"model.{name} is out of range: {number}", "It is at least 1.")
        if not 0 <= dropout < 1:
            raise ConfigError(f"model.dropout={dropout} is out of range", "At least 0, below 1.")
        self.each = dataset.each
        self._dataset = dataset
        self._options: dict[str, Any] = {
            "hidden": hidden, "dropout": dropout, "batch_norm": batch_norm, "channels": channels,
            "question": question, "words": words, "states": states,
        }  # fmt: skip
        self.senses = [s for s in ("image", "question") if sees in (s, "both")]
        units = []
        if "image" in self.senses:
            shape = dataset.image_shape
            self.sight: Any = (
                Sight(shape, channels, batch_norm) if len(shape) == 3 else Given(*shape)
            )
            units.append(self.sight.units)
        if "question" in self.senses:
            known: Optional[Any] = dataset.vocabulary
            self.reading: Any = (
                Given(dataset.question_units)
                if known is None
                else Reading(len(known), question, words, states)
            )
            units.append(self.reading.units)
        fused = self.meet(*units) if len(units) == 2 else units[0]
        self.hidden = nn.Dense(
            hidden, in_units=fused, activation="relu", weight_initializer=mx.init.Xavier()
        )
        self.norm = nn.BatchNorm(in_channels=hidden) if batch_norm else None
        self.drop = nn.Dropout(dropout) if dropout else None
        self.output = nn.Dense(
            len(dataset.classes), in_units=hidden, weight_initializer=mx.init.Xavier()
        )

    def meet(self, image: int, question: int) -> int:
        """Make what `fuse` needs of features of these lengths; the length of what it returns."""
        raise NotImplementedError

    def fuse(self, F: Any, x: Any, y: Any, **own: Any) -> Any:
        """Features of images (n Q, F) and questions (n Q, G) to what the hidden layer sees.

        ``own`` are the parameters of the subclass.
        """
        raise NotImplementedError

    def alone(self, sense: Literal["image", "question"]) -> Answerer:
        """The same network for one of the senses."""
        return Answerer(self._dataset, **self._options, sees=sense)

    def hybrid_forward(self, F: Any, *inputs: Any, **own: Any) -> Any:
        """Scores (n Q, K) of images (n, ...) and questions (n, Q, ...), as far as it sees them."""
        seen, features = dict(zip(self.senses, inputs)), []
        if "image" in seen:
            x = F.L2Normalization(self.sight(seen["image"]))
            features.append(F.repeat(x, repeats=self.each, axis=0) if self.each > 1 else x)
        if "question" in seen:
            y = self.reading(F.reshape(seen["question"], shape=(-3, 0)))
            features.append(F.L2Normalization(y))
        z = self.fuse(F, *features, **own) if len(features) == 2 else features[0]
        z = self.hidden(z)
        z = z if self.norm is None else self.norm(z)
        z = z if self.drop is None else self.drop(z)
        return self.output(z)


class Concatenation(Answerer):
    """Features of image and question side by side, then an MLP.

    The book's first model. What a question asks of an image, the hidden layer has to find out.
    """

    def meet(self, image: int, question: int) -> int:
        return image + question

    def fuse(self, F: Any, x: Any, y: Any, **own: Any) -> Any:
        return F.concat(x, y, dim=1)

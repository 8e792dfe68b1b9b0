"""Questions about images as features in NumPy archives, as the book has them.

Holds the reading of three files a part and of the answers' names; nothing is downloaded.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, Optional

import numpy as np

from dope.core.data import ArrayBatches
from dope.core.downloads import cache_folder
from dope.core.errors import ConfigError, DataError
from dope.plugins.vision.scenes import Asked

STEMS = {"train": "train", "valid": "val"}  # part to the beginning of its files' names
FILES = ("question", "img", "ans")
SOURCE = "https://apache-mxnet.s3-accelerate.amazonaws.com/gluon/dataset/VQA-notebook/"
KINDS = ("yes/no", "number", "other")


class Archive:
    """Features of images and questions from .npz files: a part of VQA 1.0, as in the book.

    For each of ``train`` and ``val`` there are three files, each with one array ``x``:
    ``train_img.npz`` (N, F), features of images; ``train_question.npz`` (N, G), features of
    questions; ``train_ans.npz`` (N,), whole numbers of answers from 0. ``atoi.json``, where it is
    there, names the answers: ``{"ix_to_ans": {"1": "yes", ...}}``, counted from 1. The kind of a
    question is then that of its answer, as VQA has it: yes/no, number or other.

    Parameters
    ----------
    path
        The folder that has the files; default dope's cache folder.
    train, valid
        Use only the first so many of a part; default all.
    answers
        How many answers there are; default one more than the largest, or those of ``atoi.json``.

    Notes
    -----
    The book's files have 21,537 and 1,044 questions, 2,048 features of ResNet-152 and 1,024 of the
    encoder of GNMT. Antol et al., "VQA: Visual question answering" (2015).
    """

    each = 1
    vocabulary = None

    def __init__(
        self,
        *,
        path: Optional[Path] = None,
        train: Optional[int] = None,
        valid: Optional[int] = None,
        answers: Optional[int] = None,
    ) -> None:
        for name, count in (("train", train), ("valid", valid), ("answers", answers)):
            if count is not None and count < 1:
                raise ConfigError(f"dataset.{name}={count} is out of range", "It is at least 1.")
        self.path = Path(path).expanduser() if path is not None else cache_folder("vqa_notebook")
        self._limits = {"train": train, "valid": valid}
        self._answers = answers
        self._parts: Optional[dict[str, Asked]] = None
        self._names: Optional[list[str]] = None

    def split(self, name: str) -> Optional[Asked]:
        """One part; all files are read at the first call.

        Raises
        ------
        ConfigError
            Files are missing.
        DataError
            A file is damaged, or is not what it should be.
        """
        return self._read().get(name)

    @property
    def classes(self) -> list[str]:
        """The answers: names, or numbers where there is no ``atoi.json``."""
        self._read()
        assert self._names is not None
        return self._names

    @property
    def kinds(self) -> list[str]:
        """Kinds of questions; one only where nobody knows the answers' names."""
        return list(KINDS) if self._named else ["all"]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(F,)."""
        return tuple(self._read()["train"].images.shape[1:])

    @property
    def question_units(self) -> int:
        """G."""
        return int(self._read()["train"].questions.shape[2])

    @property
    def _named(self) -> bool:
        return (self.path / "atoi.json").is_file()

    def _read(self) -> dict[str, Asked]:
        if self._parts is not None:
            return self._parts
        wanted = [f"{stem}_{file}.npz" for stem in STEMS.values() for file in FILES]
        missing = [name for name in wanted if not (self.path / name).is_file()]
        if missing:
            raise ConfigError(
                f"{self.path} lacks {', '.join(missing)} (each an .npz with an array x)",
                f"The book has them from {SOURCE}: put them into the folder of dataset.path.",
            )
        found = {part: self._part(part) for part in STEMS}
        top = 1 + max(int(part[2].max()) for part in found.values())
        names = _names(self.path / "atoi.json") if self._named else [str(k) for k in range(top)]
        if self._answers is not None:
            names = [*names, *(str(k) for k in range(len(names), self._answers))][: self._answers]
        if top > len(names):
            raise DataError(
                f"{self.path} has an answer {top - 1}, and {len(names)} answers from 0",
                "Set dataset.answers higher, or mend atoi.json.",
            )
        shapes = {part: (a.shape[1:], b.shape[1:]) for part, (a, b, _) in found.items()}
        if shapes["train"] != shapes["valid"]:
            raise DataError(
                f"{self.path}: features of training have shapes {shapes['train']}, of validation "
                f"{shapes['valid']}",
                "Both have to come from the same networks.",
            )
        self._names = names
        kind = np.array([_kind(name) if self._named else 0 for name in names], np.int32)
        self._parts = {
            part: Asked(images, questions[:, None], answers[:, None], kind[answers][:, None], None)
            for part, (images, questions, answers) in found.items()
        }
        return self._parts

    def _part(self, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features of images and of questions, and answers."""
        files = {name: self.path / f"{STEMS[part]}_{name}.npz" for name in FILES}
        questions, images, answers = (_array(file) for file in files.values())
        if not answers.size:
            raise DataError(f"{files['ans']} is empty", "Replace it by the true file.")
        answers = answers.reshape(len(answers), -1)
        counts = {files[n].name: len(a) for n, a in zip(FILES, (questions, images, answers))}
        if len(set(counts.values())) > 1 or answers.shape[1] != 1:
            raise DataError(
                f"{self.path}: {', '.join(f'{n} has {c} rows' for n, c in counts.items())}"
                f"{'' if answers.shape[1] == 1 else f' of {answers.shape[1]} answers'}",
                "They need one row for each question.",
            )
        for name, features in (("question", questions), ("img", images)):
            if features.ndim != 2 or not features.shape[1]:
                raise DataError(
                    f"{files[name]}: x has shape {features.shape}", "It needs rows of features."
                )
        whole = answers[:, 0].astype(np.int64)
        if (whole != answers[:, 0]).any() or whole.min() < 0:
            bad = int(np.argmax((whole != answers[:, 0]) | (whole < 0)))
            raise DataError(
                f"{files['ans']}: answer {bad + 1} is {answers[bad, 0]}",
                "Answers are whole numbers from 0.",
            )
        rows = slice(0, self._limits[part])
        return tuple(  # type: ignore[return-value]
            np.ascontiguousarray(a[rows], t)
            for a, t in ((images, np.float32), (questions, np.float32), (whole, np.int32))
        )

    def batches(self, split: str, batch_size: Optional[int]) -> Optional[ArrayBatches]:
        """Batches of images (n, F), questions (n, 1, G) and answers (n, 1), as float32."""
        part = self.split(split)
        if part is None:
            return None
        arrays = (part.images, part.questions, part.answers)
        return ArrayBatches(arrays, batch_size, shuffle=split == "train", transform=self.transform)

    def transform(self, arrays: Any, rng: Optional[np.random.Generator]) -> Any:
        """A chunk as it goes to the device."""
        images, questions, answers = arrays
        return images, questions, answers.astype(np.float32)

    def to_input(self, features: np.ndarray) -> np.ndarray:
        """The same."""
        return features


def _array(file: Path) -> np.ndarray:
    """The array ``x`` of an archive, never by pickle.

    Raises
    ------
    DataError
        It is not there, not numbers, or the file is damaged.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            if "x" not in archive.files:
                raise DataError(
                    f"{file} holds {', '.join(archive.files) or 'nothing'}, no array x",
                    "Save it as np.savez(FILE, x=ARRAY).",
                )
            found = archive["x"]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        if "allow_pickle" in str(error) and zipfile.is_zipfile(file):
            raise DataError(
                f"{file}: x is an array of Python objects, which only pickle can read, and a "
                "pickle can run code",
                "Where you trust it, save it anew as numbers: np.savez(FILE, x=np.stack(ROWS)).",
            ) from error
        raise DataError(
            f"{file} cannot be read as an archive of NumPy ({' '.join(str(error).split())[:80]})",
            "Get it again.",
        ) from error
    if found.dtype.kind not in "fiub" or not found.ndim:
        raise DataError(f"{file}: x is of type {found.dtype}", "It has to hold numbers.")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise DataError(f"{file}: x has values that are not finite", "Mend or replace the file.")
    return found


def _names(file: Path) -> list[str]:
    """Answers by number; the file counts from 1."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["ix_to_ans"]
        return [str(found[str(k)]) for k in range(1, len(found) + 1)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file} is not {{'ix_to_ans': {{'1': ANSWER, ...}}}}", "Mend it or take it away."
        ) from error


def _kind(answer: str) -> int:
    if answer.lower() in ("yes", "no"):
        return 0
    return 1 if answer.replace(".", "", 1).isdigit() else 2

"""Texts for language models: files or what ships with dope, read, cut into parts, numbered.

Holds no batches and no models; how a text becomes a batch is in batching.py.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any, List, Literal, Optional, Union

import numpy as np

from dope.core.errors import ConfigError, DataError

SHIPPED = Path(__file__).parent / "data" / "alice.txt"
PARTS = ("train", "valid", "test")
UNKNOWN, END = "<unk>", "<eos>"  # a word that the vocabulary lacks, and the end of a line
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|--+|[^\w\s]|_")
_NO_SPACE_BEFORE = re.compile(r" (--+ |[.,;:!?)\]}%]|n't\b|'(?:s|m|d|ll|re|ve)\b)")
_NO_SPACE_BEHIND = re.compile(r"(--+|[(\[{]) ")
_QUOTE = re.compile(r"( ?)(?<!\S)(['\"])(?!\S)( ?)")


class TextSet:
    """Texts in parts, and the numbers that a language model takes for them.

    A task says in `number` whether it wants characters or words; until then there are only texts.

    Attributes
    ----------
    vocabulary
        Symbols by number, a list; models take its length.
    texts
        Part to text; parts that there are not are left out.
    spaced
        Whether the text is already cut into words by blanks, as corpora of research are.
    """

    spaced = False

    def __init__(self) -> None:
        self.vocabulary: list[str] = []
        self.texts: dict[str, str] = {}
        self._ids: dict[str, np.ndarray] = {}
        self._numbers: dict[str, int] = {}
        self.level = "char"
        self.lower = False

    def read(self) -> dict[str, str]:
        """Part to text."""
        raise NotImplementedError

    def number(
        self,
        level: Literal["char", "word"],
        *,
        lower: bool = False,
        least: int = 1,
        most: Optional[int] = None,
    ) -> None:
        """Read the texts and number their characters or words, by those of the training part.

        Parameters
        ----------
        level
            ``char`` or ``word``. Words need gluonnlp for the vocabulary.
        lower
            Write all letters small first.
        least
            Times that a word must occur in the training part to have a number of its own.
        most
            Largest number of words that have one, the most frequent.

        Raises
        ------
        DataError
            A text is empty or no text.
        """
        self.level, self.lower = level, lower
        self.texts = {part: text for part, text in self.read().items() if text}
        if "train" not in self.texts:
            raise DataError("the training text is empty", "Give a file with text in it.")
        units = {part: self.units(text) for part, text in self.texts.items()}
        if level == "char":
            self.vocabulary = sorted(set(units["train"]))
        else:
            self.vocabulary = _words_of(units["train"], least, most)
        self._numbers = {unit: i for i, unit in enumerate(self.vocabulary)}
        self._ids = {part: self._encoded(each) for part, each in units.items()}

    def units(self, text: str) -> list[str]:
        """The characters or words of a text; the end of a line is a word, ``<eos>``."""
        text = text.lower() if self.lower else text
        if self.level == "char":
            return list(text)
        words: list[str] = []
        for line in text.splitlines():
            words += line.split() if self.spaced else _WORD.findall(line)
            words.append(END)
        return words

    def ids(self, part: str) -> Optional[np.ndarray]:
        """Numbers of a part's characters or words, float32 (n); None where it is not there."""
        return self._ids.get(part)

    def encode(self, text: str) -> np.ndarray:
        """Numbers of a text, float32 (n), by the vocabulary of the training part."""
        return self._encoded(self._begun(text))

    def decode(self, ids: Any, prefix: str = "") -> str:
        """``prefix`` and the text of numbers behind it; of words, with blanks between them."""
        units = [self.vocabulary[int(i)] for i in ids]
        if self.level == "char":
            return prefix + "".join(units)
        units = self._begun(prefix) + units
        text = " ".join("\n" if unit == END else unit for unit in units)
        text = re.sub(r" *\n *", "\n", text)
        if self.spaced:
            return text
        return _NO_SPACE_BEHIND.sub(r"\1", _NO_SPACE_BEFORE.sub(r"\1", _quoted(text)))

    def _begun(self, text: str) -> list[str]:
        """Units of a text whose last line goes on."""
        units = self.units(text)
        return units[:-1] if self.level == "word" and not text.endswith("\n") else units

    def _encoded(self, units: list[str]) -> np.ndarray:
        """Characters that training has not seen count as blanks, or else as the first there is."""
        other = self._numbers.get(" " if self.level == "char" else UNKNOWN, 0)
        return np.array([self._numbers.get(unit, other) for unit in units], np.float32)


class Text(TextSet):
    """Your own text: a UTF-8 file, several, or a folder of .txt files; else the one that ships.

    Without ``path`` it is the first three chapters of Lewis Carroll's Alice's Adventures in
    Wonderland (1865), 30 KB. Several files are read one after the other, in the order given; those
    of a folder in the order of their names. What is held out is the end of the text.

    Parameters
    ----------
    path
        The file, a list of files, or a folder.
    valid
        Share of the text that is held out for validation, in [0, 1), or a file of its own.
    test
        Likewise for the test: the very end of the text.
    """

    def __init__(
        self,
        *,
        path: Optional[Union[str, List[str]]] = None,
        valid: Union[float, str] = 0.1,
        test: Union[float, str] = 0.0,
    ) -> None:
        super().__init__()
        self.path, self.valid, self.test = path, valid, test
        shares = [each for each in (valid, test) if not isinstance(each, str)]
        if min(shares, default=0) < 0 or sum(shares) >= 1:
            raise ConfigError(
                f"dataset.valid={valid} and dataset.test={test} are out of range",
                "Each is at least 0, and together they are below 1; or give files.",
            )

    def read(self) -> dict[str, str]:
        """Training text first, then validation, then test."""
        given = [self.path] if isinstance(self.path, str) else self.path or [str(SHIPPED)]
        return self.cut("".join(read_text(path) for path in text_files(given)))

    def cut(self, text: str) -> dict[str, str]:
        """The parts of one text, and those that are files of their own."""
        parts, end = {}, len(text)
        for part, value in (("test", self.test), ("valid", self.valid)):
            if isinstance(value, str):
                parts[part] = read_text(Path(value).expanduser())
            elif value:
                begin = end - round(len(text) * value)
                parts[part], end = text[begin:end], begin
        return {"train": text[:end], **parts}


class TimeMachine(Text):
    """H. G. Wells, The Time Machine (1898): Project Gutenberg's text number 35, on your disk.

    What Project Gutenberg has put before and after the novel is left out. Nothing is downloaded:
    the file is at www.gutenberg.org/ebooks/35, "Plain Text UTF-8".

    Parameters
    ----------
    path
        The file.
    valid
        Share of the text that is held out for validation, in [0, 1), or a file of its own.
    test
        Likewise for the test: the very end of the text.
    """

    def __init__(
        self,
        *,
        path: Optional[str] = None,
        valid: Union[float, str] = 0.1,
        test: Union[float, str] = 0.0,
    ) -> None:
        super().__init__(path=path, valid=valid, test=test)

    def read(self) -> dict[str, str]:
        """The novel alone, cut into parts."""
        if not isinstance(self.path, str):
            raise DataError(
                "the text of The Time Machine does not ship with dope",
                "Download it from www.gutenberg.org/ebooks/35, then dataset.path=FILE.",
            )
        return self.cut(novel(read_text(Path(self.path).expanduser())))


class Corpus(TextSet):
    """A folder with three files of text that is cut into words by blanks already.

    Parameters
    ----------
    path
        The folder.
    """

    spaced = True
    files: tuple[str, str, str]
    origin: str

    def __init__(self, *, path: Optional[Path] = None) -> None:
        super().__init__()
        self.path = None if path is None else Path(path).expanduser()

    def read(self) -> dict[str, str]:
        """The three files."""
        folder = self.path
        missing = [n for n in self.files if folder is None or not (folder / n).is_file()]
        if missing or folder is None:
            what = "dataset.path is not given" if folder is None else f"{folder} lacks "
            raise DataError(
                what + ("" if folder is None else ", ".join(missing)),
                f"It is a folder with {', '.join(self.files)}: {self.origin}.",
            )
        return {part: read_text(folder / name) for part, name in zip(PARTS, self.files)}


class PennTreebank(Corpus):
    """Mikolov's Penn Treebank: 10,000 words, numbers as N, rare words as <unk>.

    Parameters
    ----------
    path
        Folder with ptb.train.txt, ptb.valid.txt and ptb.test.txt.
    """

    files = ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt")
    origin = "the archive simple-examples.tgz of Mikolov's RNN toolkit has them in its folder data"

    def __init__(self, *, path: Optional[Path] = None) -> None:
        super().__init__(path=path)


class WikiText2(Corpus):
    """WikiText-2: two million words of good articles of Wikipedia (Merity et al., 2016).

    Parameters
    ----------
    path
        Folder with wiki.train.tokens, wiki.valid.tokens and wiki.test.tokens.
    """

    files = ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens")
    origin = "the archive wikitext-2-v1.zip has them in its folder wikitext-2"

    def __init__(self, *, path: Optional[Path] = None) -> None:
        super().__init__(path=path)


def text_files(given: list[str]) -> list[Path]:
    """Files by the paths given; of a folder, its .txt files in the order of their names.

    Raises
    ------
    DataError
        There is no such file, or a folder has none.
    """
    found: list[Path] = []
    for each in given:
        path = Path(each).expanduser()
        inside = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        if not inside:
            raise DataError(f"folder {path} has no .txt files", "Name the files in dataset.path.")
        found += inside
    return found


def read_text(path: Path) -> str:
    r"""The text of a UTF-8 file, a byte order mark left out, with ``\n`` at the ends of lines.

    Raises
    ------
    DataError
        It cannot be read, is not UTF-8, or is empty; the message names it.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"text file {path} cannot be read: {error.strerror or error}",
            "Check dataset.path, dataset.valid and dataset.test.",
        ) from error
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        written = "utf-16" if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "latin1"
        raise DataError(
            f"{path} line {line}: byte 0x{raw[error.start]:02x} is not UTF-8",
            f"Convert it: iconv -f {written} -t utf-8 {path.name} > new.txt",
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path} line {line}: a zero byte, so it is no text", "Give a UTF-8 text.")
    if not text.strip():
        what = "holds nothing but blanks" if text else "is empty"
        raise DataError(f"text file {path} {what}", "Give a file with text in it.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def novel(text: str) -> str:
    """What stands between Project Gutenberg's lines ``*** START OF`` and ``*** END OF``."""
    _, start, rest = text.partition("*** START OF")
    body = rest.partition("\n")[2] if start else text
    end = body.find("\nEnd of Project Gutenberg")
    end = body.find("\n*** END OF") if end < 0 else end
    return (body[:end] if end >= 0 else body).strip() + "\n"


def _quoted(text: str) -> str:
    """Every other quotation mark, of those that stand alone, begins words; the rest end them."""
    marks = itertools.count()

    def attached(found: re.Match[str]) -> str:
        before, mark, behind = found.groups()
        return mark + behind if next(marks) % 2 else before + mark

    return _QUOTE.sub(attached, text)


def _words_of(words: list[str], least: int, most: Optional[int]) -> list[str]:
    """Words by number, the most frequent first, by gluonnlp's vocabulary."""
    gluonnlp = _gluonnlp()
    counts = Counter(words)
    counts.pop(UNKNOWN, None)
    vocabulary = gluonnlp.Vocab(
        counts,
        max_size=most,
        min_freq=least,
        unknown_token=UNKNOWN,
        padding_token=None,
        bos_token=None,
        eos_token=END,
    )
    return list(vocabulary.idx_to_token)


def _gluonnlp() -> Any:
    from dope.core.backend import mx  # noqa: F401 - MXNet has to be loaded by dope first

    try:
        import gluonnlp
    except ImportError as error:
        raise ConfigError(
            f"gluonnlp, which numbers words, does not import: {error}",
            "Run: pip install 'dope[nlp]'",
        ) from error
    return gluonnlp

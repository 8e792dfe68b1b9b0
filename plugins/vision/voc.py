"""Images with boxes in the format of Pascal VOC: one XML file an image.

Holds the data set and the reader of its XML; checks of boxes and images are in
``detection_files.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from dope.core.errors import ConfigError, DataError
from dope.core.pictures import SUFFIXES
from dope.plugins.vision.detection_data import DIFFICULT
from dope.plugins.vision.detection_files import DetectionFiles
from dope.plugins.vision.detection_sheets import Annotations, Sheet, Thing

LONGEST = 1 << 24  # bytes of an XML file; an annotation has some thousand
BROKEN = "broken annotations"
EDGES = ("xmin", "ymin", "xmax", "ymax")


class Voc(DetectionFiles):
    """Pascal VOC: the sets of the challenge, and what labelImg and others write in that format.

    ``path`` is a folder with ``Annotations`` (XML) and ``JPEGImages``, or the one above it, or a
    folder in which XML files lie beside the images. Lists of names in ``ImageSets/Main`` say
    which image is in which part; without them ``holdout`` divides. Objects marked difficult are
    learned, but in the measure they neither have to be found nor count as wrong.

    Parameters
    ----------
    train_list
        The list in ``ImageSets/Main``, without .txt, of images to learn from.
    valid_list
        The list of those held out, by which the best checkpoint is chosen.
    test_list
        The list of those that nothing is chosen by.
    one_based
        Whether the first pixel has the number 1 and a box holds its last one, as in VOC; if not,
        coordinates are distances from the upper left corner.
    """

    layout = (
        "dataset.path is a folder with Annotations/*.xml and JPEGImages/, or with XML files beside "
        "the images."
    )

    def __init__(
        self,
        *,
        train_list: str = "train",
        valid_list: str = "val",
        test_list: str = "test",
        one_based: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.lists = {"train": train_list, "valid": valid_list, "test": test_list}
        self.one_based = one_based

    def annotated(self) -> Annotations:
        root = self._root()
        inner = root / "Annotations"
        folder = inner if inner.is_dir() else root
        images = next(
            (root / name for name in ("JPEGImages", "images") if (root / name).is_dir()), root
        )
        parts: dict[str, list[Sheet]] = {}
        for part, stems in self._stems(root, folder).items():
            sheets = (self._sheet(folder / f"{stem}.xml", images) for stem in stems)
            parts[part] = [sheet for sheet in sheets if sheet is not None]
        learned = parts.get("train", parts.get("", []))
        named = {thing.label for sheet in learned for thing in sheet.things}
        return Annotations(sorted(name for name in named if name), parts)

    def _root(self) -> Path:
        """The folder that has the annotations: ``path``, or the one below it that does."""
        if not self.path.is_dir():
            raise ConfigError(f"there is no folder {self.path}", self.layout)
        if (self.path / "Annotations").is_dir() or any(self.path.glob("*.xml")):
            return self.path
        below = sorted(p.parent for n in ("*", "*/*") for p in self.path.glob(f"{n}/Annotations"))
        if len(below) == 1:
            return below[0]
        raise ConfigError(
            f"{self.path} has "
            + (f"several sets: {', '.join(p.name for p in below)}" if below else "no annotations"),
            "Name one of them in dataset.path." if below else self.layout,
        )

    def _stems(self, root: Path, folder: Path) -> dict[str, list[str]]:
        """Names of the annotations of each part, without .xml."""
        files = {part: root / "ImageSets/Main" / f"{n}.txt" for part, n in self.lists.items()}
        if not files["train"].is_file():
            if self.lists["train"] != "train":
                raise ConfigError(f"there is no list {files['train']}", self.layout)
            stems = sorted(file.stem for file in folder.glob("*.xml") if file.name[0] != ".")
            if not stems:
                raise ConfigError(f"{folder} has no XML files", self.layout)
            return {"": stems}
        found = {}
        for part, file in files.items():
            if file.is_file():
                lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
                found[part] = [line.split()[0] for line in lines if line.split()]
                if any("/" in stem or "\\" in stem for stem in found[part]):
                    raise DataError(f"{file} has names with slashes", "They are names of files.")
        return {part: stems for part, stems in found.items() if stems or part == "train"}

    def _sheet(self, file: Path, images: Path) -> Optional[Sheet]:
        """One file; None where it is broken and left out."""
        try:
            root = read_xml(file)
        except DataError as error:
            self._fault(BROKEN, error.message, error.hint)
            return None
        extent = tuple(whole(root.findtext(f"size/{side}")) for side in ("width", "height"))
        things = []
        for i, node in enumerate(root.findall("object")):
            name = (node.findtext("name") or "").strip()
            flag = DIFFICULT if (node.findtext("difficult") or "").strip() == "1" else 0
            things.append(
                Thing(f"object {i + 1} ({name or 'no name'})", name or None, self._box(node), flag)
            )
        image = image_beside(images, root.findtext("filename"), file.stem)
        width, height = extent
        return Sheet(str(file), image, things, (width, height) if width and height else None)

    def _box(self, node: Element) -> list[Any]:
        """Left, top, right, bottom as distances; the texts themselves where they are no numbers."""
        texts = [node.findtext(f"bndbox/{edge}") for edge in EDGES]
        try:
            left, top, right, bottom = (float(text or "") for text in texts)
        except ValueError:
            return texts
        if not self.one_based or right <= left or bottom <= top:
            return [left, top, right, bottom]
        return [left - 1, top - 1, right, bottom]


def read_xml(file: Path) -> Element:
    """The root of an XML file, read without document types, and so without entities of its own.

    Raises
    ------
    DataError
        It is missing, not XML, larger than an annotation can be, or declares a document type,
        which could expand to any size or fetch other files.
    """

    def refuse(*_: Any) -> None:
        raise DataError(f"{file} declares a document type", "Take the DOCTYPE out of it.")

    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        with file.open("rb") as opened:
            content = opened.read(LONGEST + 1)
        if len(content) > LONGEST:
            raise DataError(f"{file} has more than {LONGEST} bytes", "It is no annotation.")
        parser.Parse(content, True)
        return builder.close()
    except FileNotFoundError as error:
        raise DataError(f"there is no annotation {file}", "Put it there.") from error
    except (OSError, expat.ExpatError, ValueError, AssertionError) as error:
        raise DataError(f"{file} cannot be read as XML ({error})", "Save it again.") from error


def whole(text: Optional[str]) -> int:
    """A whole number, 0 where there is none."""
    try:
        return max(0, int(float(text or 0)))
    except (ValueError, OverflowError):
        return 0


def image_beside(folder: Path, name: Optional[str], stem: str) -> Path:
    """The image of an annotation: as it names it, or by the annotation's own name.

    Of the name only the last part is used, so that it cannot lead out of the folder.
    """
    last = (name or "").strip().replace("\\", "/").rpartition("/")[2].replace("\0", "")
    named = folder / last
    if last not in ("", ".", "..") and named.is_file():
        return named
    for suffix in (*SUFFIXES, *(s.upper() for s in SUFFIXES)):
        if (folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    return named if last not in ("", ".", "..") else folder / f"{stem}.jpg"

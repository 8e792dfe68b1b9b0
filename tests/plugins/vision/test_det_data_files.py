"""Annotated images in COCO, VOC and RecordIO: what is read, and what is refused or left out.

Holds tests on small files written here, RecordIO by MXNet's own writer.
"""

from __future__ import annotations

import json
import shutil
import struct

import numpy as np
import pytest
from PIL import Image

from dope.core.backend import mx
from dope.core.configuring.signature import signature
from dope.core.errors import ConfigError, DataError
from dope.plugins.vision.coco import Coco
from dope.plugins.vision.record import MAGIC, Pikachu, Records, read_records
from dope.plugins.vision.voc import Voc

FORMATS = ("coco", "voc", "records")
SIDES = (80, 40)  # of every image here: width, height
NAMES = ["cat", "dog", "eel"]


def picture(i, boxes=(), size=SIDES):
    """A dark image with a bright rectangle in each box."""
    image = np.full((size[1], size[0], 3), 10 + i, np.uint8)
    for left, top, right, bottom in boxes:
        image[int(top) : int(bottom), int(left) : int(right)] = 200
    return Image.fromarray(image)


class Writer:
    """Writes the same images and objects in each format.

    ``scenes`` is a list of (objects, options) for each image: objects are (class, box, flag);
    options ``image``: None leaves the file out, bytes stand for it.
    """

    def __init__(self, folder, form):
        self.folder, self.form = folder, form

    def __call__(self, scenes, **options):
        (self.folder / "images").mkdir(exist_ok=True)
        for i, (objects, extra) in enumerate(scenes):
            target = self.folder / "images" / f"{i:03}.jpg"
            picture(i, [box for _, box, _ in objects if len(box) == 4]).save(target, quality=95)
            content = extra.get("image", target.read_bytes())
            target.unlink()
            if content is not None:
                target.write_bytes(content)
        return getattr(self, self.form)(scenes, **options)

    def coco(self, scenes, **options):
        ids = {"cat": 3, "dog": 17, "eel": 90}
        content = {"images": [], "annotations": [], "categories": []}
        content["categories"] = [{"id": ids[n], "name": n} for n in reversed(NAMES)]
        for i, (objects, extra) in enumerate(scenes):
            row = {"id": 1000 + i, "file_name": f"{i:03}.jpg", "width": 80, "height": 40}
            content["images"].append({**row, **extra.get("row", {})})
            for name, box, flag in objects:
                bbox = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
                row = {"id": len(content["annotations"]), "image_id": 1000 + i, "bbox": bbox}
                row.update(category_id=ids.get(name, 55), iscrowd=int(flag == 2))
                content["annotations"].append({**row, "ignore": int(flag == 1)})
        (self.folder / "all.json").write_text(json.dumps(content))
        return Coco(path=self.folder / "all.json", size=64, **options)

    def voc(self, scenes, **options):
        (self.folder / "images").rename(self.folder / "JPEGImages")
        (self.folder / "Annotations").mkdir(exist_ok=True)
        for i, (objects, extra) in enumerate(scenes):
            text = "".join(
                f"<object><name>{name}</name><difficult>{int(flag == 1)}</difficult><bndbox>"
                f"<ymin>{box[1] + 1}</ymin><xmin>{box[0] + 1}</xmin>"  # in any order
                f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
                for name, box, flag in objects
            )
            head = (
                f"<filename>{i:03}.jpg</filename><size><width>80</width><height>40</height></size>"
            )
            (self.folder / "Annotations" / f"{i:03}.xml").write_text(
                extra.get("xml", f"<annotation>{head}{text}</annotation>")
            )
        options.setdefault("classes", NAMES)
        return Voc(path=self.folder, size=64, **options)

    def records(self, scenes, **options):
        file = mx.recordio.MXIndexedRecordIO(
            str(self.folder / "a.idx"), str(self.folder / "a.rec"), "w"
        )
        for i, (objects, _) in enumerate(scenes):
            image = self.folder / "images" / f"{i:03}.jpg"
            label = [4.0, 6.0, 80.0, 40.0]
            for name, box, flag in objects:
                kind = NAMES.index(name) if name in NAMES else 7
                label += [kind, box[0] / 80, box[1] / 40, box[2] / 80, box[3] / 40, flag]
            header = mx.recordio.IRHeader(0, np.array(label, np.float32), i, 0)
            content = image.read_bytes() if image.exists() else b""
            file.write_idx(i, mx.recordio.pack(header, content))
        file.close()
        options.setdefault("classes", NAMES)
        return Records(path=self.folder / "a.rec", size=64, **options)


@pytest.fixture(params=FORMATS)
def write(request, tmp_path):
    return Writer(tmp_path, request.param)


def some(n=10):
    """Scenes without fault: a dog each, and a cat beside it in every second one."""
    found = []
    for i in range(n):
        objects = [("dog", (4 + i, 6, 30 + i, 30), 0)]
        if i % 2:
            objects.append(("cat", (50, 10, 76, 38), 0))
        found.append((objects, {}))
    return found


def test_boxes_in_shares_and_where_the_pixels_are(write):
    data = write(some())
    assert data.classes == NAMES and data.most == 2 and data.shape == (3, 64, 64)
    assert len(data.truth("train")) == 8 and len(data.truth("valid")) == 2
    assert data.truth("test") is None and data.batches("test", 4) is None
    assert data.skipped == {} and data.skip_note() == ""
    images = np.concatenate([data.images("train"), data.images("valid")])
    truth = data.truth("train") + data.truth("valid")
    assert images.shape == (10, 64, 64, 3)
    shift = []
    for image, found in zip(images, truth):
        assert found.dtype == np.float32 and found[0, 0] == 1 and (found[:, 5] == 0).all()
        shift.append(round(float(found[0, 1]) * 80) - 4)
        want = np.array([4 + shift[-1], 6, 30 + shift[-1], 30]) / [80, 40, 80, 40]
        assert np.allclose(found[0, 1:5], want, atol=1e-6)
        bright = (image[..., 0] > 110).astype(float)  # halfway from the ground to an object
        mask = np.zeros((64, 64))
        for left, top, right, bottom in np.rint(found[:, 1:5] * 64).astype(int):
            mask[top:bottom, left:right] = 1
        assert (bright != mask).mean() < 0.04
    assert sorted(shift) == list(range(10))
    assert sorted(len(found) for found in truth) == [1] * 5 + [2] * 5


def test_holdout_and_limits(write):
    data = write(some(), holdout=0.5, seed=3, train=3, valid=2)
    assert len(data.truth("train")) == 3 and len(data.truth("valid")) == 2


def test_no_holdout(write):
    data = write(some(), holdout=0.0)
    assert len(data.truth("train")) == 10 and data.truth("valid") is None


def test_a_box_a_pixel_over_the_edge_is_cut_off(write):
    scenes = some(4)
    scenes[0] = ([("dog", (-0.6, 0, 30, 40.3), 0)], {})
    data = write(scenes, holdout=0.0)
    first = next(t for t in data.truth("train") if t[0, 1] == 0)
    assert np.allclose(first[0, 1:5], [0, 0, 30 / 80, 1], atol=1e-6)


def spoilt(form):
    """Reason, what is said, and a scene with that fault, for each format."""
    ok = ("cat", (50, 10, 76, 38), 0)
    yield (
        "objects outside their image",
        r"object 1.*reaches out of the image",
        (
            [("dog", (60, 6, 95, 30), 0), ok],
            {},
        ),
    )
    yield (
        "objects outside their image",
        r"object 2.*reaches out",
        (
            [ok, ("dog", (90, 50, 120, 70), 0)],
            {},
        ),
    )
    yield "objects without area", r"object 2.*has no area", ([ok, ("dog", (9, 9, 9, 30), 0)], {})
    yield "objects without area", r"object 1.*has no area", ([("dog", (9, 30, 20, 9), 0), ok], {})
    yield (
        "objects of an unknown class",
        r"object 1.*(unknown|no class)",
        (
            [("yak", (9, 9, 20, 30), 0), ok],
            {},
        ),
    )
    name = "cannot be read as an image" if form == "records" else r"there is no image .*003\.jpg"
    reason = "damaged images" if form == "records" else "missing images"
    yield reason, name, ([ok], {"image": None})
    yield "damaged images", "cannot be read as an image", ([ok], {"image": b"no image"})


@pytest.mark.parametrize("which", range(7))
def test_faults_are_named_or_counted(write, which):
    reason, said, scene = list(spoilt(write.form))[which]
    scenes = some()
    scenes[3] = scene
    data = write(scenes, holdout=0.0)
    with pytest.raises(DataError, match=said) as caught:
        data.batches("train", 4)
    assert "on_error=skip" in caught.value.hint
    place = {"coco": "all.json", "voc": "003", "records": "record 4"}[write.form]
    assert place in caught.value.message or "003.jpg" in caught.value.message

    skipping = type(data)(**{**options_of(data), "on_error": "skip"})
    found = skipping.truth("train")
    assert skipping.skipped == {reason: 1}
    assert skipping.skip_note() == f"left out: 1 {reason}"
    assert len(skipping.skips) == 1
    assert place in skipping.skips[0] or "003.jpg" in skipping.skips[0]
    image_gone = "image" in scene[1]
    assert len(found) == (9 if image_gone else 10)
    assert len(skipping.images("train")) == len(found)
    if not image_gone:
        assert len(found[3]) == 1 and found[3][0, 0] == 0  # the cat stays


def options_of(data):
    made = {"path": data.path, "size": data.size, "holdout": data.holdout}
    return {**made, "classes": data.wanted}


def test_a_truncated_jpeg(write, tmp_path):
    picture(0, [(10, 10, 40, 30)]).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    scenes = some()
    scenes[5] = (scenes[5][0], {"image": content[: len(content) * 2 // 3]})
    data = write(scenes, holdout=0.0)
    assert len(data.checked().parts["train"][0]) == 10  # its head is whole
    with pytest.raises(DataError, match=r"(005\.jpg|record 6).*cannot be read as an image"):
        data.images("train")
    skipping = type(data)(**{**options_of(data), "on_error": "skip"})
    assert len(skipping.images("train")) == len(skipping.truth("train")) == 9
    assert skipping.skipped == {"damaged images": 1}
    assert [len(t) for t in skipping.truth("train")] == [1, 2, 1, 2, 1, 1, 2, 1, 2]


def test_a_fault_in_one_part_stops_before_another_is_learned(write, tmp_path):
    scenes = some()
    data = write(scenes, holdout=0.3)
    held = data.checked().parts["valid"][0][1]
    number = int("".join(c for c in held.where.rpartition("/")[2] if c.isdigit()))
    number -= write.form == "records"  # which are counted from 1
    scenes[number] = (scenes[number][0], {"image": b"no image"})
    for name in ("images", "JPEGImages", "Annotations"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    with pytest.raises(DataError, match="cannot be read as an image"):
        write(scenes, holdout=0.3).batches("train", 4)


def test_an_image_with_nothing_left_goes(write):
    scenes = some()
    scenes[2] = ([("dog", (9, 9, 9, 30), 0), ("yak", (9, 9, 20, 30), 0)], {})
    data = write(scenes, holdout=0.0, on_error="skip")
    assert len(data.truth("train")) == 9
    assert data.skipped == {
        "objects without area": 1,
        "objects of an unknown class": 1,
        "images with no object left": 1,
    }


def test_an_image_without_objects_stays(write):
    scenes = some()
    scenes[2] = ([], {})
    data = write(scenes, holdout=0.0)
    assert [len(t) for t in data.truth("train")][2] == 0
    _, labels = next(data.batches("train", 10).epoch())
    assert (labels.asnumpy()[:, 0, 0] == -1).sum() == 1


def test_nothing_to_learn_from(write):
    with pytest.raises(ConfigError, match="no object to learn from"):
        write([([], {}), ([], {})], holdout=0.0).truth("train")


def test_all_is_wrong(write):
    scenes = [([("yak", (9, 9, 20, 30), 0)], {})] * 3
    with pytest.raises(ConfigError, match=r"no image is left .*3 objects of an unknown class"):
        write(scenes, holdout=0.0, on_error="skip").truth("train")


def test_difficult_objects_and_crowds(write):
    flag = 2 if write.form == "coco" else 1
    scenes = some(4)
    scenes[1] = ([("dog", (5, 6, 31, 30), flag), ("cat", (50, 10, 76, 38), 0)], {})
    data = write(scenes, holdout=0.0)
    assert data.truth("train")[1][:, 5].tolist() == [flag, 0]
    learned = data.labels("train")[1][:, 0].tolist()
    assert learned[:2] == ([0, -1] if flag == 2 else [1, 0])  # crowds are not learned
    assert data.most == 2


def test_more_than_memory_holds(write, monkeypatch):
    data = write(some(), holdout=0.0)
    monkeypatch.setattr(
        "os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 30}[name]
    )
    with pytest.raises(ConfigError, match=r"10 images of 64x64 take 0\.0 GB"):
        data.images("train")


def test_options_are_readable():
    for target in ("coco:Coco", "voc:Voc", "record:Records", "record:Pikachu", "shapes:Shapes"):
        options = signature(f"dope.plugins.vision.{target}").options
        assert {"size", "augment", "mirror", "crop", "jitter"} <= set(options)
        assert ("on_error" in options) == (target != "shapes:Shapes")


# COCO alone


def coco_folder(tmp_path, parts):
    """annotations/instances_*.json and folders of images, as cocodataset.org has them."""
    (tmp_path / "annotations").mkdir()
    for k, (part, n) in enumerate(parts.items()):
        (tmp_path / part).mkdir()
        content = {"images": [], "annotations": [], "categories": [{"id": 4, "name": "cat"}]}
        for i in range(n):
            name = f"{k}{i}.jpg"
            picture(i).save(tmp_path / part / name)
            content["images"].append({"id": i, "file_name": name, "width": 80, "height": 40})
            row = {"id": i, "image_id": i, "category_id": 4, "bbox": [1, 2, 3, 4]}
            content["annotations"].append(row)
        (tmp_path / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))


def test_coco_folders(tmp_path):
    coco_folder(tmp_path, {"train2017": 3, "val2017": 2})
    data = Coco(path=tmp_path, size=32)
    assert len(data.truth("train")) == 3 and len(data.truth("valid")) == 2
    assert np.allclose(data.truth("valid")[0], [[0, 1 / 80, 2 / 40, 4 / 80, 6 / 40, 0]])
    assert data.images("train").shape == (3, 32, 32, 3)
    other = tmp_path / "annotations" / "instances_train2014.json"
    other.write_text((tmp_path / "annotations" / "instances_train2017.json").read_text())
    with pytest.raises(ConfigError, match=r"several files of the part train.*2014.*2017"):
        Coco(path=tmp_path).truth("train")


def test_coco_exports_of_labelling_tools(tmp_path):
    coco_folder(tmp_path, {"train": 3, "valid": 2})
    for part in ("train", "valid"):
        file = tmp_path / "annotations" / f"instances_{part}.json"
        file.rename(tmp_path / part / "_annotations.coco.json")
    data = Coco(path=tmp_path, size=32)
    assert len(data.truth("train")) == 3 and len(data.truth("valid")) == 2


def test_coco_classes_that_are_not_asked_for(tmp_path):
    data = Writer(tmp_path, "coco")(some(), holdout=0.0, classes=["cat"])
    assert data.classes == ["cat"] and data.skipped == {"objects of classes not asked for": 10}
    assert [len(t) for t in data.truth("train")] == [0, 1] * 5
    with pytest.raises(ConfigError, match=r"'catt' is no class") as caught:
        Coco(path=tmp_path / "all.json", classes=["catt"]).truth("train")
    assert "'cat'" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"annotations": None}, "no list 'annotations'"),
        ({"images": [3]}, "no list 'images' of objects"),
        ({"images": [{"id": 1}]}, r"image 1: has no 'file_name'"),
        ({"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}, "another image's"),
        ({"images": [{"id": 1, "file_name": "../../etc/passwd"}]}, "leads out of"),
        ({"images": [{"id": 1, "file_name": "/etc/passwd"}]}, "leads out of"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}, "two categories"),
        ({"annotations": [{"image_id": 77, "category_id": 3}]}, "no image has the id 77"),
        ({"annotations": [{"image_id": 1000, "category_id": 3}]}, "is not four numbers"),
        (
            {"annotations": [{"image_id": 1000, "category_id": 3, "bbox": [1, 2, "x", 4]}]},
            "is not four numbers",
        ),
        (
            {"annotations": [{"image_id": 1000, "category_id": 3, "bbox": [1, 2, 1e400, 4]}]},
            "is not four numbers",
        ),
        (
            {"annotations": [{"image_id": 1000, "category_id": [3], "bbox": [1, 2, 3, 4]}]},
            "no class",
        ),
    ],
)
def test_broken_coco_files(tmp_path, change, said):
    data = Writer(tmp_path, "coco")(some(), holdout=0.0)
    content = json.loads(data.path.read_text())
    content.update(change)
    data.path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=said):
        data.truth("train")


def test_coco_not_json(tmp_path):
    (tmp_path / "a.json").write_text('{"images": [')
    with pytest.raises(DataError, match=r"a\.json cannot be read as JSON"):
        Coco(path=tmp_path / "a.json").truth("train")
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="cannot be read as JSON"):
        Coco(path=tmp_path / "a.json").truth("train")


def test_an_image_of_another_size_than_annotated(tmp_path):
    scenes = some()
    scenes[1] = (scenes[1][0], {"row": {"width": 640, "height": 480}})
    data = Writer(tmp_path, "coco")(scenes, holdout=0.0)
    with pytest.raises(DataError, match=r"001\.jpg has 80x40 pixels, its annotation says 640x480"):
        data.images("train")
    skipping = Coco(path=data.path, size=64, holdout=0.0, on_error="skip")
    assert len(skipping.images("train")) == 9
    assert skipping.skipped == {"images of another size": 1}


@pytest.mark.parametrize("turned", [True, False])
def test_a_photograph_that_lies_on_its_side(tmp_path, turned):
    """The annotation is of the image as shown, or as stored; its size says which."""
    upright = np.zeros((80, 40, 3), np.uint8)
    upright[10:30, 5:15] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    size = {"width": 40, "height": 80} if turned else {"width": 80, "height": 40}
    box = [5, 10, 10, 20] if turned else [10, 25, 20, 10]
    content = {
        "images": [{"id": 0, "file_name": "a.jpg", **size}],
        "annotations": [{"image_id": 0, "category_id": 1, "bbox": box}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    data = Coco(path=tmp_path / "a.json", size=80, holdout=0.0)
    left, top, right, bottom = np.rint(data.truth("train")[0][0, 1:5] * 80).astype(int)
    image = data.images("train")[0][..., 0] > 127
    assert image[top:bottom, left:right].mean() > 0.9 and image.sum() < 1.1 * (20 * 20)


# VOC alone


def test_voc_lists_and_folders_above(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    root.mkdir(parents=True)
    Writer(root, "voc")(some())
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for name, rows in (("train", "000\n001  1\n\n002\n"), ("val", "003\n004\n"), ("test", "")):
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text(rows)
    data = Voc(path=tmp_path, size=64)
    assert data.classes == ["cat", "dog"]
    assert len(data.truth("train")) == 3 and len(data.truth("valid")) == 2
    assert data.truth("test") is None
    (root / "ImageSets" / "Main" / "val.txt").write_text("002\n003\n")
    with pytest.raises(ConfigError, match=r"002\.jpg is in both train and valid"):
        Voc(path=tmp_path).truth("train")
    with pytest.raises(ConfigError, match=r"there is no list .*trainval"):
        Voc(path=tmp_path, train_list="trainval").truth("train")
    (root / "ImageSets" / "Main" / "val.txt").write_text("999\n")
    with pytest.raises(DataError, match=r"there is no annotation .*999\.xml"):
        Voc(path=tmp_path).truth("train")


def test_voc_xml_beside_images(tmp_path):
    Writer(tmp_path, "voc")(some())
    for file in [*(tmp_path / "Annotations").iterdir(), *(tmp_path / "JPEGImages").iterdir()]:
        file.rename(tmp_path / file.name)
    (tmp_path / "Annotations").rmdir()
    (tmp_path / "JPEGImages").rmdir()
    data = Voc(path=tmp_path, size=64, one_based=False)
    assert len(data.truth("train")) == 8
    left = sorted(float(t[0, 1] * 80) for t in data.truth("train") + data.truth("valid"))
    assert np.allclose(left, np.arange(10) + 5)


def test_voc_without_size_and_name(tmp_path):
    scenes = some()
    box = "<bndbox><xmin>9</xmin><ymin>5</ymin><xmax>40</xmax><ymax>20</ymax></bndbox>"
    scenes[0][1]["xml"] = f"<annotation><object><name>dog</name>{box}</object></annotation>"
    data = Writer(tmp_path, "voc")(scenes, holdout=0.0)
    assert np.allclose(data.truth("train")[0], [[1, 8 / 80, 4 / 40, 40 / 80, 20 / 40, 0]])


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<annotation><filename>&b;</filename></annotation>"""
THIEF = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<annotation><filename>&a;</filename></annotation>"""


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        (BOMB, r"003\.xml declares a document type"),
        (THIEF, r"003\.xml declares a document type"),
        ("<annotation>", r"003\.xml cannot be read as XML \(no element found"),
        ("", "cannot be read as XML"),
        ("<annotation>\0</annotation>", "cannot be read as XML"),
        ("<annotation>&unknown;</annotation>", "cannot be read as XML"),
    ],
)
def test_voc_xml_that_is_refused(tmp_path, xml, said):
    scenes = some()
    scenes[3][1]["xml"] = xml
    data = Writer(tmp_path, "voc")(scenes, holdout=0.0)
    with pytest.raises(DataError, match=said):
        data.truth("train")
    skipping = Voc(path=tmp_path, size=64, holdout=0.0, on_error="skip")
    assert len(skipping.truth("train")) == 9 and skipping.skipped == {"broken annotations": 1}


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/passwd", "C:\\a\\003.jpg", "", ".."])
def test_voc_names_stay_in_the_folder(tmp_path, name):
    picture(0).save(tmp_path / "secret.jpg")
    box = "<bndbox><xmin>9</xmin><ymin>5</ymin><xmax>40</xmax><ymax>20</ymax></bndbox>"
    scenes = some()
    scenes[3][1]["xml"] = (
        f"<annotation><filename>{name}</filename><object><name>dog</name>{box}</object>"
        "</annotation>"
    )
    (tmp_path / "in").mkdir()
    data = Writer(tmp_path / "in", "voc")(scenes, holdout=0.0)
    for sheet in data.checked().parts["train"][0]:
        assert sheet.image.parent == tmp_path / "in" / "JPEGImages"
    assert data.checked().parts["train"][0][3].image.name == "003.jpg"


def test_voc_boxes_that_are_no_numbers(tmp_path):
    scenes = some()
    box = "<bndbox><xmin>nine</xmin><ymin>5</ymin><xmax>40</xmax></bndbox>"
    scenes[3][1]["xml"] = f"<annotation><object><name>dog</name>{box}</object></annotation>"
    data = Writer(tmp_path, "voc")(scenes, holdout=0.0)
    with pytest.raises(DataError, match=r"object 1 \(dog\): its box .*nine.* is not four numbers"):
        data.truth("train")


def test_no_folder():
    for made in (Voc(path="/nowhere/x"), Coco(path="/nowhere/x"), Records(path="/nowhere/x")):
        with pytest.raises(ConfigError, match=r"there is no .*/nowhere/x"):
            made.truth("train")


# RecordIO alone


def rec(tmp_path, contents):
    file = mx.recordio.MXRecordIO(str(tmp_path / "a.rec"), "w")
    for content in contents:
        file.write(content)
    file.close()
    return tmp_path / "a.rec"


def test_records_as_mxnet_writes_them(tmp_path):
    """Also those that hold the four bytes with which a record begins, which are cut there."""
    joint = struct.pack("<I", MAGIC)
    contents = [b"a", b"1234", b"", joint, b"abcd" + joint + b"x", b"12" + joint, joint * 3 + b"yy"]
    file = rec(tmp_path, contents)
    assert [bytes(record) for record in read_records(file)] == contents
    reader = mx.recordio.MXRecordIO(str(file), "r")
    assert [reader.read() for _ in contents] == contents


def test_damaged_records(tmp_path):
    file = rec(tmp_path, [b"a" * 50, b"b" * 50])
    whole = file.read_bytes()
    for content, said in (
        (whole[:-20], "cut short: its record at byte 60"),
        (whole[:64], "cut short after byte 60"),
        (b"\0" * 60, "it is no RecordIO file"),
        (whole[:60] + b"\1" * 60, "no record begins at byte 60"),
        (b"", "is empty"),
        (struct.pack("<II", MAGIC, 1 << 29 | 4) + b"1234", "does not end"),
        (struct.pack("<II", MAGIC, 3 << 29 | 4) + b"1234", "out of order"),
        (struct.pack("<II", MAGIC, 5 << 29 | 4) + b"1234", "has the mark 5"),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=said):
            read_records(file)
        with pytest.raises(DataError, match=said):
            Records(path=file).truth("train")


def packed(label):
    return mx.recordio.pack(mx.recordio.IRHeader(0, label, 0, 0), b"image")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"short", "record 1 has 5 bytes"),
        (struct.pack("<IfQQ", 1 << 30, 0, 0, 0), "announces 1073741824 numbers"),
        (packed(3.0), "is none of objects with boxes"),
        (packed([2, 5, 0, 0.1, 0.1, 0.2]), "is none of objects with boxes"),
        (packed([2, 4, 0, 0.1, 0.1, 0.2]), "is none of objects with boxes"),
        (packed([9, 5, 0, 0.1, 0.1, 0.2]), "is none of objects with boxes"),
        (packed([np.nan, 5, 0, 0.1, 0.1, 0.2, 0.2]), "is none of objects with boxes"),
        (packed([2, 5, 0.5, 0.1, 0.1, 0.2, 0.2]), "object 1: 0.5 is no class"),
    ],
)
def test_records_without_objects(tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        Records(path=rec(tmp_path, [content])).truth("train")


def test_records_with_rows_that_fill_up(tmp_path):
    picture(0).save(tmp_path / "a.png")
    label = [2, 5, 1, 0.1, 0.2, 0.5, 0.6, -1, -1, -1, -1, -1]
    header = mx.recordio.IRHeader(0, label, 0, 0)
    content = mx.recordio.pack(header, (tmp_path / "a.png").read_bytes())
    data = Records(path=rec(tmp_path, [content] * 5), size=32)
    assert data.classes == ["class 0", "class 1"] and data.most == 1
    assert np.allclose(data.truth("train")[0], [[1, 0.1, 0.2, 0.5, 0.6, 0]])


def test_records_and_an_index_of_others(tmp_path):
    data = Writer(tmp_path, "records")(some())
    index = tmp_path / "a.idx"
    index.write_text("\n".join(index.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(DataError, match=r"a\.rec has 10 records, but a\.idx lists 9"):
        data.truth("train")


def test_pikachu(tmp_path):
    Writer(tmp_path, "records")([([("cat", (8, 4, 40, 20), 0)], {})] * 4)
    with pytest.raises(ConfigError, match=r"train\.rec, val\.rec not in") as caught:
        Pikachu(path=tmp_path).truth("train")
    assert "dataset.download=true" in caught.value.hint
    (tmp_path / "a.rec").rename(tmp_path / "pikachu_train.rec")
    (tmp_path / "val.rec").write_bytes((tmp_path / "pikachu_train.rec").read_bytes())
    data = Pikachu(path=tmp_path, size=256)
    assert data.classes == ["pikachu"]
    assert len(data.truth("train")) == len(data.truth("valid")) == 4


def test_pikachu_is_fetched_and_checked(tmp_path, monkeypatch):
    import pooch

    asked = []

    def retrieve(url, known_hash, fname, path):
        asked.append((url, known_hash))
        raise ValueError("SHA1 hash of downloaded file does not match")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(DataError, match=r"train\.rec could not be fetched \(SHA1"):
        Pikachu(path=tmp_path, download=True).truth("train")
    ((url, known),) = asked
    assert url.endswith("/pikachu/train.rec")
    assert known == "sha1:e6bcb6ffba1ac04ff8a9b1115e650af56ee969c8"

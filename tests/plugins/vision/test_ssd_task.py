"""The task that detects: its losses, that it learns, what it draws and what it predicts.

Holds nothing of boxes alone; that is in ``test_ssd_boxes.py``.
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dope.cli import cli
from dope.core.backend import mx, nd
from dope.core.engine import Engine
from dope.core.errors import ConfigError
from dope.plugins.vision import detection_plots, ssd_losses
from dope.plugins.vision.matching import targets
from dope.plugins.vision.ssd import Detector
from dope.plugins.vision.ssd_net import SSD

SMALL = {"body": (8, 16), "stages": (16, 16, 16), "depth": 1, "norm": "none"}


class Squares:
    """A bright square on a dark ground, of one of two colours."""

    shape, classes = (3, 64, 64), ["red", "blue"]

    def __init__(self, n: int) -> None:
        rng = np.random.default_rng(0)
        self.pixels = np.zeros((n, 64, 64, 3), np.uint8)
        self.labels = np.full((n, 2, 5), -1, np.float32)
        for image, rows in zip(self.pixels, self.labels):
            side, kind = int(rng.integers(14, 30)), int(rng.integers(2))
            left, top = rng.integers(0, 64 - side, 2)
            image[top : top + side, left : left + side, 2 * kind] = 220
            rows[0] = kind, left / 64, top / 64, (left + side) / 64, (top + side) / 64

    def to_input(self, pixels):
        return pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255

    def truth(self, split):
        return [np.r_[rows[0], 0][None] for rows in self.labels] if split == "valid" else None

    def images(self, split):
        return self.pixels if split == "valid" else None


def task_of(dataset, **options):
    task = Detector(**options)
    task.dataset, task.model = dataset, lambda d: SSD(d, **SMALL)
    task.criterion = ssd_losses.HardNegatives()
    task.optimizer = {"name": "adam", "learning_rate": 0.01}
    task.options = SimpleNamespace(clip=None, batch_size=16)
    return task


@pytest.mark.parametrize("per", ["matched", "boxes"])
def test_the_loss_is_that_of_loops(per):
    rng = np.random.default_rng(1)
    task = task_of(Squares(1), per=per, box_weight=2.0)
    A = len(task.build().anchors)
    scores, found = rng.normal(size=(2, A, 3)), rng.normal(size=(2, A, 4))
    classes, offsets = np.zeros((2, A)), rng.normal(size=(2, A, 4))
    classes[0, :7] = 2  # the other image has no object
    given = [nd.array(each) for each in (scores, found, classes, offsets)]
    losses = {key: value.asnumpy() for key, value in task.compare(*given).items()}
    of_classes = task.criterion(given[0], given[2]).asnumpy()
    for i, count in enumerate((7, 0)):
        error = np.abs(found - offsets)[i][classes[i] > 0]
        smooth = np.where(error < 1, error**2 / 2, error - 0.5).sum()
        by = (max(count, 1), max(count, 1)) if per == "matched" else (A, 4 * A)
        wanted = of_classes[i] / by[0] + 2 * smooth / by[1]
        assert losses["loss"][i] == pytest.approx(wanted, rel=1e-4)
        assert losses["box_mae"][i] == pytest.approx(error.sum() / (4 * A), rel=1e-4)
        right = (scores[i].argmax(-1) == classes[i]).mean()
        assert losses["box_accuracy"][i] == pytest.approx(right, rel=1e-5)


def test_it_learns_to_find_squares():
    dataset = Squares(48)
    task = task_of(dataset)
    mx.random.seed(3)
    net = task.build()
    engine = Engine(net, task.groups(net), [mx.cpu(0), mx.cpu(1)])
    images, wanted = dataset.to_input(dataset.pixels), targets(net.anchors, dataset.labels)
    batch = tuple(nd.array(each) for each in (images, *wanted))
    task.data = lambda split: [batch]
    before = task.evaluate(engine)
    for _ in range(60):
        engine.minimize("main", task.loss, batch)
    after = task.evaluate(engine)
    assert before["valid_map@50"] < 0.2 and after["valid_map@50"] > 0.9
    assert after["valid_loss"] < 0.3 * before["valid_loss"]
    # what is said of images one by one is what evaluation saw
    found = task.find(net, dataset.pixels[:4], 0.1, 0.45)
    for rows, labels in zip(found, dataset.labels):
        assert rows[0, 0] == labels[0, 0]
        assert np.abs(rows[0, 2:] - labels[0, 1:]).max() < 0.12


def test_options_out_of_range_are_refused():
    for options in ({"matched": 0.0}, {"box_weight": -1.0}, {"overlap": 1.5}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            Detector(**options)


def test_curves_end_where_all_is_found():
    truth = [np.array([[0, 0.1, 0.1, 0.5, 0.5, 0]]), np.array([[0, 0.2, 0.2, 0.6, 0.6, 0]])]
    found = [
        np.array([[0, 0.9, 0.1, 0.1, 0.5, 0.5], [0, 0.8, 0.6, 0.6, 0.9, 0.9]]),
        np.array([[0, 0.7, 0.2, 0.2, 0.6, 0.6]]),
    ]
    (curve,) = detection_plots.curves_of(truth, found, 1)
    assert curve.total == 2
    np.testing.assert_allclose(curve.recall, [0.5, 0.5, 1.0])
    np.testing.assert_allclose(curve.precision, [1.0, 0.5, 2 / 3])


def test_a_found_box_is_drawn_where_it_is(tmp_path):
    image = np.full((100, 200, 3), 255, np.uint8)
    boxes = np.array([[0, 0.9, 0.25, 0.5, 0.75, 0.9]])
    path = detection_plots.drawn(tmp_path / "drawn.png", image, boxes, ["thing"])
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    height, width = pixels.shape[:2]
    assert width == 2 * height
    blue = np.abs(pixels - [0, 0x72, 0xB2]).sum(-1) < 30
    rows, columns = np.nonzero(blue[int(0.55 * height) :])
    assert columns.min() / width == pytest.approx(0.25, abs=0.02)
    assert columns.max() / width == pytest.approx(0.75, abs=0.02)
    assert rows.max() / height + 0.55 == pytest.approx(0.9, abs=0.02)


def test_images_of_ones_own_are_predicted_on_the_command_line(tmp_path):
    def dope(*words):
        found = CliRunner().invoke(cli, [*words, "--runs", str(tmp_path / "runs")])
        assert found.exit_code == 0, found.output
        return found.output

    dope("run", "vision.ssd", "--profile", "tiny", "--contexts", "cpu(0)")
    (run,) = (tmp_path / "runs" / "vision.ssd").glob("*")
    assert (run / "plots" / "precision-recall.png").is_file()
    assert (run / "plots" / "detections.png").is_file()
    assert len(list((run / "samples").glob("*.png"))) == 2
    result = json.loads((run / "result.json").read_text())
    assert 0 <= result["metrics"]["valid_map@50"] <= 1
    image = tmp_path / "own.png"
    Image.fromarray(np.full((90, 160, 3), 120, np.uint8)).save(image)
    words = ["predict", str(run), "--input", str(image), str(image)]
    found = json.loads(dope(*words, "--threshold", "0.05", "--overlap", "0.3", "--json"))
    assert {row["image"] for row in found["rows"]} == {str(image)}
    assert len(found["files"]) == len(set(found["files"])) == 2
    for row in found["rows"]:
        assert row["class"] is None or row["probability"] >= 0.05
        assert row["class"] is None or 0 <= row["left"] <= row["right"] <= 160


def test_what_was_left_out_of_the_data_is_said_and_counted(tmp_path):
    rows = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "square"}]}
    for i in range(12):
        image = np.full((64, 64, 3), 30, np.uint8)
        image[10:40, 10:40] = 220
        Image.fromarray(image).save(tmp_path / f"{i}.png")
        size = {"width": 64, "height": 64}
        rows["images"].append({"id": i, "file_name": f"{i}.png", **size})
        box = [10, 10, 30, 0 if i < 2 else 30]  # two have no area
        rows["annotations"].append({"id": i, "image_id": i, "category_id": 1, "bbox": box})
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:60])
    (tmp_path / "all.json").write_text(json.dumps(rows))
    data = ["dataset=vision.coco", f"dataset.path={tmp_path / 'all.json'}", "dataset.size=64"]
    words = ["run", "vision.ssd", "--profile", "tiny", *data, "--runs"]
    refused = CliRunner().invoke(cli, [*words, str(tmp_path / "refused"), "--quiet"])
    assert refused.exit_code != 0 and "all.json" in refused.output
    runs, skipping = tmp_path / "runs", ["dataset.on_error=skip", "trainer.epochs=1"]
    done = CliRunner().invoke(cli, [*words, str(runs), *skipping])
    assert done.exit_code == 0, done.output
    assert "note: left out: 2 " in done.output
    (result,) = runs.glob("*/*/result.json")
    assert json.loads(result.read_text())["metrics"]["skipped"] == {
        "objects without area": 2,
        "images with no object left": 2,
        "damaged images": 1,
    }
    assert len((result.parent / "skipped.txt").read_text().splitlines()) == 3

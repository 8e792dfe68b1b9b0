"""The task that predicts a column of a table: a number or a class, beside a trivial guess.

Holds the task; columns and targets are in encoding.py and target.py, pictures in table_plots.py.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Optional, Tuple

import numpy as np

from dope.core.backend import mx, nd
from dope.core.errors import ConfigError, DataError
from dope.core.exporting.declaring import Exported, Input
from dope.core.rundir import RunDirectory
from dope.core.task import Task, compiled
from dope.plugins.tabular import table_plots
from dope.plugins.tabular.columns import unknown
from dope.plugins.tabular.encoding import Encoded
from dope.plugins.tabular.table import Table
from dope.plugins.tabular.target import (
    CLASSIFICATION,
    HIGHEST,
    classification_figures,
    regression_figures,
    trivial,
)

WHOLE = 4096  # rows that are predicted together


class TableTask(Task):
    """Predict a column of a table: a number, or a class.

    Without ``loss`` the loss is half the squared error of a scaled number, or the cross-entropy of
    a class.

    Parameters
    ----------
    importance
        Times that each column is shuffled to see how much worse predictions become; 0 leaves that
        out.
    """

    captions: ClassVar[Mapping[str, Any]] = {
        "predictions": (
            "Points near the line are right. On the right, look for a bend or a fan: errors "
            "that depend on the prediction say that the target should be transformed or the "
            "model be larger."
        ),
        "importance": (
            "How much worse predictions get when a column is shuffled. A column that is "
            "surprisingly high may leak the target; columns that say the same share their "
            "importance."
        ),
        "confusion": (
            "Rows are true classes, columns predicted ones: blue on the diagonal is right, "
            "orange is what is taken for what."
        ),
    }
    defaults: ClassVar[Mapping[str, Any]] = {
        "dataset": "tabular.csv",
        "model": "tabular.wide_deep",
        "loss": None,
        "optimizer": {"name": "adam", "learning_rate": 0.003, "wd": 0.01},
        "trainer": {"epochs": 40, "batch_size": 64, "schedule": "cosine", "evaluate_every": 5},
    }
    profiles: ClassVar[Mapping[str, Any]] = {
        "quick": {},
        "book": {
            "model": {"name": "tabular.linear", "init": "zero"},
            "optimizer": {"name": "adam", "learning_rate": 0.1},
            "trainer": {"epochs": 100, "batch_size": 100, "schedule": "constant"},
        },
        "tiny": {
            "model": {"name": "tabular.wide_deep", "hidden": [8], "members": 2},
            "trainer": {"epochs": 2, "evaluate_every": 1},
        },
    }
    contract: ClassVar[Mapping[str, Any]] = {
        # what is dropped is drawn anew for each context and form of the network
        "contexts": {"model": {"dropout": 0.0, "input_dropout": 0.0}},
        "hybrid": {"model": {"dropout": 0.0, "input_dropout": 0.0}},
    }
    threads = 1  # the products are too small to share

    def __init__(self, *, importance: int = 1) -> None:
        if importance < 0:
            raise ConfigError(f"task.importance={importance} is out of range", "It is 0 or more.")
        self.importance = importance

    def prepare(self) -> None:
        """Read the tables; a trained model can do without them."""
        data = self.dataset
        data.read()
        if self.options.folds > 1 and not data.folded:
            data.use_all()
        self.chosen = self.criterion is None
        if data.absent is None:
            self._fit_loss()

    def _fit_loss(self) -> None:
        """The loss that goes with the target, where none was chosen."""
        if self.chosen:
            losses = mx.gluon.loss
            classes = self.dataset.target.kind == CLASSIFICATION
            self.criterion = losses.SoftmaxCrossEntropyLoss() if classes else losses.L2Loss()

    def build(self) -> Any:
        """The network. How many inputs it has is left to the data, or to the checkpoint.

        A run that is loaded has its own columns, whatever the file holds by then, if it is there.
        """
        try:
            self._net = self.model(self.dataset)
        except (ValueError, AttributeError):
            if self.dataset.absent is not None:
                raise self.dataset.absent from None
            raise
        for layer in _dense(self._net):
            if layer.weight.shape[1] == self.dataset.shape[0]:
                layer.weight._shape = (layer.weight.shape[0], 0)
        return self._net

    @property
    def takes(self) -> Sequence[str]:
        """Which fields of encoded rows the model takes."""
        return getattr(self._net, "takes", ("together",))

    def data(self, split: str) -> Optional[Any]:
        """The batches of a part."""
        return self.dataset.batches(split, self.options.batch_size, self.takes)

    @compiled
    def loss(self, nets: Any, shard: Any, carry: Any) -> Any:
        """The loss of each row, the mean over members: (n,)."""
        *inputs, target = shard
        output = nets(*inputs)
        members = getattr(nets, "members", 1)
        if members > 1:
            target = target.reshape((-1, 1)).tile((1, members))
        return self.criterion(output, target)

    def evaluate(self, engine: Any) -> dict[str, float]:
        """The loss, and figures in the target's own unit, of the members' mean."""
        figures = super().evaluate(engine)
        for split in ("valid", "test"):
            if self.dataset.rows(split) is not None:
                found = self.figures(split, self._of(split, engine.nets))
                figures.update({f"{split}_{name}": value for name, value in found.items()})
        return figures

    def figures(self, split: str, predicted: np.ndarray) -> dict[str, float]:
        """Figures of merit of predictions of a part."""
        values = self.dataset.values(split)
        if self.dataset.target.kind == CLASSIFICATION:
            return classification_figures(values, predicted)
        return regression_figures(values, predicted)

    def _of(self, split: str, nets: Any) -> np.ndarray:
        arrays = self.dataset.arrays(split, self.takes)
        return self._outputs(nets, arrays[:-1])

    def predicted(self, nets: Any, encoded: Encoded) -> np.ndarray:
        """Values (n,), or probabilities of classes (n, K), of rows."""
        return self._outputs(nets, encoded.fields(self.takes))

    def _outputs(self, nets: Any, inputs: Sequence[np.ndarray]) -> np.ndarray:
        context = next(iter(nets.collect_params().values())).list_ctx()[0]
        found = []
        for start in range(0, len(inputs[0]), WHOLE):
            some = [nd.array(each[start : start + WHOLE], ctx=context) for each in inputs]
            found.append(nets(*some).asnumpy().astype(float))
        out = np.concatenate(found)
        target = self.dataset.target
        if target.kind != CLASSIFICATION:
            return target.unscaled(out.reshape(len(out), -1).mean(axis=1))
        out = np.exp(out - out.max(axis=-1, keepdims=True))
        shares = out / out.sum(axis=-1, keepdims=True)
        return shares.reshape(len(out), -1, target.outputs).mean(axis=1)

    def exports(self, nets: Any) -> Sequence[Exported]:
        """Encoded rows to values in the target's own unit, or to probabilities of classes."""
        target, data = self.dataset.target, self.dataset
        rows = self.examples_of("valid", "train")[:-1]
        meaning = "rows encoded as export.json says under columns; positions are those of its parts"
        inputs = [Input(name, array, meaning) for name, array in zip(self.takes, rows)]

        def values(*given: Any) -> Any:
            out = nets(*given).reshape((0, -1)).mean(axis=1) * target.sd + target.mean
            return out.clip(-np.inf, HIGHEST).exp() if target.log else out

        def shares(*given: Any) -> Any:
            out = nets(*given).reshape((0, -1, target.outputs))  # (n, M, K)
            return out.softmax(axis=-1).mean(axis=1)

        classes = target.kind == CLASSIFICATION
        spans = data.encoding(data.part("train")).spans
        positions = {
            name: dict(zip(("numbers", "words", "codes"), ([s.start, s.stop] for s in spans[name])))
            for name in spans
        }
        facts = {"columns": data.known()["encoding"], "positions": positions}
        if classes:
            facts["classes"] = list(target.classes)
        said = {"probability": "of each class"} if classes else {"value": f"of {target.name}"}
        about = f"Predicts {target.name}."
        compute = shares if classes else values
        return [Exported([nets], compute, inputs, said, about=about, facts=facts)]

    def state(self) -> Mapping[str, np.ndarray]:
        """What was learned of columns and target: JSON, as bytes."""
        text = json.dumps(self.dataset.known())
        return {"columns": np.frombuffer(text.encode("utf-8"), dtype=np.uint8)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go back to the columns and target of the run, whatever the files hold by now."""
        self.dataset.remember(json.loads(arrays["columns"].tobytes().decode("utf-8")))
        self._fit_loss()
        for layer in _dense(self._net):
            layer._units = layer.weight.shape[0]  # 0 where it was left to the checkpoint

    def report(self, nets: Any, run: RunDirectory) -> dict[str, Any]:
        """How columns were taken, a trivial guess beside the model, tables and pictures."""
        data, split = self.dataset, "valid" if self.dataset.rows("valid") is not None else "test"
        run.write_json("columns.json", data.known())
        run.write_text("columns.csv", _as_csv(self._columns()))
        taken = {kind: ", ".join(names) for kind, names in data.grouped().items()}
        found: dict[str, Any] = {
            "target": f"{data.target.name}: {data.target.kind} ({data.target_why})",
            "columns": taken,
        }
        skipped = [line for table in (data.table, data.more) if table for line in table.skipped]
        if skipped:
            found["skipped_lines"] = len(skipped)
            run.write_text("skipped.txt", "\n".join(skipped) + "\n")
        if data.rows(split) is not None:
            shares = self._importance(nets, split) if self.importance else {}
            self._write(run, split, self._of(split, nets), shares)
            guess = trivial(data.target, data.values("train"), data.values(split))
            found["simpler"] = {_trivial_name(data): {f"{split}_{k}": v for k, v in guess.items()}}
            self._draw(run, [run.path], "held-out rows")
        folds = [run.path / "folds" / str(i) for i in range(1, self.options.folds + 1)]
        if self.options.folds > 1 and not data.folded:
            found["simpler"] = {_trivial_name(data): self._trivial_folds(run)}
            self._draw(run, folds, "rows, each held out by one fold")
        return found

    def _columns(self) -> list[dict[str, Any]]:
        data = self.dataset
        return [
            {
                "column": name,
                "kind": kind,
                "why": why,
                "as": data.encoding.said(name) if name in data.encoding.columns else "not learned",
            }
            for name, (kind, why) in data.taken.items()
        ]

    def _write(
        self, run: RunDirectory, split: str, predicted: np.ndarray, shares: Mapping[str, float]
    ) -> None:
        """Predictions of held-out rows, and what each column is worth, as CSV."""
        table, rows = self.dataset.part(split), self.dataset.rows(split)
        run.write_text("predictions.csv", _as_csv(self.listed(table, rows, predicted)))
        if shares:
            order = sorted(shares.items(), key=lambda item: -item[1])
            pairs = [{"column": name, "importance": value} for name, value in order]
            run.write_text("importance.csv", _as_csv(pairs))

    def listed(self, table: Table, rows: Sequence[int], predicted: np.ndarray) -> list[Any]:
        """Predictions as rows: what names each, what it is where that is known, what is said."""
        data, target = self.dataset, self.dataset.target
        names = data.names_of_rows(table)
        made = []
        for i, said in zip(rows, predicted):
            row: dict[str, Any] = {name: table[name][i] for name in names}
            if not names:
                row["line"] = int(table.lines[i])
            if target.name in table.columns:
                row["is"] = _plain(table[target.name][i])
            if target.kind == CLASSIFICATION:
                row["predicted"] = target.classes[int(said.argmax())]
                row.update({f"p({c})": float(p) for c, p in zip(target.classes, said)})
            else:
                row["predicted"] = float(said)
            made.append(row)
        return made

    def _importance(self, nets: Any, split: str) -> dict[str, float]:
        """By column, how much the error grows when its cells change places: permutation importance.

        The error is the root mean squared error of the scaled target, or the log loss. Breiman,
        "Random Forests" (2001), section 10.
        """
        data, rng = self.dataset, np.random.default_rng(0)
        rows, values = data.rows(split), data.values(split)
        encoded = data.encoding(data.part(split)).taken(rows)

        def error(some: Encoded) -> float:
            found = self.predicted(nets, some)
            if data.target.kind == CLASSIFICATION:
                return classification_figures(values, found)["log_loss"]
            low = values.min() if data.target.log else -np.inf
            wrong = data.target.scaled(np.maximum(found, low)) - data.target.scaled(values)
            return float(np.sqrt((wrong**2).mean()))

        whole, shares = error(encoded), {}
        for name in data.encoding.columns:
            orders = [rng.permutation(len(rows)) for _ in range(self.importance)]
            grown = [error(encoded.moved(name, order)) - whole for order in orders]
            shares[name] = float(np.mean(grown))
        return shares

    def _trivial_folds(self, run: RunDirectory) -> dict[str, float]:
        """The trivial guess on the folds of this run, the mean over them."""
        of, seed = self.options.folds, self._seed(run)
        found = []
        for number in range(1, of + 1):
            fold = self.dataset.fold(number, of, seed)
            found.append(trivial(fold.target, fold.values("train"), fold.values("valid")))
        keys = [key for key in found[0] if all(key in each for each in found)]
        return {f"valid_{key}": float(np.mean([each[key] for each in found])) for key in keys}

    def _seed(self, run: RunDirectory) -> int:
        return int((run.read_json("result.json") or {}).get("settings", {}).get("seed", 0))

    def _draw(self, run: RunDirectory, folders: Sequence[Path], what: str) -> None:
        """The pictures, from what `_write` has written in one folder or in those of all folds."""
        rows = [row for folder in folders for row in _read_csv(folder / "predictions.csv")]
        if not rows:
            return
        target = self.dataset.target
        is_, said = ([row[key] for row in rows] for key in ("is", "predicted"))
        if target.kind == CLASSIFICATION:
            table_plots.confusion(run.plots / "confusion.png", is_, said, target, what)
        else:
            true, found = np.array([is_, said], dtype=float)
            table_plots.predictions(run.plots / "predictions.png", true, found, target, what)
        shares: dict[str, list[float]] = {}
        for folder in folders:
            for row in _read_csv(folder / "importance.csv"):
                shares.setdefault(row["column"], []).append(float(row["importance"]))
        if shares:
            table_plots.importance(run.plots / "importance.png", shares, target, what)

    def predict(
        self, nets: Any, run: RunDirectory, *, inputs: Tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Predict the rows of other files, or those that the run has not learned from.

        Parameters
        ----------
        inputs
            CSV files with the columns that the run was trained on; the target may be absent.
        """
        data = self.dataset
        if not inputs:
            return self._own(nets)
        rows: list[Any] = []
        more: dict[str, Any] = {}
        for each in inputs:
            table = data.open(Path(each))
            unknown(table, list(data.encoding.columns), "the run was trained with it")
            table = data.checked(table)
            known = {*data.taken, data.target.name}
            ignored = [name for name in table.columns if name not in known]
            if not len(table):
                raise DataError(f"{each} has no row that can be predicted", "Mend its lines.")
            encoded = data.encoding(table)
            rows += self.listed(table, range(len(table)), self.predicted(nets, encoded))
            for name, count in encoded.unseen.items():
                unseen = more.setdefault("unseen_words", {})
                unseen[name] = unseen.get(name, 0) + count
            if ignored:
                more["ignored_columns"] = ", ".join(ignored)
            if table.skipped:
                more["skipped_lines"] = more.get("skipped_lines", 0) + len(table.skipped)
        return {"rows": rows, **more}

    def _own(self, nets: Any) -> dict[str, Any]:
        """Rows of the run's own tables: those to predict, else held-out ones, else all."""
        data = self.dataset
        if data.absent is not None:
            raise data.absent
        if data.more is not None:
            rows: Any = range(len(data.more))
            said = self.predicted(nets, data.encoding(data.more))
            return {"rows": self.listed(data.more, rows, said)}
        split = "valid" if data.rows("valid") is not None else "train"
        said = self._of(split, nets)
        return {"rows": self.listed(data.part(split), data.rows(split), said)}


def _trivial_name(data: Any) -> str:
    return "majority" if data.target.kind == CLASSIFICATION else "mean"


def _dense(net: Any) -> list[Any]:
    """All Dense layers of a network."""
    own = [net] if isinstance(net, mx.gluon.nn.Dense) else []
    return own + [layer for child in net._children.values() for layer in _dense(child)]


def _plain(cell: str) -> Any:
    """A cell as a number where it is one that is written again as it stands."""
    try:
        value = float(cell)
    except ValueError:
        return cell
    return value if np.isfinite(value) and len(cell) < 16 else cell


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    from io import StringIO

    out = StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a file that `_as_csv` made; none where it is not there."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))

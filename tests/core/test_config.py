"""Configuration: who wins, what is refused and in which words, round trips, schema.

Reading signatures is tested in test_signature.py.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dope.core.configuring.config import (
    Config,
    TrainerOptions,
    describe,
    describe_part,
    json_schema,
    kind_of,
    resolve,
)
from dope.core.errors import ConfigError, PluginError
from dope.core.plugging.registry import Entry, Registry

CODE = '''
raise RuntimeError("this module must not be imported")
from pathlib import Path
from typing import Annotated, Any, Dict, List, Literal, Optional, Tuple, Union


class Fit:
    """Fit.

    Parameters
    ----------
    horizon
        Steps ahead.
    """

    defaults = {
        "dataset": "toy.air",
        "model": {"name": "toy.net", "seasonal": 12},
        "loss": "toy.nll",
        "optimizer": {"name": "bfgs"},
        "trainer": {"epochs": 60},
    }
    profiles = {
        "quick": {"trainer": {"epochs": 40}},
        "book": {"model": {"seasonal": 4, "width": 9}, "dataset": "toy.csv"},
    }

    def __init__(self, *, horizon: Optional[int] = None, levels: List[float] = [50.0, 95.0]): ...


class Em:
    defaults = {"dataset": "toy.air", "model": "toy.net"}

    def __init__(self): ...


class Air:
    def __init__(self, *, scale: float = 1.0): ...


class Csv:
    def __init__(self, *, path: Path, date: Optional[str] = None, gap: int = 3): ...


class Net:
    """Net.

    Parameters
    ----------
    seasonal
        Period.
    """

    def __init__(
        self,
        *,
        seasonal: int = 1,
        width: int = 8,
        bias: bool = True,
        bend: Literal["relu", "tanh"] = "relu",
        label: str = "x",
        either: Union[int, str] = 0,
        names: List[str] = [],
        size: Tuple[int, int] = (2, 3),
        sizes: Tuple[int, ...] = (1,),
        table: Dict[str, float] = {},
        start: Annotated[float, "allow_inf_nan"] = 0.0,
        rate: float = 0.5,
        free: Any = None,
    ): ...


class Ring:
    def __init__(self, *, radius: float = 2.0): ...


class Wrong:
    def __init__(self, *, x: int = None): ...


class Named:
    def __init__(self, *, name: str = "x"): ...


def nll(mean, label, *, floor: float = 0.0): ...
'''


@pytest.fixture
def registry(tmp_path, monkeypatch):
    (tmp_path / "cfg_code.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    made = Registry()
    for kind, name, target in [
        ("task", "fit", "Fit"),
        ("task", "em", "Em"),
        ("dataset", "air", "Air"),
        ("dataset", "csv", "Csv"),
        ("model", "net", "Net"),
        ("model", "ring", "Ring"),
        ("model", "wrong", "Wrong"),
        ("model", "named", "Named"),
        ("loss", "nll", "nll"),
        ("callback", "bell", "Bell"),
    ]:
        made.add(Entry(kind, f"toy.{name}", f"cfg_code:{target}", f"The {name}", "toy"))
    yield made
    assert "cfg_code" not in sys.modules


def run(registry, *overrides, **options):
    return resolve(registry, "toy.fit", overrides=overrides, **options)


def refused(registry, *overrides, **options):
    """The one line that the user sees."""
    with pytest.raises(ConfigError) as caught:
        run(registry, *overrides, **options)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_profile_and_origins(registry):
    config = run(registry)
    assert list(config.sections) == ["task", "dataset", "model", "loss", "optimizer", "trainer"]
    assert config.sections["task"] == {
        "name": "toy.fit",
        "horizon": None,
        "levels": [50.0, 95.0],
    }
    assert config.sections["optimizer"] == {"name": "bfgs", "tolerance": 0.01, "max_step": 2.0}
    assert config.sections["trainer"]["epochs"] == 40 and "name" not in config.sections["trainer"]
    assert config.part("model") == "toy.net" and config.options("model")["seasonal"] == 12
    assert "name" not in config.options("model")
    origins = config.origins
    assert origins["trainer.epochs"] == "profile quick"
    assert origins["model.seasonal"] == origins["model.name"] == "task default"
    assert origins["model.width"] == "default of toy.net"
    assert origins["trainer.keep"] == "default of trainer"
    assert set(origins) == {f"{s}.{k}" for s, o in config.sections.items() for k in o}


def test_later_sources_win(registry, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("trainer: {epochs: 5, keep: 7}\nmodel: {width: 3}\n")
    config = run(registry, "trainer.epochs=6", file=file)
    assert (config.sections["trainer"]["epochs"], config.sections["trainer"]["keep"]) == (6, 7)
    assert config.sections["model"]["width"] == 3 and config.sections["model"]["seasonal"] == 12
    assert config.origins["trainer.epochs"] == "command line"
    assert config.origins["trainer.keep"] == f"file {file}"
    python = run(registry, overrides_mapping={"model": {"seasonal": 5}}, file=file)
    assert python.sections["model"]["seasonal"] == 5 and python.sections["model"]["width"] == 3


def test_another_part_drops_the_old_part_s_options(registry, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("model: {width: 3}\n")
    config = run(registry, "model=toy.ring", file=file)
    assert config.sections["model"] == {"name": "toy.ring", "radius": 2.0}
    assert config.origins["model.name"] == "command line"
    same = run(registry, "model=toy.net", file=file)
    assert same.sections["model"]["width"] == 3


def test_order_of_arguments_does_not_matter(registry):
    arguments = ["dataset.path=a.csv", "dataset=toy.csv", "dataset.gap=1", "trainer.epochs=2"]
    made = [run(registry, *order) for order in itertools.permutations(arguments)]
    assert made[0].sections["dataset"] == {
        "name": "toy.csv",
        "path": Path("a.csv"),
        "date": None,
        "gap": 1,
    }
    assert all(config == made[0] and config.origins == made[0].origins for config in made)
    assert run(registry, "dataset.name=toy.csv", "dataset.path=a.csv", "dataset.gap=1")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("model.rate=1e-3", 0.001),
        ("model.rate=3", 3.0),
        ("model.rate=.5", 0.5),
        ("model.start=.inf", float("inf")),
        ("model.width=1_000", 1000),
        ("model.bias=false", False),
        ("model.bend=tanh", "tanh"),
        ("model.label=12", "12"),
        ("model.label=null", "null"),
        ("model.label=a=b, [c]: 'd'", "a=b, [c]: 'd'"),
        ("model.label=", ""),
        ("model.either=12", 12),
        ("model.either=auto", "auto"),
        ("model.names=a", ["a"]),
        ("model.names=12,b", ["12", "b"]),
        ("model.names=[12, b]", ["12", "b"]),
        ("model.names=", []),
        ("model.size=4,5", (4, 5)),
        ("model.sizes=[4, 5, 6]", (4, 5, 6)),
        ("model.sizes=4", (4,)),
        ("model.table={a: 1, b: 2.5}", {"a": 1.0, "b": 2.5}),
        ("model.free=[1, x]", [1, "x"]),
        ("task.horizon=24", 24),
        ("task.horizon=none", None),
        ("task.horizon=null", None),
        ("task.levels=50,80,95", [50.0, 80.0, 95.0]),
        ("task.levels=80", [80.0]),
        ("trainer.patience=3", 3),
        ("trainer.checkpoint_every=2", 2),
        ("trainer.checkpoint_every=500steps", "500steps"),
        ("trainer.checkpoint_every=10 minutes", "10 minutes"),
        ("trainer.clip=2", 2.0),
        ("trainer.mode=max", "max"),
    ],
)
def test_values_on_the_command_line(registry, text, value):
    section, _, key = text.partition("=")[0].partition(".")
    found = run(registry, text).sections[section][key]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "trainer.epochs=many",
            "trainer.epochs=many: expected int (a whole number), got 'many'. "
            "See: dope show toy.fit",
        ),
        ("trainer.epochs=3.5", "expected int (a whole number), got 3.5"),
        ("trainer.epochs=true", "expected int (a whole number), got True"),
        ("trainer.epochs='3'", "expected int"),
        ("trainer.epochs=", "expected int (a whole number), got ''"),
        ("trainer.epochs=null", "expected int (a whole number), got 'null'"),
        ("trainer.epochs=010", "expected int"),
        ("trainer.epochs=12:30", "expected int"),
        ("trainer.epochs=-1", "trainer.epochs=-1 is out of range. It is at least 0"),
        ("trainer.clip=0", "trainer.clip=0.0 is out of range. It is above 0"),
        ("trainer.batch_size=0", "trainer.batch_size=0 is out of range. It is at least 1"),
        (
            "trainer.checkpoint_every=true",
            "trainer.checkpoint_every=true is not a time between two",
        ),
        ("trainer.checkpoint_every=0", "trainer.checkpoint_every=0 is not a time between two"),
        ("trainer.checkpoint_every=soon", "Write 2 or '2 epochs', '500 steps', '90 seconds', '10"),
        (
            "trainer.schedule=cosin",
            "expected one of 'constant', 'step', 'cosine', 'linear', 'poly'",
        ),
        ("trainer.schedule=step", "trainer.schedule=step has no milestones. Add trainer.milestone"),
        (
            "trainer.milestones=2",
            "trainer.milestones=[2.0] has no meaning with trainer.schedule=co",
        ),
        ("trainer.patience=few", "expected int (a whole number) or null, got 'few'"),
        ("model.rate=true", "expected float (a number), got True"),
        ("model.rate=.nan", "got nan, which is not finite"),
        ("model.rate=nan", "expected float (a number), got 'nan'"),
        ("model.rate=.inf", "not finite"),
        ("task.levels=50,.nan", "expected list of float"),
        ("task.levels=50,x", "expected list of float, got '50,x'"),
        ("model.bias=1", "expected bool (true or false), got 1"),
        ("model.bend=relo", "expected one of 'relu', 'tanh', got 'relo'"),
        ("model.size=1,2,3", "expected list of int, int, got '1,2,3'"),
        ("model.label=" + "y" * 99 + "\x00", None),
        ("model.table=!!python/object/apply:os.system [ls]", "expected mapping of str to float"),
        ("trainer.epochs", "'trainer.epochs' is not of the form key=value"),
        ("perferences=3", "unknown section 'perferences'. Sections are task, dataset, model"),
        ("trianer.epochs=3", "unknown section 'trianer'. Did you mean 'trainer'?"),
        ("epochs=3", "unknown section 'epochs'. Did you mean 'trainer.epochs'?"),
        (
            "trainer.epoch=3",
            "trainer.epoch=3: trainer has no option 'epoch'. Did you mean 'epochs'? "
            "Its options: epochs, batch_size",
        ),
        ("dataset.path=x", "dataset.path=x: toy.air has no option 'path'. Its options: scale"),
        ("model.table.a=1", "toy.net has no option 'table.a'. Did you mean 'table'?"),
        ("dataset=toy.csv", "dataset.path is required by toy.csv and not given. Add dataset.path="),
        ("model=toy.nett", "there is no model 'toy.nett'. Did you mean 'toy.net'?"),
        ("model=toy.air", "'toy.air' is a dataset, not a model"),
        ("optimizer=adm", "there is no optimizer 'adm'. Did you mean 'adam'? Optimizers are"),
        ("optimizer.max_step=-1", "optimizer.max_step=-1.0 is out of range. It is above 0"),
        ("model=none", "model is null, but task 'toy.fit' needs one"),
        ("model=", "model is '', not the name of a part"),
        ("task=toy.em", "this is for task 'toy.em', not 'toy.fit'"),
        ("trainer=x", "there is but one trainer"),
        ("trainer.callbacks=toy.bel", "there is no callback 'toy.bel'. Did you mean 'toy.bell'?"),
    ],
)
def test_refusals_on_the_command_line(registry, text, words):
    if words is None:
        assert run(registry, text).sections["model"]["label"].endswith("\x00")
    else:
        assert words in refused(registry, text)


def test_one_key_with_two_values(registry):
    line = refused(registry, "trainer.epochs=3", "trainer.epochs=4")
    assert "trainer.epochs is given twice: '3' and '4'" in line
    assert "model is given twice" in refused(registry, "model=toy.net", "model.name=toy.ring")
    assert run(registry, "trainer.epochs=3", "trainer.epochs=3").sections["trainer"]["epochs"] == 3


def test_profiles(registry):
    config = run(registry, "dataset.path=x", profile="book")
    assert config.part("dataset") == "toy.csv" and config.sections["trainer"]["epochs"] == 60
    assert config.sections["model"]["seasonal"] == 4
    assert config.origins["model.width"] == "profile book"
    line = refused(registry, profile="boook")
    assert "no profile 'boook'. Did you mean 'book'? Profiles are quick, book" in line
    assert resolve(registry, "toy.em").part("dataset") == "toy.air"  # quick is always there
    with pytest.raises(ConfigError, match=r"there is no task 'toy.fitt'. Did you mean 'toy.fit'"):
        resolve(registry, "toy.fitt")


def test_a_task_without_a_part(registry):
    config = resolve(registry, "toy.em")
    assert config.sections["loss"] is None and config.sections["optimizer"] is None
    assert config.part("loss") is None and config.options("loss") == {}
    for argument in ("loss=toy.nll", "loss.floor=1", "optimizer=sgd"):
        with pytest.raises(ConfigError, match=r"task 'toy.em' has no (loss|optimizer)"):
            resolve(registry, "toy.em", overrides=[argument])
    assert resolve(registry, "toy.em", overrides=["loss=none"]) == config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trainer: {epochs: '3'}", "trainer.epochs: expected int (a whole number), got '3'"),
        ("trainer: {epochs: true}", "got True"),
        ("trainer:\n  epochs: [1\n", "line 3: "),
        ("a: 1\nmodel: {width: 1}", "unknown section 'a'"),
        ("- 1", "is not a mapping but a list"),
        ("just text", "is not a mapping but a str"),
        ("model: !!python/object/apply:os.system ['true']", "line 1: tags such as !!python"),
        ("model: {width: 1}\nmodel: {width: 2}", "line 2: 'model' is given twice"),
        ("trainer: 3", "trainer is 3, not a mapping of options"),
        ("trainer: {name: x}", "trainer has no option 'name'"),
        ("model: [a]", "model is ['a'], not the name of a part"),
        ("model: {label: 12}", "expected str (text), got 12"),
        ("model: {names: a}", "expected list of str, got 'a'"),
        ("model: {rate: .nan}", "not finite"),
        ("loss: null", "loss is null, but task 'toy.fit' needs one"),
        ("task: toy.em", "this is for task 'toy.em'"),
        ("? [a]\n: 1", "x.yaml"),
        ("a: &a [*a]", "x.yaml"),
        ("model: {free: &a [*a]}", "x.yaml"),
    ],
)
def test_refusals_in_a_file(registry, tmp_path, text, words):
    file = tmp_path / "x.yaml"
    file.write_text(text)
    line = refused(registry, file=file)
    assert str(file) in line and words in line


def test_files_that_cannot_be_read(registry, tmp_path):
    assert "No such file" in refused(registry, file=tmp_path / "absent.yaml")
    assert "Is a directory" in refused(registry, file=tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in refused(registry, file=tmp_path / "b.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert run(registry, file=tmp_path / "empty.yaml") == run(registry)


def test_yaml_that_surprises(registry, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(
        "model:\n  rate: 1e-3\n  label: 2020-01-01\n  names: [1:30, 010]\n  size: [1, 2]\n"
    )
    model = run(registry, file=file).sections["model"]
    assert (model["rate"], model["label"], model["size"]) == (0.001, "2020-01-01", (1, 2))
    assert model["names"] == ["1:30", "010"]


AWKWARD = [
    "1e5",
    "010",
    "12:30",
    "2020-01-01",
    "yes",
    "null",
    "~",
    "",
    " x",
    "a: b",
    "é\n",
    "1_0",
    "\x85",
    "\u2028",
]


def test_round_trip(registry):
    arguments = ["dataset=toy.csv", "dataset.path=a/b.csv", "model.size=5,6", "model.start=-.inf"]
    config = run(
        registry,
        *arguments,
        overrides_mapping={"model": {"names": AWKWARD, "label": "1e-3", "rate": 1e-7}},
    )
    text = config.to_yaml()
    assert "!!" not in text
    again = Config.from_dict(registry, yaml.safe_load(text))
    assert again == config and again.to_yaml() == text
    assert again.sections["model"]["names"] == AWKWARD
    assert type(again.sections["dataset"]["path"]) is type(config.sections["dataset"]["path"])
    assert Config.from_dict(registry, config.as_dict()) == config
    assert set(again.origins.values()) == {"config.yaml"}
    none = resolve(registry, "toy.em")
    assert Config.from_dict(registry, yaml.safe_load(none.to_yaml())) == none


def test_round_trip_through_a_config_file(registry, tmp_path):
    config = run(registry, overrides_mapping={"model": {"names": AWKWARD, "label": "1e-3"}})
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert run(registry, file=tmp_path / "config.yaml") == config


def test_from_dict_refuses_what_is_damaged(registry):
    whole = run(registry).as_dict()
    for change, words in [
        ({"model": {**whole["model"], "wdth": 3}}, "has no option 'wdth'"),
        ({"trainer": {"epochs": "9"}}, "expected int"),
    ]:
        with pytest.raises(ConfigError, match=words):
            Config.from_dict(registry, {**whole, **change})
    del whole["loss"]
    with pytest.raises(ConfigError, match=r"config.yaml: section 'loss' is missing"):
        Config.from_dict(registry, whole)


def test_values_from_python(registry):
    numpy = pytest.importorskip("numpy")
    model = {"width": numpy.int64(5), "rate": numpy.float32(0.5), "size": numpy.array([7, 8])}
    found = run(registry, overrides_mapping={"model": model}).sections["model"]
    assert (found["width"], found["rate"], found["size"]) == (5, 0.5, (7, 8))
    assert type(found["width"]) is int
    for wrong in ({"width": object()}, {"width": numpy.bool_(True)}, {"label": b"x"}):
        with pytest.raises(ConfigError, match=r"Python call: model\.\w+: expected"):
            run(registry, overrides_mapping={"model": wrong})
    with pytest.raises(ConfigError, match="not a mapping"):
        run(registry, overrides_mapping=["model"])


def test_one_configuration_does_not_change_another(registry):
    first = run(registry)
    first.sections["task"]["levels"].append(1.0)
    first.options("model")["names"] = 3
    assert run(registry).sections["task"]["levels"] == [50.0, 95.0]


def test_mistakes_of_a_part_s_author(registry):
    with pytest.raises(PluginError, match="default of option 'x' is not of its type"):
        run(registry, "model=toy.wrong")
    with pytest.raises(PluginError, match="'name' names the part itself"):
        run(registry, "model=toy.named")


def test_describe_lists_every_option(registry):
    rows = describe(registry, "toy.fit")
    assert rows[0] == ("task", "horizon", "int or null", "null", "Steps ahead.")
    assert ("model", "name", "model", "toy.net", "The net") in rows
    assert ("model", "seasonal", "int", "12", "Period.") in rows
    assert ("model", "bend", "one of 'relu', 'tanh'", "relu", "") in rows
    listed = {f"{row.section}.{row.key}" for row in rows} | {"task.name"}
    assert listed == set(run(registry).origins)
    assert all(row.meaning for row in rows if row.section in ("trainer", "optimizer"))
    book = describe(registry, "toy.fit", profile="book")
    assert ("dataset", "path", "path", "required", "") in book


def test_schema_describes_what_resolve_takes(registry):
    schema = json_schema(registry, "toy.fit")
    assert schema["properties"]["trainer"]["properties"]["epochs"]["type"] == "integer"
    assert schema["properties"]["trainer"]["additionalProperties"] is False
    names = schema["properties"]["model"]["anyOf"][0]["enum"]
    assert "toy.ring" in names and "toy.net" in names
    width = schema["properties"]["model"]["anyOf"][1]["properties"]["width"]
    assert (width["type"], width["default"]) == ("integer", 8)


def test_schema_judges_as_resolve_does(registry):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json_schema(registry, "toy.fit")
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    assert validator.is_valid(run(registry).as_dict())
    assert validator.is_valid({"model": "toy.ring", "trainer": {"epochs": 3}})
    assert validator.is_valid({"dataset": {"name": "toy.csv", "path": "x"}})
    for wrong in ({"modle": "toy.net"}, {"trainer": {"epoch": 3}}, {"model": {"width": "3"}}):
        assert not validator.is_valid(wrong)


def test_trainer_options_keep_their_values():
    names = ["log"]
    options = TrainerOptions(epochs=3, callbacks=names)
    names.append("more")
    assert options.callbacks == ["log"] and TrainerOptions().callbacks == []
    with pytest.raises(ConfigError, match=r"trainer.keep=0 is out of range"):
        TrainerOptions(keep=0)


@pytest.mark.parametrize(
    ("given", "epochs", "steps", "seconds"),
    [
        (1, 1, None, None),
        (20, 20, None, None),
        ("2", 2, None, None),
        ("1 epoch", 1, None, None),
        ("3 Epochs", 3, None, None),
        ("500 steps", None, 500, None),
        ("500steps", None, 500, None),
        ("90s", None, None, 90.0),
        ("0.5 seconds", None, None, 0.5),
        ("10 minutes", None, None, 600.0),
        (" 10min ", None, None, 600.0),
        ("1.5 hours", None, None, 5400.0),
        ("1h", None, None, 3600.0),
    ],
)
def test_time_between_two_checkpoints(given, epochs, steps, seconds):
    options = TrainerOptions(checkpoint_every=given)
    assert options.checkpoint_every == given
    assert options.checkpoint_epochs == epochs
    assert options.checkpoint_steps == steps
    assert options.checkpoint_seconds == seconds


@pytest.mark.parametrize(
    "given", [0, -1, "0", "-2", "0 steps", "1.5", "1.5 steps", "", "steps", "2 days", "1e3 steps"]
)
def test_no_time_between_two_checkpoints(given):
    with pytest.raises(ConfigError, match="is not a time between two checkpoints") as caught:
        TrainerOptions(checkpoint_every=given)
    assert caught.value.hint.startswith("Write 2 or '2 epochs', '500 steps'")


def test_trainer_options_in_a_file(registry, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(
        "trainer: {checkpoint_every: 10 minutes, schedule: step, milestones: [2, 4.5], warmup: 1}"
        "\noptimizer: sgd"
    )
    config = run(registry, file=file)
    trainer = config.sections["trainer"]
    assert trainer["checkpoint_every"] == "10 minutes" and trainer["milestones"] == [2.0, 4.5]
    again = Config.from_dict(registry, yaml.safe_load(config.to_yaml()))
    assert again == config
    assert TrainerOptions(**again.options("trainer")).checkpoint_seconds == 600
    file.write_text("trainer: {checkpoint_every: 2.5}")
    assert "expected int (a whole number) or str (text), got 2.5" in refused(registry, file=file)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"warmup": -1.0}, "trainer.warmup=-1.0 is out of range. It is at least 0"),
        ({"accumulate": 0}, "trainer.accumulate=0 is out of range. It is at least 1"),
        (
            {"accumulate": 5, "batch_size": 4},
            "trainer.accumulate=5 is out of range. It is at most batch_size, here 4",
        ),
        (
            {"schedule": "step", "milestones": [4.0, 2.0]},
            "trainer.milestones=[4.0, 2.0] is out of range. It is a list of epochs above 0, each",
        ),
        ({"schedule": "step", "milestones": [2.0, 2.0]}, "each above the one before"),
        ({"schedule": "step", "milestones": [0.0, 2.0]}, "a list of epochs above 0"),
        ({"schedule": "cosine", "milestones": [2.0]}, "It is for the schedule step; leave it emp"),
        ({"schedule": "step", "milestones": [2.0], "decay": 0.0}, "trainer.decay=0.0 is out of"),
        ({"schedule": "step", "milestones": [2.0], "decay": 1.5}, "It is above 0 and at most 1"),
        ({"schedule": "cosine", "final": 1.5}, "trainer.final=1.5 is out of range. It is between"),
        ({"schedule": "poly", "power": 0.0}, "trainer.power=0.0 is out of range. It is above 0"),
        ({"power": 3.0}, "It is for the schedule poly; leave it at 2 otherwise"),
        ({"schedule": "linear", "decay": 0.5}, "trainer.decay=0.5 has no meaning with trainer.sc"),
        ({"final": 0.5}, "It is for the schedule cosine, linear or poly; leave it at 0 otherwise"),
    ],
)
def test_trainer_options_that_are_refused(options, words):
    with pytest.raises(ConfigError) as caught:
        TrainerOptions(**options)
    assert words in str(caught.value)


def test_whether_larger_is_better():
    larger = ["accuracy", "top5_accuracy", "macro_f1", "AUC", "recall@10", "recall_at_5", "map"]
    larger += ["precision", "ndcg@10", "r", "pearson_r", "r2"]
    smaller = ["loss", "error", "rmse", "perplexity", "bitmap", "accuracy_gap", "mae", "crps"]
    for names, wanted in ((larger, True), (smaller, False)):
        assert [n for n in names if TrainerOptions(monitor=n).larger_is_better != wanted] == []
    assert TrainerOptions(monitor="loss", mode="max").larger_is_better is True
    assert TrainerOptions(monitor="accuracy", mode="min").larger_is_better is False


def test_resolving_imports_nothing_heavy(registry, tmp_path):
    code = (
        "import sys\n"
        "from dope.core.configuring import config\n"
        "from dope.core.optimizing import optimizers\n"
        "from dope.core.plugging import discovery\n"
        "from dope.core.plugging.registry import Entry, Registry\n"
        "assert not {'pydantic', 'yaml'} & set(sys.modules)\n"
        "r = Registry()\n"
        "for kind, name in [('task', 'Fit'), ('dataset', 'Air'), ('model', 'Net')]:\n"
        "    r.add(Entry(kind, 'toy.' + name.lower(), 'cfg_code:' + name, 's', 'toy'))\n"
        "r.add(Entry('loss', 'toy.nll', 'cfg_code:nll', 's', 'toy'))\n"
        "c = config.resolve(r, 'toy.fit', overrides=['trainer.epochs=3'])\n"
        "c.to_yaml(), config.describe(r, 'toy.fit'), config.json_schema(r, 'toy.fit')\n"
        "heavy = {'mxnet', 'numpy', 'matplotlib', 'cfg_code'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(c.sections['trainer']['epochs'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr


def test_a_schedule_needs_an_optimizer_with_a_learning_rate(registry):
    words = refused(registry, "optimizer=adadelta", "trainer.warmup=1")
    assert "optimizer=adadelta has no learning rate to schedule" in words
    assert run(registry, "optimizer=adadelta")


def test_any_part_is_described_and_a_name_alone_means_one_kind(registry):
    for kind in ("dataset", "loss"):
        registry.add(Entry(kind, "toy.twin", "cfg_code:nll", "The twin", "toy"))
    registry.add(Entry("model", "toy.fit", "cfg_code:Net", "The fit", "toy"))
    assert kind_of(registry, "toy.net") == "model" and kind_of(registry, "toy.fit") == "task"
    assert kind_of(registry, "adam") == "optimizer" and kind_of(registry, "gone") == "task"
    with pytest.raises(ConfigError, match=r"'toy\.twin' is a dataset and a loss\. Add --kind"):
        kind_of(registry, "toy.twin")
    (row,) = describe_part(registry, "loss", "toy.nll")
    assert row[:4] == ("loss", "floor", "float", "0.0")
    keys = {row.key: row.section for row in describe_part(registry, "optimizer", "adam")}
    assert keys["learning_rate"] == "optimizer"

"""A plugin's callback: its options, what it sees, does and leaves, its state and its faults.

Holds runs of a small plugin in this process; the command line's own tests are in test_cli.py.
"""

from __future__ import annotations

import json

import pytest
import yaml

from dope.core import api
from dope.core.callbacks import Callback
from dope.core.errors import ConfigError, PluginError
from dope.core.plugging.discovery import discover
from dope.core.testing.fresh import Signal

PLUGIN = """
from dope.core.hookspecs import hookimpl

@hookimpl
def register_callbacks(register):
    register("acme.notify", "acme_watch:Notify", summary="Writes down what it is told")
    register("acme.notify.loud", "acme_watch:Loud", summary="A longer name")
    register("acme.enough", "acme_watch:Enough", summary="Stops where the loss is small")
    register("acme.bad", "acme_watch:Bad", summary="Raises where it is told to")
    register("acme.plain", "acme_watch:Plain", summary="Is no callback")
    register("acme.sure", "acme_watch:Sure", summary="Has an option without a default")
"""

CODE = '''
import json
from typing import Literal, Optional
from dope import Callback

class Notify(Callback):
    """Writes each event into the run's folder, and counts.

    Parameters
    ----------
    every
        Steps between two lines.
    prefix
        Stands before each line.
    """
    def __init__(self, *, every: int = 1, prefix: str = "") -> None:
        self.every, self.prefix, self.count = every, prefix, 0

    def note(self, trainer, *words):
        trainer.run.append("notes.txt", " ".join([self.prefix, *map(str, words)]).strip())

    def on_fit_start(self, trainer):
        self.note(trainer, "start", trainer.total_steps)

    def on_step_end(self, trainer):
        self.count += 1
        if self.count % self.every == 0:
            self.note(trainer, "step", trainer.total_steps, self.count)

    def on_epoch_end(self, trainer, metrics):
        self.note(trainer, "epoch", trainer.epoch, *sorted(metrics))
        metrics["told"] = self.count

    def on_evaluation_end(self, trainer, metrics):
        self.note(trainer, "evaluation", *sorted(metrics))
        metrics["valid_twice"] = 2 * metrics["valid_loss"]

    def on_checkpoint(self, trainer, path):
        self.note(trainer, "checkpoint", path.stem)

    def on_fit_end(self, trainer, status):
        self.note(trainer, "end", status)

    def state(self):
        return {"count": self.count}

    def restore(self, state):
        self.count = state["count"]

class Loud(Callback):
    """A longer name.

    Parameters
    ----------
    volume
        How loud.
    """
    def __init__(self, *, volume: Literal["low", "high"] = "low") -> None:
        self.volume = volume

class Enough(Callback):
    """Stops after some epochs.

    Parameters
    ----------
    epochs
        How many.
    """
    def __init__(self, *, epochs: int = 2) -> None:
        self.epochs = epochs

    def on_epoch_end(self, trainer, metrics):
        if trainer.epoch == self.epochs:
            trainer.stop("that is enough")

class Bad(Callback):
    """Raises, or leaves what cannot be written.

    Parameters
    ----------
    event
        Where.
    epoch
        From which epoch on.
    """
    def __init__(self, *, event: str = "on_epoch_end", epoch: int = 2) -> None:
        if event == "init":
            raise ValueError("no such thing")
        self.event, self.epoch = event, epoch

    def __getattribute__(self, name):
        if name == "event" or name != object.__getattribute__(self, "__dict__").get("event"):
            return object.__getattribute__(self, name)
        return self.fail

    def fail(self, *details):
        if not details or details[0].epoch >= self.epoch:
            raise ValueError("the bell\\nis broken")

    def on_evaluation_end(self, trainer, metrics):
        if self.event == "column":
            metrics["step"] = 3
        if self.event == "object":
            metrics["thing"] = object()

class Plain:
    """Is no callback."""

class Sure(Callback):
    """Has an option without a default.

    Parameters
    ----------
    address
        Whom to tell.
    """
    def __init__(self, *, address: str) -> None:
        self.address = address
'''


@pytest.fixture
def acme(toy, tmp_path, monkeypatch):
    """The registry with the plugin, and the toy plugin that has a task."""
    site = tmp_path / "acme"
    toy.install(site, "acme", PLUGIN)
    (site / "acme_watch.py").write_text(CODE)
    for folder in (toy.site, site):
        monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(tmp_path)
    return discover(strict=True)


def run(registry, *overrides, **options):
    return api.run("toy.regression", overrides=overrides, registry=registry, **options)


def resolved(registry, *overrides, **options):
    from dope.core.configuring.config import resolve

    return resolve(registry, "toy.regression", overrides=overrides, **options)


def notes(run):
    return (run.path / "notes.txt").read_text().splitlines()


def test_named_it_sees_the_six_events_and_adds_columns_and_files(acme):
    done = run(acme, "trainer.callbacks=acme.notify", "trainer.callbacks.acme.notify.every=5")
    lines = notes(done)
    assert lines[0] == "start 0" and lines[-1] == "end done"
    assert [line for line in lines if line.startswith("step")] == [
        "step 5 5",
        "step 10 10",
        "step 15 15",
    ]
    epochs = [line for line in lines if line.startswith("epoch")]
    assert epochs == ["epoch 1 loss", "epoch 2 loss", "epoch 3 loss"]
    assert lines.count("evaluation valid_loss") == 3
    assert lines.count("checkpoint best") >= 1 and "checkpoint 000000015" in lines
    assert [row["told"] for row in done.history] == [5, 10, 15]
    for row in done.history:
        assert row["valid_twice"] == 2 * row["valid_loss"]
    assert done.metrics["told"] == 15


def test_not_named_it_does_nothing(acme):
    done = run(acme)
    assert not (done.path / "notes.txt").exists() and "told" not in done.history[0]


def test_options_on_the_command_line_in_yaml_and_in_python_are_the_same(acme, tmp_path):
    wanted = [
        {"name": "acme.enough", "epochs": 2},
        {"name": "acme.notify", "every": 5, "prefix": ""},
    ]
    file = tmp_path / "x.yaml"
    file.write_text("trainer: {callbacks: [acme.enough, {name: acme.notify, every: 5}]}")
    text = resolved(
        acme, "trainer.callbacks.acme.notify.every=5", "trainer.callbacks=acme.enough,acme.notify"
    )
    mapping = {"trainer": {"callbacks": ["acme.enough", {"name": "acme.notify", "every": 5}]}}
    for config in (text, resolved(acme, file=file), resolved(acme, overrides_mapping=mapping)):
        assert config.sections["trainer"]["callbacks"] == wanted
        assert config.origins["trainer.callbacks.acme.notify.prefix"] == "default of acme.notify"
        again = type(config).from_dict(acme, yaml.safe_load(config.to_yaml()))
        assert again == config and again.to_yaml() == config.to_yaml()
    assert text.origins["trainer.callbacks"] == "command line"
    assert text.origins["trainer.callbacks.acme.notify.every"] == "command line"


def test_an_option_adds_its_callback_and_the_longest_name_is_meant(acme):
    config = resolved(
        acme,
        "trainer.callbacks.acme.notify.loud.volume=high",
        "trainer.callbacks.acme.notify.prefix=a.b",
    )
    assert config.sections["trainer"]["callbacks"] == [
        {"name": "acme.notify.loud", "volume": "high"},
        {"name": "acme.notify", "every": 1, "prefix": "a.b"},
    ]


def test_a_later_list_wins_and_keeps_the_options_of_those_it_names_again(acme, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(
        "trainer: {callbacks: [{name: acme.enough, epochs: 9}, {name: acme.notify, every: 5}]}"
    )
    config = resolved(acme, "trainer.callbacks=acme.notify", file=file)
    assert config.sections["trainer"]["callbacks"] == [
        {"name": "acme.notify", "every": 5, "prefix": ""}
    ]
    assert resolved(acme, "trainer.callbacks=", file=file).sections["trainer"]["callbacks"] == []
    more = resolved(acme, "trainer.callbacks.acme.notify.every=7", file=file)
    assert [each.get("every") for each in more.sections["trainer"]["callbacks"]] == [None, 7]


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        (
            "trainer.callbacks.acme.notify.evry=5",
            "trainer.callbacks.acme.notify.evry=5: acme.notify has no option 'evry'. "
            "Did you mean 'every'?",
        ),
        (
            "trainer.callbacks.acme.notify.every=often",
            "trainer.callbacks.acme.notify.every=often: expected int (a whole number), got "
            "'often'. See: dope show acme.notify --kind callback",
        ),
        ("trainer.callbacks.acme.notfy.every=5", "there is no callback 'acme.notfy'"),
        ("trainer.callbacks=notify", "there is no callback 'notify'. Did you mean 'acme.notify'?"),
        ("trainer.callbacks.acme.notify=5", "Write trainer.callbacks=acme.notify."),
        ("trainer.callbacks=acme.notify,acme.notify", "callback 'acme.notify' is named twice"),
        ("trainer.callbacks=[{every: 5}]", "callbacks are a list of names, or of mappings"),
        ("trainer.callbacks=acme.sure", "trainer.callbacks.acme.sure.address is required by"),
    ],
)
def test_what_is_refused_before_data_is_read(acme, tmp_path, argument, said):
    with pytest.raises(ConfigError) as caught:
        run(acme, argument)
    assert said in str(caught.value) and caught.value.exit_code == 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "content", ["acme.notify", {"acme.notify": {}}, [3], [{"every": 5}], [["acme.notify"]], None]
)
def test_a_list_that_is_none_is_refused_from_python(acme, content):
    with pytest.raises(ConfigError, match=r"Python call: trainer\.callbacks: callbacks are a list"):
        resolved(acme, overrides_mapping={"trainer": {"callbacks": content}})


def test_it_stops_training(acme):
    done = run(acme, "trainer.callbacks=acme.enough", "trainer.callbacks.acme.enough.epochs=1")
    assert done.result["stopped"] == "that is enough" and len(done.history) == 1
    assert done.result["status"] == "done"


def test_resumed_it_has_its_options_and_state(acme, tmp_path):
    given = ["trainer.callbacks=acme.notify", "trainer.callbacks.acme.notify.prefix=>"]
    whole = run(acme, *given, runs=tmp_path / "whole")
    part = run(acme, *given, callbacks=[Signal(2, 7)], runs=tmp_path / "part")
    assert part.result["status"] == "interrupted"
    again = api.resume(part.path, registry=acme)
    assert [row["told"] for row in again.history] == [row["told"] for row in whole.history]
    assert again.history == whole.history
    steps = [line for line in notes(again) if line.startswith("> step")]
    assert steps == [line for line in notes(whole) if line.startswith("> step")]
    assert len([line for line in notes(again) if line.startswith("> start")]) == 2


def test_callbacks_given_from_python_keep_their_state_by_class(acme, tmp_path):
    class Counts(Callback):
        seen = 0

        def on_step_end(self, trainer):
            self.seen += 1

        def state(self):
            return {"seen": self.seen}

        def restore(self, state):
            self.seen = state["seen"]

    part = run(acme, callbacks=[Counts(), Counts(), Signal(2, 7)])
    first, second = Counts(), Counts()
    api.resume(part.path, registry=acme, callbacks=[first, second])
    assert first.seen == second.seen == 15


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("on_fit_start", "(ValueError: the bell is broken)"),
        ("on_step_end", "(ValueError: the bell is broken)"),
        ("on_epoch_end", "(ValueError: the bell is broken)"),
        ("on_evaluation_end", "(ValueError: the bell is broken)"),
        ("on_checkpoint", "(ValueError: the bell is broken)"),
        ("on_fit_end", "(ValueError: the bell is broken)"),
        ("state", "(ValueError: the bell is broken)"),
        ("column", "(ValueError: 'step' is a column of the trainer's own)"),
        ("object", "(TypeError: Object of type object is not JSON serializable)"),
    ],
)
def test_what_it_raises_is_said_with_its_name_and_event(acme, tmp_path, event, said):
    first = 0 if event == "on_fit_start" else 2
    with pytest.raises(PluginError) as caught:
        run(
            acme,
            "trainer.callbacks=acme.bad,acme.notify",
            f"trainer.callbacks.acme.bad.event={event}",
            f"trainer.callbacks.acme.bad.epoch={first}",
        )
    where = "on_evaluation_end" if event in ("column", "object") else event
    assert caught.value.message == f"callback acme.bad failed in {where} {said}"
    (folder,) = (tmp_path / "runs" / "toy.regression").iterdir()
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "failed" and "acme.bad" in result["error"]
    if event not in ("on_fit_start", "state", "column", "object"):
        known = run_checkpoints(folder)
        assert known and all(path.with_suffix(".npz").is_file() for path in known)
        assert "end failed" in notes_at(folder) or event == "on_fit_end"


def run_checkpoints(folder):
    return sorted((folder / "checkpoints").glob("0*.json"))


def notes_at(folder):
    return (folder / "notes.txt").read_text().splitlines()


def test_after_a_fault_the_run_goes_on_without_the_callback(acme, tmp_path):
    with pytest.raises(PluginError):
        run(acme, "trainer.callbacks=acme.bad", runs=tmp_path / "bad")
    (folder,) = (tmp_path / "bad" / "toy.regression").iterdir()
    again = api.resume(folder, overrides=["trainer.callbacks="], registry=acme)
    assert again.history == run(acme).history


def test_who_has_not_started_is_not_told_of_the_end(acme):
    told = []

    class First(Callback):
        def on_fit_end(self, trainer, status):
            told.append(("first", status))

    class Last(Callback):
        def on_fit_start(self, trainer):
            raise ValueError("no")

        def on_fit_end(self, trainer, status):
            told.append(("last", status))

    with pytest.raises(PluginError, match="callback Last failed in on_fit_start"):
        run(acme, callbacks=[First(), Last()])
    assert told == [("first", "failed")]


def test_an_error_on_its_way_is_not_hidden_by_one_at_the_end(acme):
    class End(Callback):
        def on_fit_end(self, trainer, status):
            raise ValueError("hides")

    with pytest.raises(ValueError, match="first line of it"):
        run(acme, "task.fault=value", callbacks=[End()])


def test_what_cannot_be_made_or_is_no_callback_is_refused_without_a_run(acme, tmp_path):
    with pytest.raises(PluginError, match=r"acme\.bad cannot be made \(ValueError: no such thing"):
        run(acme, "trainer.callbacks.acme.bad.event=init")
    with pytest.raises(PluginError, match=r"acme\.plain is a Plain, not a dope\.Callback"):
        run(acme, "trainer.callbacks=acme.plain")
    assert not (tmp_path / "runs").exists()


def test_the_command_line_shows_and_runs_it(acme, inside, tmp_path):
    out = inside("show", "acme.notify").stdout
    assert "every   int   1        Steps between two lines." in out.splitlines()
    assert "trainer.callbacks.acme.notify.OPTION=VALUE" in out
    out = inside(
        "run", "toy.regression", "--dry-run", "trainer.callbacks.acme.notify.every=5"
    ).stdout
    assert "  callbacks:" in out and "  - name: acme.notify\n" in out
    assert "    every: 5" in out and "# default of acme.notify" in out
    body = yaml.safe_load(out)
    assert body["trainer"]["callbacks"] == [{"name": "acme.notify", "every": 5, "prefix": ""}]


def test_the_schema_covers_options_of_callbacks(acme):
    import jsonschema

    from dope.core.configuring.config import json_schema

    schema = json_schema(acme, "toy.regression")
    jsonschema.Draft202012Validator.check_schema(schema)

    def fits(*callbacks):
        return jsonschema.Draft202012Validator(schema).is_valid(
            {"trainer": {"callbacks": list(callbacks)}}
        )

    assert fits() and fits("acme.notify") and fits({"name": "acme.notify", "every": 5})
    assert not fits("acme.notfy") and not fits({"name": "acme.notify", "evry": 5})
    assert not fits({"name": "acme.notify", "every": "often"})

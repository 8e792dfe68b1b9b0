"""That each check of the contract suite can fail: tasks with one fault each, and who finds it.

Holds no promise of a real task; those are in test_contract.py.
"""

from __future__ import annotations

import pytest

from dope.core import api
from dope.core.errors import ConfigError, PluginError
from dope.core.plugging.registry import Entry, Registry
from dope.core.testing import CHECKS, FLOOR, Outcome, Suite, commands, run_checks, shortfall

CODE = '''
from __future__ import annotations
import dataclasses
import os
import socket
import time
import numpy as np
from dope.core.backend import mx, nd
from dope.core.data import ArrayBatches, batch_length
from dope.core.metrics import Sum
from dope.core.task import Group, Task, compiled

PREPARED = []
OF_THIS_PROCESS = 1.0 + (os.getpid() % 1000) / 1000

class Points:
    """Points near a line.

    Parameters
    ----------
    n
        How many points.
    shuffle
        Whether each epoch has its own order.
    """
    def __init__(self, *, n: int = 18, shuffle: bool = True) -> None:
        rng = np.random.default_rng(7)
        self.x = rng.normal(size=(n, 3)).astype("float32")
        self.y = (self.x @ [1.0, -2.0, 0.5] + 0.3).astype("float32")
        self.shuffle = shuffle

    def batches(self, split, batch_size):
        if split not in ("train", "valid"):
            return None
        shuffle = self.shuffle and split == "train"
        return ArrayBatches((self.x, self.y), batch_size, shuffle=shuffle)

def Net(dataset, *, dropout: float = 0.0, start: float = 0.0):
    """Two layers.

    Parameters
    ----------
    dropout
        Share that is dropped.
    start
        First value of all weights; 0 draws them.
    """
    init = mx.init.Constant(start) if start else mx.init.Uniform(0.5)
    net = mx.gluon.nn.HybridSequential()
    # All CPU contexts draw from one stream, so a single dropout would draw alike on two.
    net.add(mx.gluon.nn.Dropout(dropout))
    net.add(mx.gluon.nn.Dense(4, activation="tanh", weight_initializer=init))
    net.add(mx.gluon.nn.Dropout(dropout), mx.gluon.nn.Dense(1, weight_initializer=init))
    return net

class Square:
    """Squared error of each example."""
    def __call__(self, output, target):
        return nd.square(output.reshape((-1,)) - target)

class Sound(Task):
    """Fit a line."""
    defaults = {
        "dataset": "toys.points", "model": "toys.net", "loss": "toys.square",
        "optimizer": {"name": "adam", "learning_rate": 0.02}, "trainer": {"batch_size": 6},
    }
    def predict(self, nets, run):
        return {"rows": [{"y": float(v)} for v in nets(nd.array(self.dataset.x)).asnumpy()[:, 0]]}

class Dropout(Sound):
    """Parity is asked of the model without dropout."""
    profiles = {"quick": {}, "tiny": {"model": {"dropout": 0.5}}}
    contract = {"contexts": {"model": {"dropout": 0.0}}, "hybrid": {"model": {"dropout": 0.0}}}

class Carrying(Sound):
    """A step is told the outputs of the step before."""
    def loss(self, nets, shard, carry):
        x, y = shard
        output = nets(x).reshape((-1,))
        before = 0.0 if carry is None else 0.1 * carry
        return nd.square(output + before - y), output

class Compiled(Sound):
    """The loss is compiled with the network."""
    defaults = {**Sound.defaults, "loss": None}
    @compiled
    def loss(self, nets, shard, carry):
        x, y = shard
        error = nets(x).reshape((-1,)) - y
        return {"loss": error * error, "error": error.abs()}

class Counting(Sound):
    """No gradients: a mean by counting."""
    exempt = {"loss": "it counts", "examples": "it counts",
              "other_seed": "a sum has no order"}
    no_export = {"symbol": "it has no network", "onnx": "it has no network"}
    def build(self):
        net = mx.gluon.nn.HybridBlock()
        net.sums = net.params.get("sums", shape=(2,), init="zeros", grad_req="null")
        return net
    def groups(self, nets):
        return {}
    def step(self, engine, batch):
        found = engine.gather(lambda net, shard: shard[1].sum().asscalar(), batch)
        n = batch_length(batch)
        net = engine.nets
        net.sums.set_data(net.sums.list_data()[0] + nd.array([sum(found), n]))
        return {"y": Sum(nd.array([sum(found)]), n)}
    def evaluate(self, engine):
        total, n = engine.nets.sums.list_data()[0].asnumpy()
        return {"mean": float(total / n)}
    def predict(self, nets, run):
        return {"mean": float(nets.sums.list_data()[0].asnumpy()[0])}

class BadBook(Sound):
    profiles = {"quick": {}, "book": {"model": {"drop": 0.5}}}

class MeanLoss(Sound):
    def loss(self, nets, shard, carry):
        return super().loss(nets, shard, carry).mean()

class NotFinite(Sound):
    def loss(self, nets, shard, carry):
        return nd.log(super().loss(nets, shard, carry) - 1)

class OverBatch(Sound):
    def loss(self, nets, shard, carry):
        return super().loss(nets, shard, carry) / batch_length(shard)

class IdleGroup(Sound):
    def build(self):
        return {"net": self.model(self.dataset), "other": mx.gluon.nn.Dense(2, in_units=2)}
    def groups(self, nets):
        return {key: Group([net], "adam", {}) for key, net in nets.items()}
    def loss(self, nets, shard, carry):
        return super().loss(nets["net"], shard, carry)
    def step(self, engine, batch):
        return {"loss": engine.minimize("net", self.loss, batch)}
    def predict(self, nets, run):
        return super().predict(nets["net"], run)

class EmptyGroup(Sound):
    def groups(self, nets):
        return {**super().groups(nets), "nothing": Group([mx.gluon.nn.Dropout(0.5)], "sgd", {})}

class Blocked(mx.gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.deep, self.top = mx.gluon.nn.Dense(4), mx.gluon.nn.Dense(1)
    def hybrid_forward(self, F, x):
        return self.top(F.BlockGrad(self.deep(x)))

class NoGradient(Sound):
    def build(self):
        return Blocked()

class BadFigure(Sound):
    def report(self, nets, run):
        return {"score": {"of": float("nan")}}

class NoReport(Sound):
    def report(self, nets, run):
        raise ZeroDivisionError("no series is long enough")

class GlobalState(Sound):
    def prepare(self):
        PREPARED.append(self)
        self.scale = 1 + 0.1 * len(PREPARED)
    def loss(self, nets, shard, carry):
        return super().loss(nets, shard, carry) * self.scale

class Unseeded(Sound):
    def build(self):
        net = super().build()
        self.noise = nd.array(np.random.default_rng().normal(size=(1,)))
        return net
    def loss(self, nets, shard, carry):
        x, y = shard
        return super().loss(nets, (x, y + self.noise.as_in_context(y.context)), carry)

class DeafToSeed(Sound):
    defaults = {**Sound.defaults, "dataset": {"name": "toys.points", "shuffle": False},
                "model": {"name": "toys.net", "start": 0.1}}

class OfContext(Sound):
    def loss(self, nets, shard, carry):
        return super().loss(nets, shard, carry) * (1 + 0.1 * shard[0].context.device_id)

class SkipsUneven(Sound):
    def step(self, engine, batch):
        if batch_length(batch) > 1 and batch_length(batch) % len(engine.contexts):
            return {}
        return super().step(engine, batch)

class SkipsShort(Sound):
    def step(self, engine, batch):
        if batch_length(batch) < len(engine.contexts):
            return {}
        return super().step(engine, batch)

class UndeclaredDropout(Sound):
    profiles = {"quick": {}, "tiny": {"model": {"dropout": 0.5}}}
    contract = {"hybrid": {"model": {"dropout": 0.0}}}

class Symbolic(mx.gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.top = mx.gluon.nn.Dense(1)
    def hybrid_forward(self, F, x):
        return self.top(x) * (1.0 if F is mx.sym else 1.1)

class OfHybrid(Sound):
    def build(self):
        return Symbolic()

class OfGraph(Compiled):
    @compiled
    def loss(self, nets, shard, carry):
        found = super().loss(nets, shard, carry)
        return found["loss"] * (1.0 if isinstance(shard[0], nd.NDArray) else 1.1)

class Unsaved(Sound):
    """Evaluates with what its last step left in the network object."""
    def step(self, engine, batch):
        engine.nets.last = float(batch[1].mean().asscalar())
        return super().step(engine, batch)
    def evaluate(self, engine):
        return {"shifted": super().evaluate(engine)["valid_loss"] + getattr(engine.nets, "last", 0)}

class OfProcess(Sound):
    """Uses a number that was drawn when the module was imported."""
    def loss(self, nets, shard, carry):
        return super().loss(nets, shard, carry) * OF_THIS_PROCESS

class HiddenState(Sound):
    steps = 0
    def step(self, engine, batch):
        self.steps += 1
        return super().step(engine, batch)
    def loss(self, nets, shard, carry):
        return super().loss(nets, shard, carry) * (1 + 0.05 * self.steps)
    def evaluate(self, engine):
        return {"valid_loss": engine.total(super().loss, next(iter(self.data("valid")))).mean()}

class AnySplit(Sound):
    """Takes a word that it does not know for a split."""
    def data(self, split):
        return super().data("valid" if split != "train" else split)

class NoTraining(Sound):
    """Has no batch at all, once it was asked for some."""
    asked = 0
    def data(self, split):
        self.asked += split == "train"
        return super().data(split) if self.asked < 2 or split != "train" else []

class EmptyTest(Sound):
    def data(self, split):
        return [] if split == "test" else super().data(split)

class NoRows(Sound):
    def predict(self, nets, run):
        return {"rows": []}

class NoFile(Sound):
    def predict(self, nets, run):
        return {"files": [run.path / "forecast.csv"]}

class GivesOther(Sound):
    """What it exports is not what it computes."""
    def exports(self, nets):
        (found,) = super().exports(nets)
        return [dataclasses.replace(found, compute=lambda x: nets(x) + 1e-4, reference=nets)]

class OfTwoRows(Sound):
    """Its graph serves batches of one size only."""
    def exports(self, nets):
        (found,) = super().exports(nets)
        rows = len(found.inputs[0].example)
        return [dataclasses.replace(found, compute=lambda x: nets(x).reshape((rows, 1)))]

class CouldExport(Sound):
    no_export = {"symbol": "nobody has tried"}

class NoReasonNot(Sound):
    no_export = {"onnx": " "}

class NeverPredicts(Sound):
    """Nothing to apply: it only fits."""
    predict = Task.predict

class Online(Sound):
    """Asks the network, and goes on without an answer.

    Parameters
    ----------
    ask
        Whether to ask.
    """
    profiles = {"quick": {"task": {"ask": True}}, "tiny": {}}
    def __init__(self, *, ask: bool = False) -> None:
        self.ask = ask
    def prepare(self):
        if self.ask:
            try:
                socket.create_connection(("192.0.2.1", 80), timeout=0.1)
            except OSError:
                pass

class Litters(Sound):
    """Writes beside its run.

    Parameters
    ----------
    note
        Name of a file.
    """
    profiles = {"quick": {"task": {"note": "note.txt"}}, "tiny": {}}
    def __init__(self, *, note: str = "") -> None:
        self.note = note
    def report(self, nets, run):
        if self.note:
            open(self.note, "w").close()
        return {}

class Slow(Sound):
    """Sleeps.

    Parameters
    ----------
    pause
        Seconds.
    """
    profiles = {"quick": {"task": {"pause": 3.0}}, "tiny": {}}
    def __init__(self, *, pause: float = 0.0) -> None:
        self.pause = pause
    def prepare(self):
        time.sleep(self.pause)

class OneStep(Sound):
    exempt = {"reload": "another fault's matter, and seconds long"}
    profiles = {"quick": {}, "tiny": {"trainer": {"batch_size": 100}}}
    contract = {"resume": {"trainer": {"epochs": 1}}}

class UnknownCheck(Sound):
    exempt = {"context": "it has batch norm"}

class NoReason(Sound):
    exempt = {"contexts": " "}

class Twice(Sound):
    exempt = {"contexts": "it has batch norm"}
    contract = {"contexts": {"model": {"dropout": 0.0}}}

class NoSections(Sound):
    contract = {"contexts": "no dropout"}

class MostlyExempt(Sound):
    names = ("contexts", "hybrid", "reload", "resume", "examples", "export")
    exempt = dict.fromkeys(names, "no")
'''
SOUND = ("Sound", "Dropout", "Carrying", "Compiled", "Counting")
FAULTS = {
    "BadBook": "config",
    "MeanLoss": "loss",
    "NotFinite": "loss",
    "OverBatch": "examples",
    "IdleGroup": "moves",
    "EmptyGroup": "moves",
    "NoGradient": "moves",
    "BadFigure": "run",
    "NoReport": "run",
    "GlobalState": "same_seed",
    "Unseeded": "same_seed",
    "DeafToSeed": "other_seed",
    "OfContext": "contexts",
    "SkipsUneven": "contexts",
    "SkipsShort": "contexts",
    "UndeclaredDropout": "contexts",
    "OfHybrid": "hybrid",
    "OfGraph": "hybrid",
    "Unsaved": "reload",
    "OfProcess": "reload",
    "HiddenState": "resume",
    "OneStep": "resume",
    "AnySplit": "splits",
    "NoTraining": "splits",
    "EmptyTest": "splits",
    "NoRows": "predict",
    "NoFile": "predict",
    "GivesOther": "export",
    "OfTwoRows": "export",
    "CouldExport": "export",
    "NoReasonNot": "export",
    "Online": "quick",
    "Litters": "quick",
    "Slow": "quick",
}
ELSEWHERE = ("reload", "resume", "usage", "quick", "export")  # seconds each: they start processes
PARTS = {"dataset": "Points", "model": "Net", "loss": "Square"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A registry of the toys alone; their module can be imported, in other processes too."""
    site = tmp_path_factory.mktemp("toys")
    (site / "contract_toys.py").write_text(CODE)
    made = Registry()
    for kind, name in PARTS.items():
        made.add(Entry(kind, f"toys.{name.lower()}", f"contract_toys:{name}", name, "toys"))
    declared = ("UnknownCheck", "NoReason", "Twice", "NoSections", "MostlyExempt", "NeverPredicts")
    for name in (*SOUND, *FAULTS, *declared):
        made.add(Entry("task", f"toys.{name.lower()}", f"contract_toys:{name}", name, "toys"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        yield made


def states(outcomes, state):
    return {outcome.check for outcome in outcomes if outcome.state == state}


@pytest.mark.parametrize(
    "name", ["Sound", *(pytest.param(name, marks=pytest.mark.slow) for name in SOUND[1:])]
)
def test_a_sound_task_passes(registry, tmp_path, name):
    outcomes = run_checks(registry, f"toys.{name.lower()}", tmp_path)
    exempt = exempt_of(name)
    assert states(outcomes, "exempt") == exempt
    never = {"export"} if name == "Counting" else set()
    assert states(outcomes, "not applicable") == never
    assert states(outcomes, "passed") == set(CHECKS) - exempt - never, "\n".join(map(str, outcomes))
    assert shortfall(outcomes) is None


@pytest.mark.parametrize("name", SOUND[1:])
def test_a_sound_task_passes_in_this_process(registry, tmp_path, name):
    suite = Suite(registry, f"toys.{name.lower()}", tmp_path)
    outcomes = [suite.outcome(check) for check in CHECKS if check not in ELSEWHERE]
    passed = set(CHECKS) - {*ELSEWHERE, *exempt_of(name)}
    assert states(outcomes, "passed") == passed, "\n".join(map(str, outcomes))


def exempt_of(name):
    return {"loss", "examples", "other_seed"} if name == "Counting" else set()


@pytest.mark.parametrize("name, check", FAULTS.items())
def test_a_fault_is_found_by_its_check_and_no_other(registry, tmp_path, monkeypatch, name, check):
    monkeypatch.setattr(commands, "QUICK", 2.0 if name == "Slow" else 60.0)
    suite = Suite(registry, f"toys.{name.lower()}", tmp_path)
    asked = [each for each in CHECKS if each == check or each not in ELSEWHERE]
    outcomes = [suite.outcome(each) for each in asked]
    assert states(outcomes, "failed") == {check}, "\n".join(map(str, outcomes))
    needing = {each for each in asked if check in needs_of(each)}
    assert states(outcomes, "blocked") == needing


@pytest.mark.slow
@pytest.mark.parametrize("name, check", FAULTS.items())
def test_nor_by_a_check_in_another_process(registry, tmp_path, monkeypatch, name, check):
    monkeypatch.setattr(commands, "QUICK", 2.0 if name == "Slow" else 60.0)
    outcomes = run_checks(registry, f"toys.{name.lower()}", tmp_path)
    assert states(outcomes, "failed") == {check}, "\n".join(map(str, outcomes))


def needs_of(check):
    needs = CHECKS[check].needs
    return set(needs).union(*(needs_of(each) for each in needs))


def test_every_check_has_a_fault_that_it_finds():
    # refusals: below; usage: in test_plugin_check.py, with an installed plugin
    assert set(FAULTS.values()) | {"refusals", "usage"} == set(CHECKS)
    assert all(check.promise.endswith(".") for check in CHECKS.values())


def resolving(change):
    def resolve(registry, task, **sources):
        given = sources.pop("overrides_mapping", None) or {}
        return change(api_resolve, registry, task, given, sources)

    return resolve


api_resolve = api.resolve


def lenient(original, registry, task, given, sources):
    """Drop what is not known."""
    known = {section: content for section, content in given.items() if section != "nosuch"}
    return original(registry, task, overrides_mapping=known, **sources)


def untyped(original, registry, task, given, sources):
    """Take any value for an integer."""
    for content in given.values():
        if not isinstance(content.get("n", 0), int):
            content["n"] = 18
    return original(registry, task, overrides_mapping=given, **sources)


def nameless(original, registry, task, given, sources):
    """Refuse without a word of what."""
    try:
        return original(registry, task, overrides_mapping=given, **sources)
    except ConfigError:
        raise ConfigError("the configuration is wrong") from None


def late(original, registry, task, given, sources):
    """Load a part before looking."""
    registry.get("dataset", "toys.points").load()
    return original(registry, task, overrides_mapping=given, **sources)


@pytest.mark.parametrize(
    "change, says",
    [
        (lenient, "loaded before the configuration is refused"),
        (untyped, "loaded before the configuration is refused"),
        (nameless, "is refused without naming"),
        (late, "dataset 'toys.points' is loaded before"),
    ],
)
def test_lax_refusals_are_found(registry, tmp_path, monkeypatch, change, says):
    monkeypatch.setattr(api, "resolve", resolving(change))
    suite = Suite(registry, "toys.sound", tmp_path)
    outcome = suite.outcome("refusals")
    assert outcome.state == "failed" and says in outcome.text


@pytest.mark.parametrize(
    "name, says",
    [
        ("UnknownCheck", "exempt names 'context', which is no check. Did you mean 'contexts'?"),
        ("NoReason", "exempt['contexts'] is ' '. Write the reason why."),
        ("Twice", "check 'contexts' is in exempt and in contract"),
        ("NoSections", "contract['contexts'] is 'no dropout'. Write sections of configuration"),
    ],
)
def test_a_declaration_that_cannot_be_is_an_error(registry, tmp_path, name, says):
    with pytest.raises(PluginError) as raised:
        Suite(registry, f"toys.{name.lower()}", tmp_path)
    assert says in str(raised.value)


def test_too_many_exemptions_do_not_pass(registry, tmp_path):
    suite = Suite(registry, "toys.mostlyexempt", tmp_path)
    outcomes = suite.outcomes()
    assert not states(outcomes, "failed")
    assert {outcome.text for outcome in outcomes if outcome.state == "exempt"} == {"no"}
    assert "only 11 checks ran, at least 12 must" in shortfall(outcomes)


def test_what_does_not_apply_says_why_and_does_not_count(registry, tmp_path):
    outcome = Suite(registry, "toys.neverpredicts", tmp_path).outcome("predict")
    assert (outcome.state, outcome.text) == (
        "not applicable",
        "the task does not override predict",
    )
    many = [Outcome("a.b", check, "passed") for check in list(CHECKS)[: FLOOR - 1]]
    assert "predict (not applicable)" in shortfall([*many, outcome])


def test_blocked_checks_do_not_count_as_run():
    ran = [Outcome("a.b", check, "passed") for check in list(CHECKS)[: FLOOR - 1]]
    assert shortfall([*ran, Outcome("a.b", "resume", "failed")]) is None
    assert "resume (blocked)" in shortfall([*ran, Outcome("a.b", "resume", "blocked")])

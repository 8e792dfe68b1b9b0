"""Stopped after any step and resumed, a run has the same bits; and when it saves and reads.

Holds tests of the trainer in this very process, where the moment is chosen to the step; runs in
processes of their own are in test_trainer.py.
"""

from __future__ import annotations

import signal
from types import SimpleNamespace

import numpy as np
import pytest

from dope.core import backend
from dope.core import trainer as trainer_module
from dope.core.backend import mx, nd
from dope.core.callbacks import Callback
from dope.core.configuring.options import TrainerOptions
from dope.core.data import ArrayBatches
from dope.core.engine import Engine
from dope.core.errors import DivergedError
from dope.core.metrics import Sum
from dope.core.rundir import RunDirectory
from dope.core.task import Task
from dope.core.trainer import Trainer
from dope.core.training import checkpoint


class Killed(BaseException):
    """In place of SIGKILL: nothing is saved on the way out."""


class At(Callback):
    """Do something after a certain step, once."""

    def __init__(self, step, action):
        self.when, self.action = step, action

    def on_step_end(self, trainer):
        if trainer.total_steps == self.when:
            self.action(trainer)


class Points:
    """Forty points: seven steps an epoch, the last of four examples."""

    classes = 3

    def __init__(self, augmented):
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(40, 5)).astype("float32")
        self.y = (self.x[:, 0] * 2).round().clip(0, 2).astype("float32")
        self.augmented = augmented

    def batches(self, split, size):
        def augment(arrays, rng):
            x, y = arrays
            return (x if rng is None else x + rng.normal(size=x.shape).astype("float32")), y

        if split == "test":
            return None
        learn = split == "train"
        transform = augment if self.augmented and learn else None
        made = ArrayBatches((self.x, self.y), 6, shuffle=learn, transform=transform)
        made.CHUNK = 300  # several chunks an epoch
        return made


class Learner(Task):
    metrics = ("accuracy",)
    criterion = mx.gluon.loss.SoftmaxCrossEntropyLoss()

    def __init__(self, optimizer="adam", dropout=0.0, norm=False, augmented=False, **options):
        self.dataset = Points(augmented)
        self.dropout, self.norm = dropout, norm
        given = {"learning_rate": 0.05}
        if optimizer == "sgd":
            given["momentum"] = 0.9
        self.optimizer = {"name": optimizer, **given}
        self.options = TrainerOptions(
            **{"epochs": 3, "log_every": 2, "checkpoint_every": "3 steps", **options}
        )

    def build(self):
        net = mx.gluon.nn.HybridSequential()
        net.add(mx.gluon.nn.Dense(8, activation="relu"))
        if self.norm:
            net.add(mx.gluon.nn.BatchNorm())
        net.add(mx.gluon.nn.Dropout(self.dropout)) if self.dropout else None
        net.add(mx.gluon.nn.Dense(3))
        return net


class Noisy(Learner):
    """Draws in `step`, where no graph shows it."""

    def step(self, engine, batch):
        x, y = batch
        return super().step(engine, (x + nd.random.normal(shape=x.shape), y))


class Sampled(Learner):
    """Draws where it evaluates."""

    def evaluate(self, engine):
        return {"valid_guess": float(nd.random.uniform(shape=1).asscalar())}


KINDS = {
    "calm": lambda **o: Learner("sgd", **o),
    "sgd-dropout-norm": lambda **o: Learner("sgd", 0.5, True, **o),
    "adam-dropout-norm": lambda **o: Learner("adam", 0.5, True, **o),
    "adagrad-dropout-norm": lambda **o: Learner("adagrad", 0.5, True, **o),
    "sgld": lambda **o: Learner("sgld", **o),
    "augmented": lambda **o: Learner(augmented=True, **o),
    "noise-in-step": lambda **o: Noisy(**o),
    "noise-in-evaluation": lambda **o: Sampled(**o),
    "cosine": lambda **o: Learner("adam", schedule="cosine", warmup=1.0, **o),
}


def fit(task, folder, *callbacks, contexts=1, **engine):
    """Train, from the last checkpoint where there is one; the trainer and the status."""
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    saved, _ = checkpoint.latest(folder / "checkpoints")
    backend.seed(77 if saved else 5)  # what a new process starts from does not matter
    nets = task.build()
    devices = [mx.cpu(i) for i in range(contexts)]
    made = Engine(nets, task.groups(nets), devices, accumulate=task.options.accumulate, **engine)
    trainer = Trainer(
        task, made, task.options, RunDirectory(folder), seed=5, callbacks=list(callbacks)
    )
    if saved:
        trainer.restore(saved)
    return trainer, trainer.fit()


def bits(trainer):
    arrays, counts = trainer.engine.state()
    return {key: value.tobytes() for key, value in arrays.items()}, counts


def rows(trainer):
    return (trainer.run.path / "metrics.jsonl").read_text()


@pytest.fixture(autouse=True)
def one_thread():
    """Arrays this small are quicker on one thread, above all on a busy machine."""
    backend.use_threads(1)
    yield
    backend.use_threads(None)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_after_any_step_and_resumed_it_ends_with_the_same_bits(kind, tmp_path):
    whole, status = fit(KINDS[kind](), tmp_path / "whole")
    assert (status, whole.total_steps) == ("done", 21)

    def kill(trainer):
        raise Killed

    for step in (3, 4, 8, 13, 20):
        folder = tmp_path / str(step)
        with pytest.raises(Killed):
            fit(KINDS[kind](), folder, At(step, kill))
        again, status = fit(KINDS[kind](), folder)
        assert status == "done"
        assert bits(again) == bits(whole), step
        assert rows(again) == rows(whole), step


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_after_any_step_and_resumed_it_ends_with_the_same_bits(kind, tmp_path):
    whole, _ = fit(KINDS[kind](), tmp_path / "whole")

    def interrupt(trainer):
        signal.raise_signal(signal.SIGINT)

    for step in range(1, 21) if kind == "calm" else (1, 5, 7, 16):
        folder = tmp_path / str(step)
        stopped, status = fit(KINDS[kind](), folder, At(step, interrupt))
        assert status == "interrupted"
        if kind in ("calm", "augmented", "cosine"):
            assert stopped.total_steps == step  # at once: no step draws random numbers
        else:
            assert step <= stopped.total_steps <= step + 1
        again, status = fit(KINDS[kind](), folder)
        assert status == "done"
        assert bits(again) == bits(whole), step
        assert rows(again) == rows(whole), step


def test_a_finished_run_with_more_epochs_is_the_longer_run(tmp_path):
    kind = KINDS["adam-dropout-norm"]
    whole, _ = fit(kind(epochs=4), tmp_path / "whole")
    first, _ = fit(kind(epochs=2), tmp_path / "part")
    assert first.total_steps == 14
    longer, status = fit(kind(epochs=4), tmp_path / "part")
    assert (status, longer.total_steps, longer.epoch) == ("done", 28, 4)
    assert bits(longer) == bits(whole)
    assert rows(longer) == rows(whole)


def test_contexts_are_resumed_with_their_own_moving_averages(tmp_path):
    kind = KINDS["sgd-dropout-norm"]
    whole, _ = fit(kind(), tmp_path / "whole", contexts=2)

    def kill(trainer):
        raise Killed

    for step in (5, 11):
        folder = tmp_path / str(step)
        with pytest.raises(Killed):
            fit(kind(), folder, At(step, kill), contexts=2)
        again, _ = fit(kind(), folder, contexts=2)
        assert bits(again) == bits(whole), step
        assert rows(again) == rows(whole), step


def saved_names(folder):
    return sorted(path.stem for path in (folder / "checkpoints").glob("*.json"))


def saved_steps(folder):
    return [int(name) for name in saved_names(folder) if name != "best"]


def test_checkpoints_by_time_are_written_at_the_next_point(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(trainer_module, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    class Ticks(Callback):
        def on_step_end(self, trainer):
            clock[0] += 1.0

    task = KINDS["adam-dropout-norm"](checkpoint_every="3 seconds", keep=99)
    fit(task, tmp_path, Ticks())
    # three seconds are over at step 3, the next point is step 4; then at 7 (the end of the
    # epoch), at 10 and the next point, step 4 of its epoch, at 14, 18 and the end
    assert saved_steps(tmp_path) == [4, 7, 11, 14, 18, 21]


def test_checkpoints_by_steps_and_epochs(tmp_path):
    cases = (("5 steps", [5, 10, 15, 20, 21]), (2, [14, 21]), (1, [7, 14, 21]), ("99 steps", [21]))
    for every, expected in cases:
        folder = tmp_path / str(every)
        fit(KINDS["calm"](checkpoint_every=every, keep=99), folder)
        assert saved_steps(folder) == expected, every
    fit(KINDS["calm"](checkpoint_every=1, keep=2), tmp_path / "two")
    assert saved_steps(tmp_path / "two") == [14, 21]


class Judged(Learner):
    """Its figure is best after the second of four epochs."""

    def evaluate(self, engine):
        self.seen = getattr(self, "seen", 0) + 1
        return {"valid_loss": [3.0, 1.0, 2.0, 1.0][self.seen - 1]}


def test_the_best_and_the_last_are_kept(tmp_path):
    whole, _ = fit(Judged(epochs=4, checkpoint_every=1, keep=1), tmp_path)
    assert saved_names(tmp_path) == ["000000028", "best"]
    best = checkpoint.load(tmp_path / "checkpoints" / "best.json")
    assert best.meta["total_steps"] == 14 and best.meta["best"] == whole.best == 1.0
    two, _ = fit(Judged(epochs=2, checkpoint_every=1), tmp_path / "two")
    expected, _ = two.engine.state()
    for key, value in expected.items():
        np.testing.assert_array_equal(best.arrays[key], value, err_msg=key)


def test_patience_counts_on_after_a_resume(tmp_path):
    class Worse(Learner):
        def evaluate(self, engine):
            return {"valid_loss": 1.0}

    def kill(trainer):
        raise Killed

    options = {"epochs": 9, "patience": 3, "checkpoint_every": 1}
    whole, status = fit(Worse(**options), tmp_path / "whole")
    assert (status, whole.epoch) == ("done", 4)
    assert whole.reason == "no better valid_loss for 3 evaluations"
    with pytest.raises(Killed):
        fit(Worse(**options), tmp_path / "killed", At(17, kill))
    again, _ = fit(Worse(**options), tmp_path / "killed")
    assert again.epoch == 4 and bits(again) == bits(whole)


def test_a_plateau_slows_and_stays_so_after_a_resume(tmp_path):
    class Stalls(Learner):
        def evaluate(self, engine):
            self.told = getattr(self, "told", 0) + 1
            return {"valid_loss": 1.0}

    rates = []

    def kill(trainer):
        raise Killed

    def note(trainer):
        rates.append(trainer.engine.rate)

    options = {"epochs": 4, "plateau": 0.25, "checkpoint_every": 1}
    whole, _ = fit(Stalls(**options), tmp_path / "whole", *[At(n, note) for n in (7, 14, 21, 28)])
    assert rates == [1.0, 1.0, 0.25, 0.0625]  # the first evaluation is the best so far
    assert [row["rate"] for row in whole.run.metrics()] == rates
    with pytest.raises(Killed):
        fit(Stalls(**options), tmp_path / "killed", At(24, kill))
    again, _ = fit(Stalls(**options), tmp_path / "killed")
    assert again.slowed == whole.slowed == 0.25**3 and bits(again) == bits(whole)
    plain, _ = fit(Stalls(epochs=4), tmp_path / "plain")
    assert bits(plain) != bits(whole) and "rate" not in plain.run.metrics()[0]


def test_samples_are_written_after_each_evaluation(tmp_path):
    class Writes(Learner):
        def sample(self, nets, run, epoch):
            run.write_text(f"samples/{epoch}.txt", "x")

    (tmp_path / "samples").mkdir()
    fit(Writes(epochs=5, evaluate_every=2), tmp_path)
    assert sorted(p.name for p in (tmp_path / "samples").iterdir()) == ["2.txt", "4.txt", "5.txt"]


@pytest.mark.parametrize("contexts", [1, 2])
@pytest.mark.parametrize("more", [{}, {"clip": 0.1}, {"accumulate": 3}, {"log_every": 99}])
def test_nothing_reads_the_device_but_points(contexts, more, tmp_path, monkeypatch):
    reads = []
    for name in ("asnumpy", "asscalar", "wait_to_read"):
        before = getattr(nd.NDArray, name)

        def counted(self, *args, before=before, name=name):
            reads.append(name)
            return before(self, *args)

        monkeypatch.setattr(nd.NDArray, name, counted)
    monkeypatch.setattr(nd, "waitall", lambda: reads.append("waitall"))
    counts = {}

    class Watch(Callback):
        def on_step_end(self, trainer):
            counts[trainer.epoch, trainer.step] = len(reads)

    kind = KINDS["sgd-dropout-norm"]
    task = kind(**{"epochs": 2, "log_every": 4, "checkpoint_every": 1, **more})
    fit(task, tmp_path, Watch(), contexts=contexts)
    points = {4} if task.options.log_every == 4 else set()
    for epoch in range(2):
        for step in range(1, 7):
            read = counts[epoch, step + 1] - counts[epoch, step]
            assert (read > 0) == (step in points), (epoch, step, reads)
    assert counts[1, 1] > counts[0, 7]  # the end of an epoch reads


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (True, r"first bad parameter: net\.0\.weight"),
        (False, r"largest parameter: net\.1\.bias \(7\)"),
    ],
)
def test_a_loss_that_is_not_finite_names_the_place_and_a_parameter(tmp_path, bad, named):
    class Broken(Learner):
        def step(self, engine, batch):
            found = super().step(engine, batch)
            if batch[0].shape[0] < 6:  # the last batch, after the point at step 6
                engine.nets[-1].bias.set_data(nd.full(3, 7))
                if bad:
                    engine.nets[0].weight.set_data(nd.full((8, 5), np.nan))
                found = {"loss": Sum(nd.array([np.inf]), 4)}
            return found

    with pytest.raises(DivergedError, match=rf"^loss is inf in epoch 1, step 7; {named}") as caught:
        fit(Broken(epochs=2), tmp_path)
    assert caught.value.hint.startswith("Try a smaller optimizer.learning_rate")
    assert saved_steps(tmp_path) == [3, 6]
    saved, _ = checkpoint.latest(tmp_path / "checkpoints")
    assert all(np.isfinite(array).all() for array in saved.arrays.values())

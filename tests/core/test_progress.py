"""Tests of core/terminal/progress.py: what the lines and the bar say, and how often.

Holds no run: the trainer is a stand-in with the attributes that progress asks for.
"""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from dope.core.terminal import progress
from dope.core.terminal.progress import Bar, Lines, clock


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def time(monkeypatch):
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


@pytest.fixture
def trainer():
    return SimpleNamespace(
        epoch=0,
        step=0,
        total_steps=0,
        steps_left=40,
        steps_per_epoch=20,
        examples=0,
        options=SimpleNamespace(epochs=2),
    )


def test_lines_are_silent_at_first_and_then_say_rate_and_time_left(time, trainer):
    stream = io.StringIO()
    lines = Lines(stream)
    lines.on_fit_start(trainer)
    trainer.epoch, trainer.total_steps, trainer.steps_left, trainer.examples = 1, 20, 20, 640
    time.now += 1.9
    lines.on_epoch_end(trainer, {"loss": 1.5, "name": "x"})
    assert stream.getvalue() == ""
    lines.on_evaluation_end(trainer, {"valid_loss": 1.25})
    time.now += 2.1
    lines.on_epoch_end(trainer, {"loss": 0.123456})
    assert stream.getvalue() == (
        "epoch 1/2  loss 0.12346  valid_loss 1.25  160 examples/s  0:04 left\n"
    )


def test_a_long_epoch_says_how_far_it_is(time, trainer):
    stream = io.StringIO()
    lines = Lines(stream)
    lines.on_fit_start(trainer)
    for seconds in (10, 9.9, 0.2, 10):
        time.now += seconds
        trainer.step += 1
        trainer.total_steps += 1
        trainer.steps_left -= 1
        trainer.examples += 32
        lines.on_step_end(trainer)
    assert stream.getvalue() == "epoch 1/2  step 3/20  5 examples/s  4:08 left\n"


def test_the_bar_changes_ten_times_a_second_and_shows_held_out_figures(time, trainer):
    bar = Bar()
    bar.on_fit_start(trainer)
    seen = []
    bar._bar.update = lambda row, **fields: seen.append(fields)
    for _ in range(100):
        time.now += 0.01
        trainer.total_steps += 1
        trainer.examples += 32
        bar.on_step_end(trainer)
    assert 9 <= len(seen) <= 10 and seen[-1]["rate"] == "3,200 examples/s"
    trainer.epoch = 2
    bar.on_epoch_end(trainer, {"loss": 2})
    bar.on_evaluation_end(trainer, {"test_accuracy": 0.5})
    assert seen[-1]["text"] == "loss 2  test_accuracy 0.5" and seen[-1]["epoch"] == 2
    bar.on_fit_end(trainer, "done")


def test_the_bar_says_the_best_so_far_and_the_memory(time, trainer):
    screen = io.StringIO()
    bar = Bar(Console(file=screen, force_terminal=True, width=100))
    bar.on_fit_start(trainer)
    trainer.epoch, trainer.total_steps, trainer.steps_left = 1, 20, 20
    bar.on_epoch_end(trainer, {"loss": 1.0})
    bar.on_evaluation_end(trainer, {"valid_loss": 0.5})  # the trainer judges after it
    trainer.best = 0.5
    time.now += 1.0
    bar.on_step_end(trainer)
    trainer.epoch = 2
    bar.on_evaluation_end(trainer, {"valid_loss": 0.75})
    assert bar.side(trainer).startswith("best valid_loss 0.5 (epoch 1)  memory ")
    bar._bar.refresh()
    bar.on_fit_end(trainer, "done")
    assert "loss 1  valid_loss 0.75" in screen.getvalue()
    assert "best valid_loss 0.5 (epoch 1)" in screen.getvalue()


def test_memory_is_what_the_system_counts():
    import resource

    most = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert 0.2 * most < progress.memory() <= 1.02 * most


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3661, "1:01:01")])
def test_clock(seconds, text):
    assert clock(seconds) == text

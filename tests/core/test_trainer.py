"""A run's life: stopped, killed, damaged, diverging, without disk; nothing good may be lost.

The runs are those of the toy plugin in conftest.py, in processes of their own.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess

import pytest

SLOW = ("trainer.epochs=6", "task.pause=0.02", "--seed", 3, "--quiet")


def result_of(run):
    return json.loads((run / "result.json").read_text())


def resumed(inside, run):
    done = inside("resume", run, "task.pause=0", "--quiet")
    assert done.exit_code == 0, done.stderr
    return done


def epochs_of(run):
    return [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_training_learns_and_the_seed_decides(inside, toy, whole, tmp_path):
    _, run = whole
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["valid_loss"] < 0.6 * rows[0]["valid_loss"]
    for seed, same in ((3, True), (4, False)):
        runs = tmp_path / str(seed)
        args = ["trainer.epochs=6", "--seed", seed, "--runs", runs, "--quiet"]
        assert inside("run", "toy.regression", *args).exit_code == 0
        again = toy.only_run(runs)
        assert (toy.final_arrays(again) == toy.final_arrays(run)) is same
        figures = [result_of(each)["metrics"]["valid_loss"] for each in (again, run)]
        assert (figures[0] == figures[1]) is same


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_saves_names_the_run_and_the_rest_has_the_same_bits(
    inside, toy, whole, tmp_path, name
):
    code, err, run = toy.stopped(tmp_path / "runs", getattr(toy, name), *SLOW)
    assert code == 130
    assert err == f"interrupted. Go on with: dope resume {run}\n"
    result = result_of(run)
    assert result["status"] == "interrupted" and 10 <= result["steps"] < 30
    saved = max(p.stem for p in (run / "checkpoints").glob("[0-9]*.json"))
    assert int(saved) == result["steps"]  # not a step was lost
    resumed(inside, run)
    assert toy.final_arrays(run) == toy.final_arrays(whole[1])
    assert epochs_of(run) == [1, 2, 3, 4, 5, 6]
    assert result_of(run)["status"] == "done"


def test_killed_at_three_random_moments_it_ends_with_the_same_bits(inside, toy, whole, tmp_path):
    rng = random.Random()
    runs = tmp_path / "runs"
    run = None
    for kill in range(3):
        if run is None:
            process = toy.start("run", "toy.regression", "--runs", runs, *SLOW)
        else:
            process = toy.start("resume", run, "--quiet")
        saved = len(list(runs.glob("*/*/checkpoints/*.npz"))) if run else 0
        names = {p.name for p in runs.glob("*/*/checkpoints/*.npz")}
        while process.poll() is None:
            if {p.name for p in runs.glob("*/*/checkpoints/*.npz")} - names:
                break
        assert process.poll() is None, (kill, saved, process.communicate())
        try:
            process.wait(rng.uniform(0, 0.09))  # within the next epoch, or while it is saved
        except subprocess.TimeoutExpired:
            process.kill()
        assert process.wait() == -toy.SIGKILL
        process.communicate()
        run = toy.only_run(runs)
        assert result_of(run)["status"] == "running"
    resumed(inside, run)
    assert toy.final_arrays(run) == toy.final_arrays(whole[1])
    assert epochs_of(run) == [1, 2, 3, 4, 5, 6]


def test_killed_before_the_first_checkpoint_it_begins_again(inside, toy, whole, tmp_path):
    runs = tmp_path / "runs"
    process = toy.start(
        "run", "toy.regression", "--runs", runs, "trainer.epochs=6", "task.pause=5", "--seed", 3
    )
    while not list(runs.glob("*/*/result.json")):
        assert process.poll() is None
    process.kill()
    process.communicate()
    run = toy.only_run(runs)
    assert list((run / "checkpoints").glob("*.json")) == []
    resumed(inside, run)
    assert toy.final_arrays(run) == toy.final_arrays(whole[1])


def test_a_diverging_run_names_the_place_and_keeps_the_last_good_checkpoint(inside, toy, tmp_path):
    runs = tmp_path / "runs"
    assert inside("run", "toy.regression", "trainer.epochs=2", "--runs", runs).exit_code == 0
    run = toy.only_run(runs)
    before = toy.final_arrays(run)
    wild = ["optimizer=sgd", "optimizer.learning_rate=1e8", "model.dropout=0", "trainer.epochs=9"]
    other = tmp_path / "other"
    result = inside("run", "toy.regression", *wild, "--runs", other, "--quiet")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert re.match(r"error: loss is (nan|inf) in epoch 1, step \d+; ", line)
    assert re.search(r"first bad parameter: net\.[01]\.weight\. Try a smaller optimizer\.", line)
    failed = result_of(toy.only_run(other))
    assert failed["status"] == "failed" and "epoch 1" in failed["error"]

    # a run that went well until it was given too long a step: nothing of it is lost
    result = inside("resume", run, "trainer.epochs=9", "optimizer.learning_rate=1e30", "--quiet")
    assert result.exit_code == 1 and "epoch 3" in result.stderr and str(run) in result.stderr
    assert toy.final_arrays(run) == before
    calm = inside("resume", run, "trainer.epochs=3", "optimizer.learning_rate=0.02", "--quiet")
    assert calm.exit_code == 0


def test_a_parameter_spoilt_by_the_last_update_is_never_saved(inside, toy, tmp_path):
    runs = tmp_path / "runs"
    # one step an epoch: its loss is of the parameters before it, and finite
    args = ["optimizer=sgd", "optimizer.learning_rate=3e38", "optimizer.wd=1000"]
    args.append("trainer.batch_size=40")
    result = inside("run", "toy.regression", *args, "--runs", runs, "--quiet")
    assert result.exit_code == 1 and "is not finite after epoch 1" in result.stderr
    assert "parameter net." in result.stderr
    assert list((toy.only_run(runs) / "checkpoints").iterdir()) == []


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(inside, toy, whole, tmp_path):
    run = tmp_path / "runs" / "toy.regression" / "copied"
    shutil.copytree(whole[1], run)
    newest = max((run / "checkpoints").glob("0*.npz"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    done = resumed(inside, run)
    assert f"warning: the checkpoint {newest} is damaged" in done.stderr
    assert "using the one before" in done.stderr
    assert "damaged" in (run / "log.txt").read_text()
    assert toy.final_arrays(run) == toy.final_arrays(whole[1])


def test_a_run_without_any_checkpoint_cannot_predict(inside, whole, tmp_path):
    run = tmp_path / "runs" / "toy.regression" / "copied"
    shutil.copytree(whole[1], run)
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    result = inside("predict", run)
    assert result.exit_code == 1 and "has no checkpoint" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_full_disk_is_one_line_and_the_earlier_checkpoint_stands(inside, toy, tmp_path):
    runs = tmp_path / "runs"
    args = ["trainer.epochs=1", "--runs", runs, "--quiet"]
    assert inside("run", "toy.regression", *args).exit_code == 0
    run = toy.only_run(runs)
    before = toy.final_arrays(run)
    # no file may grow beyond this: as on a full disk, writing fails, but the same for everybody
    size = min(p.stat().st_size for p in (run / "checkpoints").glob("*.npz")) // 2
    full = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
    )
    done = toy.dope("resume", run, "trainer.epochs=3", "--quiet", before=full)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: cannot write ") and "checkpoints" in line
    assert toy.final_arrays(run) == before
    assert list((run / "checkpoints").glob(".*")) == []  # nothing half-written is left
    assert result_of(run)["status"] == "failed"
    resumed(inside, run)
    assert epochs_of(run) == [1, 2, 3]


def test_one_and_two_contexts_and_imperative_train_alike(inside, tmp_path):
    losses = []
    settings = [[], ["--contexts", "cpu(0),cpu(1)"], ["--no-hybridize"]]
    for number, more in enumerate(settings):
        args = ["model.dropout=0", "dataset.n=37", "--runs", tmp_path / str(number), "--json"]
        out = inside("run", "toy.regression", *args, "--quiet", *more).stdout
        losses.append(json.loads(out)["metrics"]["valid_loss"])
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=2e-5)

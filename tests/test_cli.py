"""The command line: what each command prints, and one clear line for each thing that goes wrong.

Training itself is tested in core/test_trainer.py; the toy plugin is that of conftest.py.
"""

from __future__ import annotations

import csv
import io
import json
import resource
import subprocess
import sys

import pytest

HEAVY = ("mxnet", "numpy", "matplotlib", "rich", "pydantic", "pooch")


def one_error_line(result):
    """The only line on standard error, which is an error; nothing on standard output."""
    out = result.stdout
    code = getattr(result, "exit_code", None)
    code = result.returncode if code is None else code
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and out == "", (lines, out)
    return lines[0], code


@pytest.mark.parametrize(
    "command",
    [["list"], ["list", "--kind", "all"], ["show", "toy.regression"], ["plugins"], ["-h"]],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(toy, command):
    code = (
        "import sys\nfrom dope.cli import cli\n"
        f"try:\n    cli.main({command!r})\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(*sorted(set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=toy.env, capture_output=True, text=True, check=True
    )
    allowed = ("pydantic",) if command[0] == "show" else ()  # it checks the defaults
    loaded = set(done.stderr.split())
    assert "dope.cli" in loaded
    assert [name for name in HEAVY if name in loaded and name not in allowed] == []


def test_list_takes_less_than_a_fifth_of_a_second(toy):
    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert toy.dope("list").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.2  # of the processor: others may be busy, too


def test_list_names_tasks_with_profiles(inside):
    out = inside("list", "toy").stdout
    line = next(line for line in out.splitlines() if "toy.regression" in line)
    assert "quick, book" in line and "Fit a line by a small net" in line
    assert "timeseries" not in out and "toy.net" not in out
    (entry,) = json.loads(inside("list", "toy", "--json").stdout)
    assert entry["name"] == "toy.regression" and entry["profiles"] == ["quick", "book"]


def test_list_of_kinds(inside):
    found = json.loads(inside("list", "toy", "--kind", "all", "--json").stdout)
    assert {(e["kind"], e["name"]) for e in found} == {
        ("dataset", "toy.line"),
        ("model", "toy.net"),
        ("loss", "toy.square"),
        ("task", "toy.regression"),
    }
    out = inside("list", "--kind", "loss").stdout
    assert "toy.square" in out and "toy.line" not in out


def test_list_of_an_unknown_domain(inside):
    line, code = one_error_line(inside("list", "toi"))
    assert code == 2 and "Did you mean 'toy'?" in line


def test_list_survives_a_task_whose_code_is_missing(inside, toy, tmp_path, monkeypatch):
    plugin = (
        "from dope.core.hookspecs import hookimpl\n@hookimpl\ndef register_tasks(register):\n"
        "    register('gone.task', 'gone_code:Task', summary='Nothing behind it')\n"
    )
    toy.install(tmp_path, "gone", plugin)
    monkeypatch.syspath_prepend(tmp_path)
    result = inside("list")
    assert result.exit_code == 0 and "gone.task" in result.stdout
    assert "toy.regression" in result.stdout
    line, code = one_error_line(inside("show", "gone.task"))
    assert code == 1 and "gone_code" in line


def test_show_has_every_option(inside):
    out = inside("show", "toy.regression").stdout
    for option in ("task.pause", "dataset.n", "model.dropout", "optimizer.beta1", "trainer.keep"):
        assert option in out
    assert "Share that is dropped." in out
    assert "Example:  dope run toy.regression" in out
    assert all(len(line) <= 100 for line in out.splitlines())


def test_show_follows_the_profile_and_prints_json(inside):
    def epochs(*more):
        shown = json.loads(inside("show", "toy.regression", "--json", *more).stdout)
        rows = {f"{row['section']}.{row['key']}": row for row in shown["options"]}
        return rows["trainer.epochs"]["default"]

    assert (epochs(), epochs("--profile", "book")) == ("3", "7")
    schema = json.loads(inside("show", "toy.regression", "--schema").stdout)
    assert "trainer" in schema["properties"]


def test_dry_run_says_where_each_value_is_from_and_writes_nothing(inside, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("model: {units: 5}\n")
    runs = tmp_path / "runs"
    result = inside(
        "run", "--dry-run", "dataset.n=9", "toy.regression", "--config", file, "--runs", runs
    )
    assert result.exit_code == 0 and not runs.exists()
    lines = {line.split("#")[0].strip(): line for line in result.stdout.splitlines()}
    assert lines["n: 9"].endswith("# command line")
    assert "mine.yaml" in lines["units: 5"]
    assert lines["epochs: 3"].endswith("# task default")
    assert lines["beta1: 0.9"].endswith("# default of adam")
    made = json.loads(inside("run", "toy.regression", "--dry-run", "--json").stdout)
    assert made["config"]["trainer"]["epochs"] == 3


def test_run_ends_with_figures_files_and_the_folder(whole):
    done, run = whole
    lines = done.stdout.splitlines()
    files = [str(run / "fitted.csv"), str(run / "plots" / "curves.png")]
    assert lines[-1] == str(run) and lines[-3:-1] == files
    assert any(line.startswith("6 epochs, 30 steps") for line in lines)
    rows = [line.split() for line in lines]
    assert ["this", "run", "1.25"] in rows and ["mean", "2.5"] in rows
    note, *progress = done.stderr.splitlines()
    assert note == "note: the points are made up"
    assert all(line.startswith("epoch ") for line in progress)  # slow machines show some
    result = json.loads((run / "result.json").read_text())
    assert result["status"] == "done" and result["metrics"]["loss"] < 5


def test_json_of_a_run_is_all_there_is_on_standard_output(inside, tmp_path):
    runs = tmp_path / "runs"
    args = ["trainer.epochs=1", "--json", "--runs", runs, "--quiet", "--contexts", "cpu(0),cpu(1)"]
    result = inside("run", "toy.regression", *args)
    assert result.exit_code == 0 and result.stderr == ""
    said = json.loads(result.stdout)
    kept = json.loads(open(said.pop("run") + "/result.json").read())  # noqa: PTH123, SIM115
    assert said == kept and said["settings"]["contexts"] == "cpu(0),cpu(1)"


def test_eval_and_predict_on_a_run(inside, whole, tmp_path):
    _, run = whole
    root = run.parent.parent
    kept = json.loads((run / "result.json").read_text())["metrics"]
    for name in (run, "last", run.name[-4:]):
        found = json.loads(inside("eval", name, "--runs", root, "--json").stdout)
        assert found["valid_loss"] == pytest.approx(kept["valid_loss"], rel=1e-6)
    shown = inside("eval", run).stdout.split()
    assert shown[0] == "valid_loss" and float(shown[1]) == pytest.approx(found["valid_loss"], 1e-4)

    made = json.loads(inside("predict", run, "--json").stdout)
    assert len(made["rows"]) == 40
    table = inside("predict", run).stdout
    assert "… and 20 more" in table and "mean_y" in table
    output = tmp_path / "rows.csv"
    assert inside("predict", run, "dataset.n=7", "--output", output).stdout.splitlines()[-1] == str(
        output
    )
    rows = list(csv.DictReader(output.open()))
    assert [row["i"] for row in rows] == list("0123456")
    piped = list(csv.DictReader(io.StringIO(inside("predict", run, "--output", "-").stdout)))
    assert [float(r["y"]) for r in piped] == pytest.approx([r["y"] for r in made["rows"]])
    line, code = one_error_line(inside("predict", run, "--output", tmp_path / "no" / "rows.csv"))
    assert code == 1 and "No such file or directory" in line


def test_a_run_that_has_ended_is_not_resumed_but_can_be_prolonged(inside, tmp_path):
    runs = tmp_path / "runs"
    assert inside("run", "toy.regression", "--runs", runs, "--quiet").exit_code == 0
    line, code = one_error_line(inside("resume", "last", "--runs", runs))
    assert code == 1 and "has ended" in line and "trainer.epochs=6" in line
    more = inside("resume", "last", "trainer.epochs=4", "--runs", runs, "--json", "--quiet")
    assert json.loads(more.stdout)["epochs"] == 4


WRONG = {
    "a typo in a key": (["run", "toy.regression", "model.unit=3"], 2, "Did you mean 'units'?"),
    "a wrong type": (["run", "toy.regression", "trainer.epochs=many"], 2, "got 'many'"),
    "out of range": (["run", "toy.regression", "trainer.epochs=-1"], 2, "trainer.epochs=-1"),
    "no equals sign": (["run", "toy.regression", "epochs"], 2, "epochs"),
    "an unknown task": (["run", "toy.regresion"], 2, "Did you mean 'toy.regression'?"),
    "an unknown part": (["run", "toy.regression", "dataset=toy.lime"], 2, "'toy.line'?"),
    "an unknown profile": (["run", "toy.regression", "--profile", "bok"], 2, "'book'?"),
    "a file that is not there": (["run", "toy.regression", "--config", "no.yaml"], 2, "no.yaml"),
    "a context that is not there": (["run", "toy.regression", "--contexts", "gpu(7)"], 2, "gpu(7)"),
    "a context twice": (["run", "toy.regression", "--contexts", "cpu,cpu"], 2, "named twice"),
    "an unknown command": (["rnu"], 2, "Did you mean 'run'?"),
    "an unknown option": (["run", "toy.regression", "--sead", "1"], 2, "dope run -h"),
    "an option of a wrong type": (["run", "toy.regression", "--seed", "x"], 2, "--seed"),
    "a missing argument": (["run"], 2, "TASK"),
    "an unknown run": (["resume", "yesterday"], 1, "no run 'yesterday'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_in_one_line(inside, tmp_path, monkeypatch, what):
    args, code, words = WRONG[what]
    monkeypatch.chdir(tmp_path)
    line, found = one_error_line(inside(*args))
    assert found == code and words in line
    assert list(tmp_path.iterdir()) == []  # refused before anything was written


def test_a_runs_folder_that_cannot_be_made(inside, tmp_path):
    file = tmp_path / "runs"
    file.write_text("not a folder")
    line, code = one_error_line(inside("run", "toy.regression", "--runs", file))
    assert code == 1 and "cannot make the folder" in line and "--runs DIR" in line
    assert file.read_text() == "not a folder"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("value", "unexpected ValueError: first line of it. Run again with --debug"),
        ("mxnet", "unexpected MXNetError: "),
        ("memory", "unexpected MemoryError: "),
    ],
)
def test_the_unexpected_is_one_line_without_a_traceback(inside, tmp_path, fault, words):
    args = ["run", "toy.regression", f"task.fault={fault}", "--runs", tmp_path / "r", "--quiet"]
    line, code = one_error_line(inside(*args))
    assert code == 1 and words in line and "Traceback" not in line
    shown = inside(*args, "--debug").stderr
    assert "Traceback" in shown and shown.splitlines()[-1] == line


def test_debug_by_environment(inside, tmp_path, monkeypatch):
    monkeypatch.setenv("DOPE_DEBUG", "1")
    result = inside("run", "toy.nothing")
    assert result.exit_code == 2 and "Traceback" in result.stderr


def test_an_interrupt_that_nothing_waits_for_names_the_run(inside, toy, tmp_path):
    runs = tmp_path / "runs"
    args = ["task.fault=interrupt", "--runs", runs, "--quiet"]
    result = inside("run", "toy.regression", *args)
    run = toy.only_run(runs)
    assert result.exit_code == 130
    assert result.stderr == f"interrupted. Go on with: dope resume {run}\n"
    assert json.loads((run / "result.json").read_text())["status"] == "interrupted"


def test_a_reader_who_leaves_early_gets_no_complaint(toy):
    process = toy.start("show", "toy.regression", "--schema")
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(30) == 1


def test_plugins_shows_what_is_broken_and_strict_fails(inside, toy, tmp_path, monkeypatch):
    toy.install(tmp_path, "bad", "x = 1\nimport no_such_module_xyz\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DOPE_DISABLE_PLUGINS", "timeseries")
    found = {each["name"]: each for each in json.loads(inside("plugins", "--json").stdout)}
    assert found["bad"]["status"] == "broken" and "no_such_module_xyz" in found["bad"]["error"]
    assert found["bad"]["where"].endswith("bad_plugin_module.py:2")
    assert found["timeseries"]["status"] == "disabled"
    assert found["toy"]["counts"] == {"dataset": 1, "model": 1, "loss": 1, "task": 1}
    text = " ".join(inside("plugins").stdout.split())
    assert "dist-toy 1.2" in text and "broken: ModuleNotFoundError" in text
    line, code = one_error_line(inside("plugins", "--strict"))
    assert code == 1 and "'bad'" in line
    listed = inside("list")
    assert listed.exit_code == 0 and "broken plugins: bad" in listed.stderr


@pytest.mark.parametrize(
    "command", ["list", "show", "run", "resume", "eval", "predict", "plugins", "doctor", ""]
)
def test_help_has_an_example(inside, command):
    result = inside(*command.split(), "-h")
    assert result.exit_code == 0 and "Example:" in result.stdout
    assert f"dope {command}" in result.stdout.split("Example:")[1]


def test_version(inside):
    from dope import __version__

    assert inside("--version").stdout == f"dope {__version__}\n"

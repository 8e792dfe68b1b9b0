"""That `dope plugin check` finds what is wrong with a plugin: one broken plugin for each check.

Holds no fault of a task's learning; those are in test_testing.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from dope.core.plugging.discovery import discover
from dope.core.testing import PLUGIN_CHECKS, Outcome, verdict
from dope.core.testing.plugin import LEAST, PluginSuite, check_plugin

SOUND = """
from dope.core.hookspecs import hookimpl

@hookimpl
def register_losses(register):
    register("NAME.square", "NAME_parts:Square", summary="Squared error")
"""
PARTS = '''
from dope.core.task import Task

class Square:
    """Squared error of each example.

    Parameters
    ----------
    weight
        A factor.
    """
    def __init__(self, *, weight: float = 1.0) -> None:
        self.weight = weight
    def __call__(self, output, target):
        return self.weight * (output - target) ** 2

class Undescribed:
    """An option without a word."""
    def __init__(self, *, weight: float = 1.0) -> None:
        pass

class Untyped:
    """An option without a type.

    Parameters
    ----------
    weight
        A factor.
    """
    def __init__(self, *, weight=1.0) -> None:
        pass

class Positional:
    """An option that nobody can set."""
    def __init__(self, weight: float = 1.0) -> None:
        pass

class NoDocstring:
    pass

class NoTask:
    """Learns nothing."""

class NoEvents:
    """Hears nothing."""

class Quiet(Task):
    """A task."""
    defaults = {"optimizer": "sgd"}

class Misdeclared(Task):
    """A task with a check that there is not."""
    defaults = {"optimizer": "sgd"}
    exempt = {"nosuch": "it has none"}

NUMBER = 7
'''


def with_target(name):
    return SOUND.replace("NAME_parts:Square", f"NAME_parts:{name}")


def of_kind(kind, name):
    hooks = {"loss": "losses", "task": "tasks", "callback": "callbacks"}
    return with_target(name).replace("register_losses", f"register_{hooks[kind]}")


FAULTS = {
    "raises": ("import no_such_module_at_all\n" + SOUND, "imports", "No module named"),
    "nothing": (SOUND.partition("    register(")[0] + "    pass", "imports", "registers nothing"),
    "heavy": ("import numpy\n" + SOUND, "light", "imports numpy: it slows every command"),
    "foreign": (SOUND.replace('"NAME.s', '"other.s'), "names", "does not begin with 'foreign.'"),
    "silent": (SOUND.replace("Squared error", " "), "summaries", "has no summary"),
    "lengthy": (SOUND.replace("Squared", "Very " * 30), "summaries", "is not one line of 100"),
    "misspelt": (
        SOUND + "\n@hookimpl\ndef register_modles(register):\n    pass\n",
        "loads",
        "it is broken: 'register_modles' is not a hook of dope",
    ),
    "missing": (with_target("Sqare"), "resolves", "no attribute 'Sqare'"),
    "constant": (with_target("NUMBER"), "resolves", "is no class and no function"),
    "notask": (of_kind("task", "NoTask"), "resolves", "is no subclass of dope.Task"),
    "deaf": (of_kind("callback", "NoEvents"), "resolves", "has none of on_fit_start, on_step_end"),
    "undescribed": (with_target("Undescribed"), "documented", "option 'weight' of loss"),
    "untyped": (with_target("Untyped"), "documented", "has no type annotation"),
    "positional": (with_target("Positional"), "documented", "but is not keyword-only"),
    "nodocstring": (with_target("NoDocstring"), "documented", "has no docstring"),
}
NOISY = "import sys\nprint('hello', file=sys.stderr)\n" + of_kind("task", "Quiet")


@pytest.fixture(scope="module")
def site(toy, tmp_path_factory):
    """A folder with a sound plugin, and a broken one for each fault, as if installed."""
    folder = tmp_path_factory.mktemp("broken")
    plugins = {"sound": SOUND, **{name: text for name, (text, _, _) in FAULTS.items()}}
    plugins["misdeclared"] = of_kind("task", "Misdeclared")
    for name, text in plugins.items():
        toy.install(folder, name, text.replace("NAME", name))
        (folder / f"{name}_parts.py").write_text(PARTS)
    return folder


@pytest.fixture
def checked(site, tmp_path, monkeypatch):
    """The suite of one of these plugins; no other is loaded."""
    monkeypatch.syspath_prepend(site)

    def suite(name):
        others = {info.name for info in discover().plugins} - {name}
        return PluginSuite(discover(disabled=others), name, lambda _: tmp_path)

    return suite


def outcomes(suite):
    return [suite.outcome(*case) for case in suite.cases()]


def test_a_sound_plugin_passes(checked):
    found = outcomes(checked("sound"))
    states = {outcome.check: outcome.state for outcome in found}
    assert states == {**dict.fromkeys(PLUGIN_CHECKS, "passed"), "tasks": "not applicable"}
    assert found[-1].text == "it registers no task: its parts are checked only as parts"
    assert verdict(found) is None


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_its_check_and_no_other(checked, name):
    _, check, says = FAULTS[name]
    suite = checked(name)
    found = [suite.outcome(name, each) for each in PLUGIN_CHECKS]
    failed = [outcome for outcome in found if outcome.state == "failed"]
    assert [outcome.check for outcome in failed] == [check], "\n".join(map(str, found))
    assert says in failed[0].text
    assert f"of {len(found)} checks have not passed: {name} {check}" in verdict(found)


def test_every_check_has_a_fault_that_it_finds():
    assert {check for _, check, _ in FAULTS.values()} | {"tasks"} == set(PLUGIN_CHECKS)
    assert all(check.promise.endswith(".") for check in PLUGIN_CHECKS.values())


def test_a_plugin_that_prints_spoils_the_one_line_of_an_error(toy, tmp_path, monkeypatch):
    toy.install(tmp_path, "noisy", NOISY.replace("NAME", "noisy"))
    (tmp_path / "noisy_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    suite = PluginSuite(discover(), "noisy", lambda _: tmp_path)
    outcome = suite.outcome("noisy.square", "usage")
    assert outcome.state == "failed" and "hello" in outcome.text


def test_what_a_task_declares_and_cannot_be_is_a_failure(checked):
    suite = checked("misdeclared")
    found = suite.outcome("misdeclared.square", "config")
    assert found.state == "failed" and "exempt names 'nosuch', which is no check" in found.text


def test_a_disabled_plugin_does_not_pass(site, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(site)
    suite = PluginSuite(discover(disabled=["sound"]), "sound", lambda _: tmp_path)
    assert suite.outcome("sound", "loads").text == "it is disabled"
    assert suite.outcome("sound", "resolves").state == "blocked"


def test_too_few_checks_do_not_pass():
    ran = [Outcome("a", str(i), "passed") for i in range(LEAST)]
    idle = [Outcome("a", str(i), "not applicable", "because") for i in range(99)]
    assert verdict(ran) is None
    assert verdict([]) == f"only 0 checks ran, at least {LEAST} must"
    assert verdict(ran[1:] + idle) == f"only {LEAST - 1} checks ran, at least {LEAST} must"


@pytest.fixture
def command(site):
    """``dope ARGS`` with the sound plugin and the broken ones installed."""

    def run(*arguments):
        env = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "100"}
        code = "from dope.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True
        )

    return run


def test_the_command_prints_a_line_a_check_and_totals(command):
    done = command("plugin", "check", "sound")
    assert done.returncode == 0, done.stderr
    *lines, empty, total = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["passed"] * 7 + ["not"]
    assert "sound resolves" in lines[5] and "it registers no task" in lines[7]
    assert empty == "" and total.startswith("1 plugin: 8 checks in ")
    assert total.endswith(": 7 passed, 1 not applicable")


def test_the_command_fails_where_a_check_does(command):
    done = command("plugin", "check", "missing")
    assert done.returncode == 1
    assert "no attribute 'Sqare'" in done.stdout
    assert "promised: Every import string leads to something of its kind.\n" in done.stdout
    assert "blocked                  missing documented: check 'resolves' has not" in done.stdout
    assert done.stderr == (
        "error: 2 of 8 checks have not passed: missing resolves, missing documented. "
        "Their lines above say why.\n"
    )


def test_the_command_prints_json(command):
    done = command("plugin", "check", "missing", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert not found["ok"] and "missing resolves" in found["why"]
    assert found["counts"] == {"passed": 5, "failed": 1, "blocked": 1, "not applicable": 1}
    assert [each["check"] for each in found["checks"]] == list(PLUGIN_CHECKS)
    assert "passed" in done.stderr  # progress


@pytest.mark.parametrize(
    "arguments, says",
    [
        (("sund",), "there is no plugin 'sund'. Did you mean 'sound'?"),
        (("sound", "--task", "sound.x"), "plugin 'sound' has no task 'sound.x'. It has none."),
        (("all", "--task", "vision.cn"), "there is no task 'vision.cn'. Did you mean"),
    ],
)
def test_the_command_refuses_what_there_is_not(command, arguments, says):
    done = command("plugin", "check", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr and done.stderr.count("\n") == 1


def test_one_task_of_all_plugins_can_be_asked_for():
    found = check_plugin(discover(), "all", task="vision.softmax")
    first = next(found)
    found.close()
    assert (first.subject, first.check, first.state) == ("vision.softmax", "config", "passed")


def pytest_says(site, folder, text, *options):
    """What pytest says of a test file in a folder of its own."""
    (folder / "test_it.py").write_text(text)
    env = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rx", *options],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
    )


THREE = 'from dope.core.testing import contract_tests\n\ntest_contract = contract_tests("sound")\n'


def test_three_lines_are_a_whole_test_file(site, tmp_path):
    done = pytest_says(site, tmp_path, THREE, "-v")
    assert done.returncode == 0, done.stdout
    assert "test_it.py::test_contract[sound-light] PASSED" in done.stdout
    reason = "not applicable: it registers no task: its parts are checked only as parts"
    assert f"XFAIL test_it.py::test_contract[sound-tasks] - {reason}" in done.stdout
    assert "sound: 7 passed, 1 not applicable\n  tasks " + reason in done.stdout
    assert "8 checks: 7 passed, 1 not applicable\n" in done.stdout


@pytest.mark.parametrize(
    "change, says",
    [
        ('"missing"', "missing resolves: failed"),
        ('"sound", least_tasks=1', "there are 0 tasks, at least 1 must be"),
        ('"sound", least_passed=8', "7 passed, 1 not applicable; at least 8 must pass"),
        ('"sund"', "there is no plugin 'sund'. Did you mean 'sound'?"),
    ],
)
def test_the_tests_fail_where_the_checks_do(site, tmp_path, change, says):
    done = pytest_says(site, tmp_path, THREE.replace('"sound"', change))
    assert done.returncode != 0 and says in done.stdout, done.stdout


def test_the_start_of_pytest_imports_no_more_of_dope_than_the_hook(tmp_path):
    text = (
        "import sys\ndef test_it():\n"
        "    found = {name for name in sys.modules if name.split('.')[0] == 'dope'}\n"
        "    assert found == {'dope', 'dope.core', 'dope.core.testing',\n"
        "                     'dope.core.testing.pytest_plugin'}\n"
    )
    done = pytest_says("", tmp_path, text)
    assert done.returncode == 0 and "dope contract suite" not in done.stdout, done.stdout

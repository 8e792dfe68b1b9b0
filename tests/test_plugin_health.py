"""Plugins that are broken, slow or switched off, seen through the real command line.

Each is an installed distribution of its own; discovery from the inside is in core/test_discovery.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import pytest

from dope.core.configuring import settings
from dope.core.errors import ConfigError
from dope.core.plugging import health
from dope.core.plugging.registry import Entry, PluginInfo, Registry

GOOD = """
from dope.core.hookspecs import hookimpl

@hookimpl
def register_tasks(register):
    register("{name}.fit", "{name}_code:Fit", summary="A fit")
"""
MISSPELT = GOOD.replace("register_tasks", "register_task")
FIT = 'class Fit:\n    """A fit."""\n    profiles = {"book": {}}\n'


class Site:
    """A folder of installed plugins beside the toy, its own settings, and the command line."""

    def __init__(self, toy, folder):
        self.toy, self.folder = toy, folder
        self.settings = folder / "settings" / "dope" / "config.yaml"
        self.env = {**toy.env, "XDG_CONFIG_HOME": str(folder / "settings")}
        self.env["PYTHONPATH"] = os.pathsep.join([str(folder), toy.env["PYTHONPATH"]])

    def install(self, name, code=GOOD, parts=FIT):
        self.toy.install(self.folder, name, code.replace("{name}", name))
        if parts is not None:
            (self.folder / f"{name}_code.py").write_text(parts)
        return self.folder / f"{name}_plugin_module.py"

    def dope(self, *args, **env):
        code = "from dope.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, args)],
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def states(self, **env):
        found = json.loads(self.dope("plugins", "--json", **env).stdout)
        return {each["name"]: each for each in found}


@pytest.fixture
def site(toy, tmp_path):
    return Site(toy, tmp_path)


def raises(site):
    return site.install("bad", "import json\n\n1 / 0\n"), 3


def misspelt(site):
    return site.install("bad", MISSPELT), 4


def twice(site):
    again = GOOD + "    register('bad.fit', 'bad_code:Other', summary='Again')\n"
    return site.install("bad", again), 7


def missing_class(site):
    site.install("bad", parts=FIT.replace("Fit", "Fitt"))
    return site.folder / "bad_code.py", None


def missing_module(site):
    site.install("bad", parts=None)
    return None, None


def imports_mxnet(site):
    return site.install("bad", "import json\nimport mxnet\n" + GOOD), 2


def imports_backend(site):
    return site.install("bad", "from dope.core.backend import mx\n" + GOOD), 1


FAULTS = {
    raises: ["ZeroDivisionError: division by zero"],
    misspelt: ["'register_task' is not a hook of dope", "Did you mean 'register_tasks'?"],
    twice: ["task 'bad.fit'", "already registered", "bad_code:Other", "bad_code:Fit"],
    missing_class: ["task 'bad.fit'", "module 'bad_code' has no 'Fit'", "Did you mean 'Fitt'?"],
    missing_module: ["task 'bad.fit'", "there is no module 'bad_code'"],
    imports_mxnet: ["imports mxnet when it is loaded", "modules of the registered parts"],
    imports_backend: ["imports dope.core.backend when it is loaded", "wait for MXNet"],
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_broken_plugin_is_shown_with_its_reason_and_takes_nothing_down(site, fault):
    file, line = fault(site)
    site.install("fine")
    listed = site.dope("list")
    assert listed.returncode == 0
    for name in ("fine.fit", "toy.regression", "vision.cnn"):
        assert name in listed.stdout

    states = site.states()
    bad = states["bad"]
    assert bad["status"] == "broken" and bad["distribution"] == "dist-bad"
    for words in FAULTS[fault]:
        assert words in bad["state"]
    if file:
        assert (f"{file}:{line}" if line else str(file)) in bad["state"]
    assert {each["state"] for name, each in states.items() if name != "bad"} == {"ok"}

    strict = site.dope("plugins", "--strict")
    assert strict.returncode == 1 and strict.stdout == ""
    (only,) = strict.stderr.splitlines()
    assert only.startswith("error: plugin 'bad' of dist-bad 1.2 is broken: ")
    assert FAULTS[fault][0] in only and "dope plugin disable bad" in only


def test_strict_is_about_what_is_switched_on_and_asked_for(site):
    raises(site)
    site.install("fine")
    shown = site.dope("plugins")
    assert shown.returncode == 0 and "broken: ZeroDivisionError" in " ".join(shown.stdout.split())
    assert "broken plugins: bad" in site.dope("list").stderr
    assert site.dope("plugins", "--strict", DOPE_DISABLE_PLUGINS="bad").returncode == 0
    assert site.dope("plugins", "fine", "--strict").returncode == 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_everything_else_runs_beside_a_broken_plugin(site, fault, tmp_path):
    fault(site)
    if fault is not imports_mxnet:  # the one that could spoil more; a look will do for the others
        assert site.dope("run", "toy.regression", "--dry-run").returncode == 0
        return
    done = site.dope("run", "toy.regression", "--quiet", "--runs", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert "plugin 'bad' is broken: it imports mxnet" in site.dope("run", "bad.fit").stderr


def test_a_plugin_may_ask_whether_mxnet_is_installed(site):
    site.install("asks", "import importlib.util\nimportlib.util.find_spec('mxnet')\n" + GOOD)
    assert site.states()["asks"]["status"] == "ok"


def test_a_slow_plugin_works_and_is_named(site):
    site.install("slow", "import numpy\n" + GOOD)
    assert "slow.fit" in site.dope("list").stdout
    found = site.states()["slow"]
    assert found["status"] == "slow" and "imports numpy" in found["state"]
    assert found["counts"] == {"task": 1}
    assert "is slow" in site.dope("plugins", "--strict").stderr


def test_two_plugins_of_one_name_are_both_named(site):
    site.install("same")
    info = site.folder / "other_same-3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-same\nVersion: 3\n")
    (info / "entry_points.txt").write_text("[dope.plugins]\nsame = other_plugin_module\n")
    (site.folder / "other_plugin_module.py").write_text("1 / 0\n")
    found = json.loads(site.dope("plugins", "same", "--json").stdout)
    assert sorted(each["status"] for each in found) == ["broken", "ok"]
    (state,) = (each["state"] for each in found if each["status"] == "broken")
    for words in ("dist-same 1.2", "same_plugin_module", "other-same 3", "other_plugin_module"):
        assert words in state
    off = json.loads(site.dope("plugins", "same", "--json", DOPE_DISABLE_PLUGINS="same").stdout)
    assert [each["status"] for each in off] == ["disabled", "disabled"]


def test_plugins_shows_names_where_asked(site):
    brief = site.dope("plugins").stdout
    assert "toy_code:Net" not in brief and "1 dataset, 1 model, 1 loss, 1" in brief
    named = site.dope("plugins", "toy").stdout
    assert "toy_code:Net" in named and "toy.regression" in named and "vision" not in named
    assert "toy_code:Net" in site.dope("plugins", "--verbose").stdout
    wrong = site.dope("plugins", "toi")
    assert wrong.returncode == 2 and "Did you mean 'toy'?" in wrong.stderr


def test_disable_lasts_until_enable(site):
    listed = list(site.states())
    done = site.dope("plugin", "disable", "toy", "vision")
    assert done.returncode == 0 and str(site.settings) in done.stdout
    assert list(site.states()) == listed  # exactly these names go on being listed
    found = site.states()["vision"]
    assert found["status"] == "disabled" and found["disabled_by"] == [str(site.settings)]
    assert f"disabled by {site.settings}" in found["state"]
    gone = site.dope("list")
    assert "toy." not in gone.stdout and "vision." not in gone.stdout and gone.returncode == 0
    for command in (["run", "vision.cnn"], ["show", "vision.cnn"], ["list", "vision"]):
        missed = site.dope(*command)
        assert missed.returncode == 2
        assert f"plugin 'vision' is disabled by {site.settings}" in missed.stderr
        assert "run: dope plugin enable vision" in missed.stderr
    assert "was disabled already" in site.dope("plugin", "disable", "toy").stdout
    assert site.dope("plugin", "enable", "vision").returncode == 0
    assert "vision.cnn" in site.dope("list").stdout and "toy." not in site.dope("list").stdout
    assert "was not disabled" in site.dope("plugin", "enable", "vision").stdout


def test_every_plugin_can_be_disabled_by_the_name_listed(site):
    names = list(site.states())
    assert {"losses", "timeseries", "toy", "vision"} <= set(names)
    assert site.dope("plugin", "disable", *names).returncode == 0
    assert {each["status"] for each in site.states().values()} == {"disabled"}
    assert site.dope("list").returncode == 0
    assert site.dope("plugin", "enable", *names).returncode == 0
    assert {each["status"] for each in site.states().values()} == {"ok"}


def test_the_variable_disables_too_and_says_so(site):
    found = site.states(DOPE_DISABLE_PLUGINS="toy,losses")
    assert found["toy"]["state"] == found["losses"]["state"] == "disabled by DOPE_DISABLE_PLUGINS"
    missed = site.dope("run", "toy.regression", DOPE_DISABLE_PLUGINS="toy")
    assert "take it out of DOPE_DISABLE_PLUGINS" in missed.stderr
    assert "dope plugin enable" not in missed.stderr  # which would not help
    site.dope("plugin", "disable", "toy")
    both = site.states(DOPE_DISABLE_PLUGINS="toy")["toy"]
    assert both["disabled_by"] == ["DOPE_DISABLE_PLUGINS", str(site.settings)]
    told = site.dope("plugin", "enable", "toy", DOPE_DISABLE_PLUGINS="toy").stdout
    assert "toy stays disabled as long as DOPE_DISABLE_PLUGINS names it" in told


def test_names_that_are_no_plugins(site):
    wrong = site.dope("plugin", "disable", "visoin")
    assert wrong.returncode == 2 and "Did you mean 'vision'?" in wrong.stderr
    assert not site.settings.exists()
    assert site.dope("plugin", "enable", "visoin").returncode == 2
    told = site.dope("plugins", DOPE_DISABLE_PLUGINS="visoin").stderr
    assert told == (
        "warning: DOPE_DISABLE_PLUGINS: there is no plugin 'visoin' to disable. "
        "Did you mean 'vision'?\n"
    )
    site.settings.parent.mkdir(parents=True)
    site.settings.write_text("disabled_plugins: [gone]\n")
    assert f"warning: {site.settings}: there is no plugin 'gone'" in site.dope("plugins").stderr
    assert site.dope("list").stderr == ""
    assert site.dope("plugin", "enable", "gone").returncode == 0  # uninstalled since
    assert site.dope("plugins").stderr == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\n", "line 2"),
        ("disabled_plugins: vision\n", "is 'vision', not a list of names"),
        ("disabled_plugins: [1]\n", "not a list of names"),
        ("- vision\n", "not a mapping"),
        ("x: !!python/object/apply:os.system [ls]\n", "not allowed"),
    ],
)
def test_a_settings_file_that_is_not_one(site, text, words):
    site.settings.parent.mkdir(parents=True)
    site.settings.write_text(text)
    for command in (["list"], ["plugin", "disable", "toy"]):
        done = site.dope(*command)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
        assert words in done.stderr and str(site.settings) in done.stderr
    assert site.settings.read_text() == text


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    made = tmp_path / "dope" / "config.yaml"
    made.parent.mkdir()
    return made


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "disabled_plugins: [a, 'no']\n"),
        ("x: 1", "x: 1\ndisabled_plugins: [a, 'no']\n"),
        ("# mine\nx: {y: 2}  # two\n", "# mine\nx: {y: 2}  # two\ndisabled_plugins: [a, 'no']\n"),
        ("disabled_plugins: [b] # why\nx: 1\n", "disabled_plugins: [a, 'no'] # why\nx: 1\n"),
        (
            "disabled_plugins:\n  - b\n  - c  # sea\n# end\nx: 1\n",
            "disabled_plugins: [a, 'no']  # sea\n# end\nx: 1\n",
        ),
        ("disabled_plugins:\nx: 1\n", "disabled_plugins: [a, 'no']\nx: 1\n"),
        ("{x: 1, disabled_plugins: []}\n", "{x: 1, disabled_plugins: [a, 'no']}\n"),
        ("{x: 1}\n", "x: 1\ndisabled_plugins:\n- a\n- 'no'\n"),
    ],
)
def test_only_the_one_key_of_the_settings_changes(file, before, after):
    file.write_text(before)
    settings.set_disabled_plugins(["a", "no"])
    assert file.read_text() == after
    assert settings.disabled_plugins() == ["a", "no"]
    assert list(file.parent.iterdir()) == [file]  # no temporary file stays


def test_a_linked_settings_file_stays_a_link(file, tmp_path):
    real = tmp_path / "dotfiles.yaml"
    real.write_text("x: 1\n")
    real.chmod(0o600)
    file.symlink_to(real)
    settings.set_disabled_plugins(["a"])
    assert file.is_symlink() and "disabled_plugins: [a]" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o600


def test_settings_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")  # a file where the folder would be: root cannot either
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "taken"))
    assert settings.disabled_plugins() == []
    with pytest.raises(ConfigError, match=r"cannot be written: .*DOPE_DISABLE_PLUGINS"):
        settings.set_disabled_plugins(["a"])


def test_where_the_settings_are(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert settings.path() == tmp_path / ".config" / "dope" / "config.yaml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert settings.path() == tmp_path / ".config" / "dope" / "config.yaml"


MODULE = """
import os.path, json as j
from .inner import There, Absent as Renamed
from . import inner
from mxnet.gluon import Block
if True:
    class Under: pass
else:
    Else = 1
try:
    from fast import Fast
except ImportError:
    Fast = None
First, (Second, *Rest) = 1, (2, 3)
def outer():
    global Late
    inside = 1
"""


def test_what_a_module_binds(tmp_path, monkeypatch):
    package = tmp_path / "binds_xyz"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('nothing may be imported')\n")
    (package / "mod.py").write_text(MODULE)
    (package / "inner.py").write_text("class There: pass\n")
    (package / "star.py").write_text("from json import *\n")
    (package / "lazy.py").write_text("def __getattr__(name): return 1\n")
    (package / "wrong.py").write_text("x = 1\n\nclass (:\n")
    monkeypatch.syspath_prepend(tmp_path)

    def reason(target):
        found = health.fault(f"binds_xyz.{target}")
        return found and found.reason

    good = {"os", "j", "There", "Block", "Under", "Else", "Fast", "First", "Second", "Rest"}
    good |= {"Late", "outer", "inner"}
    assert {name: reason(f"mod:{name}") for name in good} == dict.fromkeys(good)
    assert reason("mod:inside") == "module 'binds_xyz.mod' has no 'inside'"
    assert reason("mod:Renamed") == "module 'binds_xyz.inner' has no 'Absent'"
    assert reason("star:Any") is reason("lazy:Any") is None
    assert reason("none:Any") == "there is no module 'binds_xyz.none'"
    assert health.fault("binds_xyz.wrong:X").where == f"{package / 'wrong.py'}:3"
    assert health.fault("math:sin") is None and health.fault("math.deep:sin").where is None
    assert not [name for name in sys.modules if name.startswith("binds_xyz")]


def test_a_plugin_with_several_faults_tells_them_all():
    registry = Registry()
    entries = [Entry("loss", f"a.{n}", f"no_such_{n}:X", "s", "a") for n in "xy"]
    registry.plugins.append(PluginInfo("a", "m", entries=entries))
    health.examine(registry)
    assert health.state(registry.plugins[0]) == (
        "broken: loss 'a.x': there is no module 'no_such_x'; "
        "loss 'a.y': there is no module 'no_such_y'"
    )


def seconds(site, *command):
    """Processor seconds of one command: what it takes on a machine that does nothing else."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert site.dope(*command).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_fifty_plugins_cost_little(site):
    site.env.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed: compiled once, then read
    site.env["PYTHONPYCACHEPREFIX"] = str(site.folder / "compiled")
    empty = min(seconds(site, "list") for _ in range(4))
    parts = (site.toy.site / "toy_code.py").read_text().replace("Regression", "Fit")
    for number in range(50):
        site.install(f"many{number:02}", parts=parts)
    assert site.dope("list").stdout.count("many") == 50
    full = min(seconds(site, "list") for _ in range(4))
    # Measured here: 0.10 s with none, 0.20 s with fifty.
    assert full < 0.4 and full - empty < 0.2, (full, empty)
    assert min(seconds(site, "plugins") for _ in range(3)) - full < 0.2


def test_listing_looks_neither_for_missing_classes_nor_at_yaml(site):
    code = (
        "import sys\nfrom dope.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    names = {'yaml', 'dope.core.plugging.health', 'dope.core.terminal.completion'}\n"
        "    print(names & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "list"], env=site.env, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "set()"

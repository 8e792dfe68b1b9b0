"""What TAB offers: through click's interface, through bash's protocol, and in a real bash.

The names come from the toy plugin of conftest.py and the built-in ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from dope.cli import cli
from dope.core.terminal import completion

BASH = shutil.which("bash")
ISSM = ["run", "timeseries.issm"]


@pytest.fixture
def offered(toy, monkeypatch):
    """What is offered for the last of some words; values only."""
    monkeypatch.syspath_prepend(toy.site)

    def complete(*words):
        shell = ShellComplete(cli, {}, "dope", completion.VARIABLE)
        return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]

    return complete


def test_commands_and_options(offered):
    assert offered("ru") == ["run"]
    assert {"list", "show", "run", "plugins", "completion"} <= set(offered(""))
    assert offered("plugin", "dis") == ["disable"]
    assert "--dry-run" in offered("run", "--d")


def test_tasks_domains_plugins_and_profiles(offered):
    assert offered("run", "toy.") == offered("show", "toy.") == ["toy.regression"]
    assert {"toy.regression", "vision.cnn"} <= set(offered("run", ""))
    assert offered("list", "to") == ["toy"]
    assert offered("plugin", "disable", "to") == offered("plugins", "to") == ["toy"]
    assert offered("plugin", "disable", "toy", "to") == []  # named already
    assert offered("run", "toy.regression", "--profile", "") == ["quick", "book"]
    assert offered("show", "toy.regression", "--profile", "b") == ["book"]


def test_keys_are_those_of_the_task_typed(offered):
    task = ["run", "toy.regression"]
    assert offered(*task, "mod") == ["model=", "model."]
    assert offered(*task, "loss") == ["loss="]  # the toy's loss has no options
    assert offered(*task, "model.") == ["model.units=", "model.dropout="]
    assert offered(*task, "--quiet", "task.p") == ["task.pause="]
    assert "trainer.epochs=" in offered(*task, "trainer.")
    assert "optimizer.learning_rate=" in offered("run", "vision.cnn", "optimizer.")
    assert offered("run", "no.such", "model.") == []


def test_keys_follow_the_parts_typed(offered):
    task = ["run", "toy.regression"]
    assert "optimizer.beta1=" in offered(*task, "optimizer.")
    swapped = offered(*task, "optimizer=sgd", "optimizer.")
    assert "optimizer.momentum=" in swapped and "optimizer.beta1=" not in swapped
    assert "dataset.n=" not in offered(*task, "dataset=timeseries.nile", "dataset.")


def test_names_and_values(offered):
    task = ["run", "toy.regression"]
    assert offered(*task, "model=toy") == ["model=toy.net"]
    assert "loss=losses.huber" in offered(*task, "loss=")
    assert {"optimizer=sgd", "optimizer=adam"} <= set(offered(*task, "optimizer="))
    assert offered(*task, "trainer.mode=") == [f"trainer.mode={m}" for m in ("auto", "min", "max")]
    assert offered(*task, "trainer.patience=") == ["trainer.patience=null"]
    assert offered(*task, "trainer.epochs=") == []


def test_truth_values():
    from typing import List, Literal, Optional, Union

    values = {note: list(completion._values(note)) for note in (bool, Optional[bool], int)}
    assert values == {bool: ["true", "false"], Optional[bool]: ["true", "false", "null"], int: []}
    assert list(completion._values(Literal["a", 1])) == ["a", "1"]
    assert list(completion._values(Union[int, Literal["all"]])) == ["all"]
    assert list(completion._values(List[Literal["a"]])) == []


def test_runs(offered, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert offered("resume", "") == []
    for name in ("20260101-000000-aaaa", "20260102-000000-bbbb"):
        folder = tmp_path / "runs" / "toy.regression" / name
        folder.mkdir(parents=True)
        parts = "task: {name: toy.regression}\nmodel: {name: toy.net}\noptimizer: {name: sgd}\n"
        (folder / "config.yaml").write_text(parts)
    paths = [f"runs/toy.regression/2026010{day}-000000-{4 * i}" for day, i in ((2, "b"), (1, "a"))]
    assert offered("resume", "") == ["last", *paths]
    assert offered("eval", "la") == ["last"]
    assert offered("predict", "runs/toy.regression/20260102") == paths[:1]
    assert offered("predict", "20260101") == ["20260101-000000-aaaa"]
    assert offered("resume", "last", "model.") == ["model.units=", "model.dropout="]
    assert "optimizer.momentum=" in offered("eval", "last", "optimizer.")
    monkeypatch.chdir("/")
    assert offered("resume", "--runs", str(tmp_path / "runs"), "")[0] == "last"


def protocol(toy, shell, words, position, **env):
    code = (
        "import sys\nfrom dope.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    assert not {'mxnet', 'numpy', 'pydantic', 'rich'} & set(sys.modules)"
    )
    asked = {"_DOPE_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": position}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**toy.env, **asked, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("words", "position", "lines"),
    [
        ("dope run toy.reg", 2, ["plain,toy.regression"]),
        ("dope run toy.regression model.", 3, ["plain,model.units=", "plain,model.dropout="]),
        # bash ends a word before and after each =
        ("dope run toy.regression model = toy", 5, ["plain,toy.net"]),
        ("dope run toy.regression trainer.mode =", 4, ["plain,auto", "plain,min", "plain,max"]),
        ("dope run toy.regression optimizer = sgd optimizer.m", 6, ["plain,optimizer.momentum="]),
        ("dope show toy.regression --profile = b", 5, ["plain,book"]),
        ("dope show toy.regression --profile ", 4, ["plain,quick", "plain,book"]),
    ],
)
def test_the_protocol_of_bash(toy, words, position, lines):
    done = protocol(toy, "bash", words, str(position))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == lines


def test_the_protocols_of_zsh_and_fish(toy):
    done = protocol(toy, "zsh", "dope run toy.regression model=toy", "3")
    assert done.stdout.splitlines() == ["plain", "model=toy.net", "Two layers with dropout"]
    done = protocol(toy, "fish", "dope run toy.regression model.u", "model.u")
    assert done.stdout == "plain,model.units=\tHidden units.\n"


@pytest.mark.parametrize(
    ("shell", "words", "position"),
    [
        ("bash", "dope run 'unclosed", "2"),
        ("bash", "dope run no.such model.", "3"),
        ("bash", "dope run", "many"),
        ("tcsh", "dope run", "1"),
    ],
)
def test_errors_are_silent(toy, tmp_path, shell, words, position):
    done = protocol(toy, shell, words, position)
    assert done.stderr == "" and done.stdout.strip() == ""
    (tmp_path / "dope").mkdir()
    (tmp_path / "dope" / "config.yaml").write_text("a: [")
    done = protocol(toy, shell, words, position, XDG_CONFIG_HOME=str(tmp_path))
    assert done.stderr == "" and done.stdout.strip() == ""


def test_every_script_is_printed_and_its_help_says_where_it_goes(inside):
    for shell, mark in (("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --")):
        done = inside("completion", shell)
        assert done.exit_code == 0 and mark in done.stdout
        assert f"_DOPE_COMPLETE={shell}_complete" in done.stdout
    told = inside("completion", "-h").stdout
    for place in ("~/.bashrc", "~/.zshrc", "~/.config/fish/completions/dope.fish"):
        assert place in told
    assert inside("completion", "tcsh").exit_code == 2


def test_zsh_and_bash_add_no_blank_after_a_key():
    # Both scripts are click's with a few lines added: click may change its own.
    assert "compopt -o nospace" in completion.script(cli, "bash")
    text = completion.script(cli, "zsh")
    assert text.count("keys") == 4 and 'compadd -U -S ""' in text


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_the_script_in_a_real_bash(toy, tmp_path):
    command = tmp_path / "dope"
    command.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from dope.cli import main; main()" "$@"\n'
    )
    command.chmod(0o755)
    script = """
    source <(dope completion bash)
    compopt() { printf "%s " compopt "$@"; echo; }
    COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
    _dope_completion dope
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    env = {**toy.env, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    def bash(*words):
        done = subprocess.run(
            [BASH, "-c", script, "bash", *words], env=env, capture_output=True, text=True
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    assert bash("dope", "run", "toy.regression", "model", "=", "t")[-1] == "toy.net"
    assert bash("dope", "run", "toy.regression", "model.u") == [
        "compopt -o nospace ",
        "model.units=",
    ]

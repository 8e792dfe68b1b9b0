"""How tools are measured: each in a child of its own, in turn, and with whose Python.

Holds neither loops, which are what the children run, nor what becomes of their answers.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

HERE = Path(__file__).resolve().parent
LIMIT = 900  # seconds that one child may take, compiling included
# A setting of the one who measures would hold for some tools and not for others.
FORGET = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "MXNET_", "DMLC_", "TORCH")

ABOUT_DOPE = """
import json, numpy, dope
from dope.core import backend
versions = {"dope": dope.__version__, "mxnet": backend.mx.__version__, "numpy": numpy.__version__}
print(json.dumps({"versions": versions, "threads": backend.physical_cores(),
    "environment": backend.environment}))
"""
ABOUT_TORCH = """
import json, numpy, torch
print(json.dumps({"torch": torch.__version__, "numpy beside torch": numpy.__version__}))
"""

Answers = dict[str, dict[str, list[Any]]]  # by case and tool: of each round, or why there are none


class Failed(Exception):
    """A child did not give an answer; says why in one line."""


def child(command: Sequence[str], folder: Path, threads: Optional[int] = None) -> dict[str, Any]:
    """Run a program to its end and return the JSON of its last line.

    It can import what lies beside this file, such as the clock.

    Parameters
    ----------
    command
        The program and its arguments.
    folder
        For what it keeps for its next start.
    threads
        Threads of an operator; by default what its libraries choose.

    Raises
    ------
    Failed
        It could not be started, took too long, failed, or answered something else.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(FORGET)}
    known = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), *([known] if known else [])])
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")
    environment["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # and no processes that outlive the child
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from None
    try:
        out, err = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise Failed(f"no answer within {LIMIT} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise Failed(reason(err) or f"exit code {process.returncode}")
    try:
        found = json.loads(out.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise Failed("no line of JSON at its end") from None
    return dict(found)


def reason(text: str) -> str:
    """The line of a traceback that names the error, or else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception"))]
    return (named or lines or [""])[-1][:300]


def measured(
    python: str,
    loop: Path,
    given: Mapping[str, Any],
    folder: Path,
    size: int,
    small: bool = False,
) -> dict[str, Any]:
    """The answer of a loop to options, checked for being the case's model and for learning.

    Parameters
    ----------
    python, loop, given
        What is started with which options.
    folder
        As for `child`.
    size
        Learned numbers of the case's model.
    small
        Whether one thread does, and any loss: so few steps teach nothing.

    Raises
    ------
    Failed
        It gave none, has another size, or a loss that is no small number.
    """
    words = [str(word) for key, value in given.items() for word in (f"--{key}", value)]
    found = child([python, str(loop), *words], folder, 1 if small else None)
    if found.get("parameters") != size:
        raise Failed(f"{found.get('parameters')} parameters, not {size}")
    if not found.get("loss", math.nan) < (math.inf if small else 10):  # nan too
        raise Failed(f"it does not learn: loss {found.get('loss')}")
    return found


def in_turn(
    plan: Mapping[str, Sequence[str]],
    rounds: int,
    measure: Callable[[str, str], dict[str, Any]],
    told: Callable[[dict[str, Any]], str],
) -> Answers:
    """In each round every tool once, in turn, for one case at a time.

    Parameters
    ----------
    plan
        The tools of each case.
    rounds
        How often.
    measure
        Measures a case with a tool once; raises `Failed`, and then that tool is left out.
    told
        An answer as the one who waits is told it.
    """
    answers: Answers = {case: {tool: [] for tool in tools} for case, tools in plan.items()}
    for number in range(rounds):
        for case, tools in plan.items():
            # Back and forth, so that a machine that slows down does so for all tools alike.
            for tool in list(tools)[:: -1 if number % 2 else 1]:
                found = answers[case][tool]
                if found and isinstance(found[-1], str):
                    continue
                label = f"round {number + 1}  {case:10} {tool:15}"
                try:
                    found.append(measure(case, tool))
                except Failed as error:
                    answers[case][tool] = [str(error)]
                    say(f"{label} left out: {error}")
                    continue
                say(f"{label} {told(found[-1])}")
    return answers


def interpreters(
    tools: Sequence[str], torch: Optional[str]
) -> tuple[dict[str, str], dict[str, Any]]:
    """The interpreter of each tool that can be measured; versions, threads and environment.

    Parameters
    ----------
    tools
        Those that are wanted; names that begin with ``torch`` need PyTorch.
    torch
        A python that has it; else the environment's ``DOPE_TORCH_PYTHON``.
    """
    torch = torch or os.environ.get("DOPE_TORCH_PYTHON")
    wanted = list(tools)
    with tempfile.TemporaryDirectory() as folder:
        try:
            about = child([sys.executable, "-c", ABOUT_DOPE], Path(folder))
        except Failed as error:
            raise SystemExit(f"dope does not start here: {error}") from None
        if any(tool.startswith("torch") for tool in wanted):
            missing = "give --torch PYTHON or DOPE_TORCH_PYTHON (benchmarks/README.md says how)"
            try:
                if torch:
                    about["versions"] |= child([torch, "-c", ABOUT_TORCH], Path(folder))
                    missing = ""
            except Failed as error:
                missing = f"{torch}: {error}"
            if missing:
                say(f"PyTorch is left out: {missing}")
                wanted = [tool for tool in wanted if not tool.startswith("torch")]
    about["versions"]["python"] = platform.python_version()
    return {t: str(torch) if t.startswith("torch") else sys.executable for t in wanted}, about


def say(text: str) -> None:
    """Tell the one who waits."""
    print(text, file=sys.stderr, flush=True)

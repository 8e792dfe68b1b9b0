"""Promises about a task as people use it: on the command line, offline, and what it predicts.

Holds what is judged, as ``checks.py``; the command lines run in ``offline.py``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dope.core.configuring.asking import questions
from dope.core.configuring.options import part_signature
from dope.core.configuring.signature import class_attribute
from dope.core.configuring.values import Mismatch, from_text
from dope.core.errors import ConfigError
from dope.core.exporting.declaring import FORMATS
from dope.core.rundir import RunDirectory, plain
from dope.core.testing.case import Case
from dope.core.testing.comparing import fail
from dope.core.testing.outcome import NotApplicable

NO_SUCH = "no_such_split"
QUICK = 60.0  # seconds that the profile quick may take
NOT_A_VALUE = "{no: [such, value]}"


def check_splits(case: Case) -> None:
    """There is training data; of what there is not, held-out data say, there is None."""
    task = case.whole("splits").task
    for split in ("train", "valid", "test"):
        batches = task.data(split)
        if batches is None and split != "train":
            continue
        if batches is None or next(iter(batches), None) is None:
            wanted = "where there must be some" if split == "train" else "in place of None"
            fail(f"data('{split}') gives no batches {wanted}")
    try:
        other = task.data(NO_SUCH)
    except Exception:  # to refuse the word is as good
        return
    if other is not None:
        fail(f"data('{NO_SUCH}') gives {type(other).__name__}, not None")


def check_predict(case: Case) -> None:
    """A run predicts rows of plain values, and files that it names are there."""
    from dope.core import api
    from dope.core.task import Task

    task = case.registry.get("task", case.task).load()
    if task.predict is Task.predict:
        raise NotApplicable("the task does not override predict")
    run, _ = case.run("predict")
    try:
        found = api.predict(run.path, registry=case.registry)
    except ConfigError as error:
        if not questions(case.registry, case.task).options:
            raise
        raise NotApplicable(f"it wants to be told of what: {error}") from None
    if not isinstance(found, Mapping) or not found:
        fail(f"predict returns {found!r}, not a mapping with something in it")
    json.dumps(plain(found))  # what --json prints
    rows = found.get("rows", [{}])
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        fail("rows of predict are not a list of mappings")
    if not rows:
        fail("predict returns no rows")
    missing = [str(path) for path in found.get("files", []) if not Path(path).is_file()]
    if missing:
        fail(f"predict names files that are not there: {', '.join(missing)}")


def check_export(case: Case) -> None:
    """Its networks compute the same in a process without dope, or it says why they are not given.

    As MXNet's symbol. That it cannot be, where the task says so, is tried.
    """
    from dope.core import api
    from dope.core.exporting import verbs, writing

    reasons = class_attribute(case.target, "no_export", {})
    for form, why in reasons.items():
        if form not in FORMATS:
            fail(f"no_export names '{form}'; formats are {', '.join(FORMATS)}")
        if not (isinstance(why, str) and why.strip()):
            fail(f"no_export['{form}'] is {why!r}, and no reason")
    run, _ = case.run("export")
    if "symbol" not in reasons:
        verbs.export(run.path, to=case.folder / "export" / run.path.name, registry=case.registry)
        return
    loaded = api.load(run.path, registry=case.registry)
    with tempfile.TemporaryDirectory() as folder:
        try:
            writing.write(Path(folder), "symbol", loaded.task.exports(loaded.nets), {})
        except Exception:
            raise NotApplicable(f"not exported: {reasons['symbol']}") from None
    fail(f"no_export says why it is no symbol, but it can be one: {reasons['symbol']}")


def check_usage(case: Case) -> None:
    """On the command line a bad option ends with exit code 2 and one line that names it."""
    wrong = _wrong(case)
    code, answers, errors = case.fresh("usage", "usage", module="offline", wrong=wrong)
    if code or not answers:
        fail(f"dope run could not be asked (exit {code}): {errors}")
    for given, answer in answers.items():
        lines, name = answer["err"].strip().splitlines(), given.partition("=")[0]
        if answer["code"] != 2:
            fail(f"dope run {case.task} {given} ends with exit code {answer['code']}, not 2")
        if len(lines) != 1 or name not in lines[0]:
            fail(f"dope run {case.task} {given} does not answer with one line that names {name}")
    if errors:
        fail(f"something else is printed than the errors: {errors}")


def check_quick(case: Case) -> None:
    """The profile quick ends well within a minute, offline, and writes into its run only."""
    folder = case.folder / "quick"
    folder.mkdir()
    limit = 10 * QUICK  # long enough to say how long it took
    code, answer, errors = case.fresh(
        "quick", "quick", module="offline", cwd=str(folder), runs="runs", limit=limit
    )
    reached = ", ".join(sorted(set(answer.get("reached", []))))
    if reached:
        fail(f"the profile quick reaches for the network: {reached}")
    if code or answer.get("code") != 0:
        fail(f"dope run {case.task} fails: {answer.get('err', '').strip() or errors}")
    (run,) = (folder / "runs").glob("*/*")
    seconds = (RunDirectory(run).read_json("result.json") or {}).get("seconds", float("inf"))
    if seconds > QUICK:
        fail(f"the profile quick takes {seconds:.0f} s, more than {QUICK:.0f} s")
    beside = sorted(path.name for path in folder.iterdir() if path.name != "runs")
    if beside:
        fail(f"it writes into the current folder, not into its run: {', '.join(beside)}")


def _wrong(case: Case) -> list[str]:
    """An option that there is not of each section, and one of a wrong type where types differ."""
    config = case.config("usage")
    made = []
    for section, content in config.sections.items():
        if content is None:
            continue
        made.append(f"{section}.no_such_option=1")
        options = part_signature(case.registry, section, config.part(section) or section).options
        for key, option in options.items():
            try:
                from_text(NOT_A_VALUE, option.annotation)
            except Mismatch:
                made.append(f"{section}.{key}={NOT_A_VALUE}")
                break
    return made

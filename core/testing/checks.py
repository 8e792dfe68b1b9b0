"""The promises that every task must hold to, one function each; its first line says which.

Holds what is judged; how a task is run for it is in ``case.py``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Optional

from dope.core.configuring.annotations import type_text
from dope.core.configuring.config import Config, resolve
from dope.core.configuring.options import part_signature
from dope.core.configuring.sources import SECTIONS
from dope.core.configuring.values import Mismatch
from dope.core.configuring.values import check as check_value
from dope.core.errors import ConfigError
from dope.core.plugging.registry import Entry, Registry
from dope.core.rundir import plain
from dope.core.testing.case import SEED, Case, from_yaml, merged
from dope.core.testing.commands import (
    check_export,
    check_predict,
    check_quick,
    check_splits,
    check_usage,
)
from dope.core.testing.comparing import (
    arrays,
    difference,
    fail,
    figures,
    numbers,
    same_arrays,
    same_figures,
    same_parameters,
)
from dope.core.testing.noting import taken

RUN_FILES = ("config.yaml", "metrics.jsonl", "log.txt", "result.json")
WRONG = ({"no": "such value"}, "no such value", [["no"], "such"])


def check_config(case: Case) -> None:
    """Every profile resolves, and its configuration written as YAML and read again is the same."""
    for profile in case.profiles:
        config = resolve(case.registry, case.task, profile=profile)
        text = config.to_yaml()
        again = Config.from_dict(case.registry, from_yaml(text))
        if again != config or again.to_yaml() != text:
            fail(f"profile {profile} changes when it is written and read: {_first(config, again)}")
        path = case.folder / f"{profile}.yaml"
        path.write_text(text, encoding="utf-8")
        if resolve(case.registry, case.task, profile=profile, file=path) != config:
            fail(f"profile {profile} changes when it is given as a file")


def check_refusals(case: Case) -> None:
    """Unknown keys and wrong types are refused by name, before a part is loaded or data read."""
    config = case.config("refusals")
    _refused(case, {"nosuch": {}}, "nosuch")
    for section in SECTIONS:
        part = config.part(section) or section
        if config.sections[section] is None:
            continue
        _refused(case, {section: {"no_such_option": 1}}, f"{section}.no_such_option")
        for key, option in part_signature(case.registry, section, part).options.items():
            wrong = next((each for each in WRONG if not _fits(each, option.annotation)), None)
            if wrong is not None:  # else it takes anything
                what = f"{section}.{key}"
                _refused(case, {section: {key: wrong}}, what, type_text(option.annotation))


def check_run(case: Case) -> None:
    """A short run ends well, with finite figures, its files, and a checkpoint that loads."""
    run, _ = case.run("run")
    if run.result["status"] != "done":
        fail(f"the run ended as {run.result['status']}")
    if not run.metrics:
        fail("the run has no figures")
    for name, value in numbers(run.metrics):
        if not float("-inf") < value < float("inf"):
            fail(f"{name} is {value}")
    rows = run.directory.metrics()
    if [row.get("epoch") for row in rows] != list(range(1, run.result["epochs"] + 1)):
        fail(f"metrics.jsonl has not one row for each of {run.result['epochs']} epochs: {rows}")
    written = from_yaml((run.path / "config.yaml").read_text(encoding="utf-8"))
    if Config.from_dict(case.registry, written) != case.config("run"):
        fail("config.yaml is not the configuration of the run")
    if not arrays(run.directory):
        fail("the last checkpoint holds no arrays")
    missing = [name for name in RUN_FILES if not (run.path / name).is_file()]
    if missing:
        fail(f"the run directory lacks {', '.join(missing)}")


def check_loss(case: Case) -> None:
    """Each loss is finite, and one number for each example, at every step."""
    task, engine = case.built("loss", values=True)
    stopped: Optional[Exception] = None
    try:
        case.step(task, engine)
        if not engine.vectors:
            task.evaluate(engine)
    except Exception as error:  # the engine refuses a mean too, but says less
        stopped = error
    for where, shape, n, values in engine.vectors:
        if shape != (n,):
            fail(f"the loss of {where} has shape {shape} for {n} examples, not ({n},)")
        if not (abs(values) < float("inf")).all():
            fail(f"the loss of {where} is not finite: {values[:5]}")
    if stopped is not None:
        raise stopped
    if not engine.vectors:
        fail("no loss was seen in a step or an evaluation; a task without one is exempt")


def check_examples(case: Case) -> None:
    """The loss of an example does not depend on which other examples are in its batch."""
    import numpy as np

    from dope.core.data import batch_length

    engine = case.whole("examples").engine
    if not engine.losses:
        fail("no group has a loss; a task that only counts is exempt")
    for name, (loss, batch) in engine.losses.items():
        n, axis = batch_length(batch, engine.batch_axis), engine.batch_axis
        if n < 2:
            fail("a batch has one example only: give the profile tiny larger ones")
        whole, *parts = (
            engine.evaluated(loss, part)
            for part in (batch, taken(batch, 0, n // 2, axis), taken(batch, n // 2, n, axis))
        )
        for key, expected in whole.items():
            found = np.concatenate([part[key] for part in parts])
            if not np.allclose(found, expected, rtol=1e-4, atol=1e-5 * abs(expected).max()):
                i = int(abs(found - expected).argmax())
                fail(
                    f"the loss of {name}{key} for example {i} is {expected[i]:.6g} in a batch of "
                    f"{n} and {found[i]:.6g} in half of it"
                )


def check_moves(case: Case) -> None:
    """Learning moves every parameter that a group may change, and every group has one."""
    done = case.whole("moves")
    moved = {key for key in done.end if (done.end[key] != done.start[key]).any()}
    groups = done.task.groups(done.engine.nets)
    if not groups and not moved:
        fail("learning changes nothing that a checkpoint would hold")
    names = {id(p): f"parameter/{name}" for name, p in _by_name(done.engine.nets).items()}
    for group, content in groups.items():
        found = {id(p): p for net in content.nets for p in net.collect_params().values()}
        free = [p for p in found.values() if p.grad_req != "null"]
        if not free:
            fail(f"group {group} has nothing to learn")
        for parameter in free:
            name = names.get(id(parameter))
            if name is None:
                fail(f"parameter {parameter.name} of group {group} is in no network of build()")
            if name not in moved:
                fail(f"parameter {name[len('parameter/') :]} of group {group} never moves")


def check_contexts(case: Case) -> None:
    """One context and two give the same parameters, uneven and empty shards included."""
    one, two = case.uneven("contexts"), case.uneven("contexts", "cpu(0),cpu(1)")
    same_parameters("on two contexts", one, two)
    for key, parameter in _by_name(two.engine.nets).items():
        if parameter.grad_req != "null":
            first, *others = (copy.asnumpy() for copy in parameter.list_data())
            if any(first.tobytes() != other.tobytes() for other in others):
                fail(f"the copies of {key} on two contexts differ from each other")


def check_hybrid(case: Case) -> None:
    """Compiled and imperative networks learn the same parameters."""
    compiled, imperative = case.uneven("hybrid"), case.uneven("hybrid", hybridize=False)
    same_parameters("without hybridizing", compiled, imperative)


def check_same_seed(case: Case) -> None:
    """A second run with the same seed has the same figures and the same bits."""
    first, second = case.run("same_seed")[0], case.run("same_seed", again=1)[0]
    same_arrays("a second run with the same seed", first.directory, second.directory)
    same_figures("a second run with the same seed", figures(first), figures(second))


def check_other_seed(case: Case) -> None:
    """A run with another seed has other figures."""
    first, second = (figures(case.run("other_seed", seed=s)[0]) for s in (SEED, SEED + 1))
    if difference(first, second) is None:
        fail(f"seeds {SEED} and {SEED + 1} give the same figures: the task does not use the seed")


def check_reload(case: Case) -> None:
    """A new process that loads the run evaluates and predicts as the trained model did."""
    run, said = case.run("reload")
    if not said["evaluate"] and said["predict"] is None:
        fail("the task neither evaluates nor predicts, so nothing can be compared")
    found = _answer(case, "reload", "load", predicts=said["predict"] is not None, **_where(run))
    same_figures("loaded in a new process", said, found, near=1e-6)


def check_resume(case: Case) -> None:
    """Interrupted within an epoch, killed in a later one, and resumed: the same bits at the end."""
    from dope.core.rundir import RunDirectory

    run, _ = case.run("resume")
    steps = run.result["steps"]
    if steps < 2:
        fail("a run of one step cannot be stopped: give the profile tiny smaller batches")
    runs = case.folder / f"killed-{run.path.name}"
    where = {**_where(run), "runs": str(runs), "interrupt": max(1, steps // 4), "kill": steps - 1}
    code, found, errors = case.fresh("resume", "stop", **where)
    if code != -signal.SIGKILL:
        fail(f"the run could not be interrupted and killed (exit {code}): {found} {errors}")
    (killed,) = runs.glob("*/*")
    finished = _answer(case, "resume", "finish", **{**_where(run), "run": str(killed)})
    if finished["status"] != "done":
        fail(f"the resumed run ended as {finished['status']}")
    same_arrays("the resumed run", run.directory, RunDirectory(killed))
    same_figures("the resumed run", plain(run.metrics), finished["metrics"])


class Check(NamedTuple):
    """One promise: its name, the function that tests it, and the checks that it needs."""

    name: str
    function: Callable[[Case], None]
    needs: tuple[str, ...] = ()

    @property
    def promise(self) -> str:
        """What is promised, in one line."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


# A check needs another where it could not tell its own fault from the other's.
CHECKS: Mapping[str, Check] = {
    check.name: check
    for check in (
        Check("config", check_config),
        Check("refusals", check_refusals, ("config",)),
        Check("loss", check_loss, ("config",)),
        Check("examples", check_examples, ("loss",)),
        Check("moves", check_moves, ("loss",)),
        Check("run", check_run, ("loss",)),
        Check("same_seed", check_same_seed, ("run",)),
        Check("other_seed", check_other_seed, ("same_seed",)),
        Check("contexts", check_contexts, ("same_seed", "examples")),
        Check("hybrid", check_hybrid, ("same_seed",)),
        Check("reload", check_reload, ("same_seed",)),
        Check("resume", check_resume, ("same_seed", "reload")),
        Check("splits", check_splits, ("loss",)),
        Check("predict", check_predict, ("run",)),
        Check("export", check_export, ("run", "moves")),
        Check("usage", check_usage, ("refusals",)),
        Check("quick", check_quick, ("run",)),
    )
}


class _SealedEntry(Entry):
    def load(self) -> Any:
        fail(f"{self.kind} '{self.name}' is loaded before the configuration is refused")


def _refused(case: Case, wrong: Mapping[str, Any], *named: str) -> None:
    """Insist that `api.run` refuses what is wrong, names it, and touches nothing before."""
    from dope.core import api

    sealed = Registry()
    for entry in case.registry.entries():
        sealed.add(_SealedEntry(**vars(entry)))
    runs = case.folder / "refused"
    try:
        api.run(
            case.task,
            profile=case.profile,
            runs=runs,
            registry=sealed,
            **merged(case.sections("refusals"), wrong),
        )
    except ConfigError as error:
        text = f"{error.message} {error.hint}"
        if named[0] not in text:
            fail(f"{wrong} is refused without naming '{named[0]}': {text}")
    else:
        fail(f"{wrong} is not refused")
    if runs.exists():
        fail(f"{wrong} is refused only after a run was begun")


def _fits(value: Any, annotation: Any) -> bool:
    try:
        check_value(value, annotation)
    except Mismatch:
        return False
    return True


def _first(config: Config, again: Config) -> str:
    return difference(config.as_dict(), again.as_dict()) or "only the text differs"


def _by_name(nets: Any) -> dict[str, Any]:
    from dope.core.task import blocks, parameters

    return {
        f"{name}.{key}": parameter
        for name, net in blocks(nets).items()
        for key, parameter in parameters(net).items()
    }


def _where(run: Any) -> dict[str, Any]:
    """The run, and the threads that it had: another number of them would round otherwise."""
    threads = run.result["environment"].get("OMP_NUM_THREADS")
    return {"run": str(run.path), "env": {"OMP_NUM_THREADS": threads} if threads else {}}


def _answer(case: Case, check: str, job: str, **details: Any) -> dict[str, Any]:
    code, answer, errors = case.fresh(check, job, **details)
    if code or not answer:
        fail(f"a new process could not {job} the run (exit {code}): {errors}")
    return answer

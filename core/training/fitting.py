"""Whether the parts of a run fit each other, found by the first batch before anything learns.

Holds checks; what is said of parts that do not fit is in misfits.py.
"""

from __future__ import annotations

import json
from typing import Any, Optional

import numpy as np

from dope.core.backend import mx, nd
from dope.core.data import batch_length, head, leaves, rebuild, split
from dope.core.task import Task, blocks, parameters
from dope.core.training.misfits import called, meeting, misfit, shapes

_CLASSES, _SIGNS, _SHARES = "classes", "signs", "probabilities"


def check(task: Any, engine: Any, batches: Any) -> None:
    """Refuse parts that do not fit, by the first batch of training; nothing learns.

    Shapes are inferred from symbols, nothing is computed or drawn, except for networks that do
    not hybridize: these see one example, in prediction mode. A task with a step of its own is not
    looked into.

    A loss may say what targets it takes by an attribute ``targets``: ``classes`` (whole numbers
    from 0 to K - 1 for outputs (n, K)), ``signs`` (-1 and 1) or ``probabilities`` (0 to 1). That
    of a hybrid loss that picks outputs by targets is seen without it.

    Parameters
    ----------
    task, engine
        As the trainer has them.
    batches
        What ``task.data("train")`` returned.

    Raises
    ------
    ConfigError
        Two parts do not fit; it names both.
    """
    if not (hasattr(batches, "epoch") and hasattr(batches, "__len__")):
        reason = f"its batches are a {type(batches).__name__} without len() or epoch(order, skip)"
        raise misfit(task, "dataset", "task", f"{reason}, as dope.core.data.ArrayBatches has them")
    kind = type(task)
    if kind.step is not Task.step:
        return
    learned = (p for net in blocks(engine.nets).values() for p in parameters(net).values())
    if kind.groups is Task.groups and all(p.grad_req == "null" for p in learned):
        raise misfit(task, "model", "task", "it has no parameters that learn by gradients")
    batch = _first(batches)
    if batch is None:
        return
    if kind.loss is Task.loss:
        _check_stock(task, engine, batch, batches)
    elif engine.hybridize and getattr(kind.loss, "compiled", False) and _hybrid(engine.nets):
        _check_traced(task, engine, batch)


def _first(batches: Any) -> Any:
    stream = iter(batches.epoch(np.random.default_rng(0), 0))
    try:
        return next(stream, None)
    finally:
        if hasattr(stream, "close"):
            stream.close()


def _hybrid(nets: Any) -> bool:
    return all(isinstance(net, mx.gluon.HybridBlock) for net in blocks(nets).values())


def _check_stock(task: Any, engine: Any, batch: Any, batches: Any) -> None:
    """Of the stock loss: inputs to outputs, outputs and targets to one number an example."""
    if not callable(engine.nets):
        return
    if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
        given = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else type(batch).__name__
        reason = f"a batch is {given}, not a pair of inputs and targets"
        raise misfit(task, "dataset", "task", reason)
    inputs, target = batch
    output = _output_shape(task, engine, inputs)
    if output is None or not isinstance(target, nd.NDArray):
        return
    picked = _check_loss(task, output, target)
    _check_targets(task, output, target, batches, picked)


def _output_shape(task: Any, engine: Any, inputs: Any) -> Optional[tuple[int, ...]]:
    """Shape of what the network makes of a batch's inputs; None where only a run can tell."""
    net, arrays = engine.nets, leaves(inputs)
    if not all(isinstance(array, nd.NDArray) for array in arrays):
        arrays = []
    given = ", ".join(str(array.shape) for array in arrays)
    if isinstance(net, mx.gluon.HybridBlock) and arrays:
        symbols = [mx.sym.var(f"input{i}") for i in range(len(arrays))]
        try:
            output = net(rebuild(inputs, iter(symbols)))
            known = {f"input{i}": array.shape for i, array in enumerate(arrays)}
            shape = output.infer_shape_partial(**known)[1][0]
        except Exception as error:
            reason = shapes(error) or called(error)
            if reason is None:  # it does not trace: the engine will say so, or run it as it is
                return None
            reason += f"; inputs have shape {given}"
            raise misfit(task, "model", "dataset", reason) from error
        return shape if shape and all(shape) else None
    if any(p._data is None for p in parameters(net).values()):
        return None  # to start them would draw random numbers
    with meeting(task, "model", "dataset"), mx.autograd.pause(train_mode=False):
        one = split(head(inputs, 1, engine.batch_axis), engine.contexts[:1])[0]
        found = getattr(net(one), "shape", None)
    return (batch_length(inputs), *found[1:]) if found and engine.batch_axis == 0 else None


def _check_loss(task: Any, output: tuple[int, ...], target: Any) -> bool:
    """Insist that the loss takes these shapes; return whether it takes targets for places."""
    criterion = task.criterion
    given = f"outputs have shape {output}, targets {target.shape}"
    try:
        if isinstance(criterion, mx.gluon.HybridBlock):
            made = criterion(mx.sym.var("output"), mx.sym.var("target"))
            made.infer_shape_partial(output=output, target=target.shape)
            return _picks(made)
        with mx.autograd.pause(train_mode=False):
            criterion(nd.zeros(output, ctx=target.context), target)
    except Exception as error:
        reason = shapes(error) or called(error)
        if reason is not None:
            raise misfit(task, "loss", "model", f"{given} ({reason})") from error
    return False


def _picks(symbol: Any) -> bool:
    """Whether a loss takes the outputs at the places that the targets are: cross-entropy does.

    MXNet's operator clips places that are not there, without a word.
    """
    nodes = json.loads(symbol.tojson())["nodes"]

    def is_target(number: int) -> bool:
        node = nodes[number]
        if node["op"] == "null":
            return bool(node["name"] == "target")
        return len(node["inputs"]) == 1 and is_target(node["inputs"][0][0])

    return any(node["op"] == "pick" and is_target(node["inputs"][1][0]) for node in nodes)


def _check_targets(
    task: Any, output: tuple[int, ...], target: Any, batches: Any, picked: bool
) -> None:
    """Insist that targets are of the kind that the loss, or the accuracy, takes."""
    kind = getattr(task.criterion, "targets", None) or (_CLASSES if picked else None)
    asker = "loss" if kind else "task"
    if kind is None and "accuracy" in task.metrics and len(output) > 1:
        kind = _CLASSES
    values = target.asnumpy()
    if kind == _CLASSES:
        known = getattr(batches, "arrays", None)
        if known and getattr(batches, "transform", None) is None and len(known) == 2:
            values = known[1]  # all of them lie in memory
        odd = values[values != np.round(values)] if values.dtype.kind == "f" else values[:0]
        _refuse(task, asker, odd, "whole numbers, the places of classes")
        classes = output[-1]
        outside = values[(values < 0) | (values >= classes)]
        if outside.size:
            reason = f"it tells {classes} classes apart, 0 to {classes - 1}"
            raise misfit(task, "model", "dataset", f"{reason}, and a target is {outside[0]:g}")
    elif kind == _SIGNS:
        _refuse(task, asker, values[(values != 1) & (values != -1)], "-1 and 1")
    elif kind == _SHARES:
        _refuse(task, asker, values[~((values >= 0) & (values <= 1))], "between 0 and 1")


def _refuse(task: Any, asker: str, odd: np.ndarray, wanted: str) -> None:
    if odd.size:
        reason = f"it takes targets that are {wanted}, and one is {float(odd.flat[0]):g}"
        raise misfit(task, asker, "dataset", reason)


def _check_traced(task: Any, engine: Any, batch: Any) -> None:
    """Of a compiled loss of the task's own: infer all shapes."""
    arrays = leaves(batch)
    if not all(isinstance(array, nd.NDArray) for array in arrays):
        return
    symbols = [mx.sym.var(f"input{i}") for i in range(len(arrays))]
    try:
        found = task.loss(engine.nets, rebuild(batch, iter(symbols)), None)
        vector = leaves(found)[0]
        vector.infer_shape_partial(**{f"input{i}": a.shape for i, a in enumerate(arrays)})
    except Exception as error:
        reason = shapes(error)
        if reason is not None:
            raise misfit(task, "model", "dataset", reason) from error

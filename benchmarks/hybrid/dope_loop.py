"""The same in dope, hybridized (``dope``) or with ``--no-hybridize`` (``dope_imperative``)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

from cases import CASES, RATE, SIZES, examples
from clock import answer, arguments, rate

from dope import Group, Task
from dope.core.backend import mx, nd
from dope.core.engine import Engine

ENTROPY = mx.gluon.loss.SoftmaxCrossEntropyLoss()


class Classes(Task):
    """Two classes by cross-entropy, the stock loss."""

    criterion = staticmethod(ENTROPY)


def main() -> None:
    given = arguments(CASES)
    case = given.case
    x, y = (nd.array(each) for each in examples(given.data))
    starts = cycle(range(0, len(x) - case.batch + 1, case.batch))
    net = mx.gluon.nn.HybridSequential()
    for inner, outer in zip(SIZES, SIZES[1:]):
        last = outer == SIZES[-1]
        net.add(mx.gluon.nn.Dense(outer, in_units=inner, activation=None if last else "relu"))
    net.initialize(mx.init.Xavier())
    groups = {"main": Group([net], "sgd", {"learning_rate": RATE})}
    engine = Engine(net, groups, [mx.cpu(0)], hybridize=given.tool == "dope")
    task: Any = Classes()

    def steps() -> Iterator[int]:
        for start in starts:
            rows = slice(start, start + case.batch)
            if case.learns:
                engine.minimize("main", task.loss, (x[rows], y[rows]))
            else:
                net(x[rows])
            yield 1

    found = rate(steps(), given.seconds, nd.waitall)
    count = sum(p.data().size for p in net.collect_params().values())
    answer(loss=float(ENTROPY(net(x), y).mean().asscalar()), parameters=count, **found)


if __name__ == "__main__":
    main()

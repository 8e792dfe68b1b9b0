"""What `doctor` has another process do: load MXNet, multiply on each card, train a little.

Any of it may hang or crash, so nothing here is called where the checks are made (doctor.py).
"""

from __future__ import annotations

import json
import os
import platform
import time
from typing import Any

from dope.core.errors import DopeError

SIZE = 256  # rows and columns of the matrices that a card multiplies


def probe() -> None:
    """Load MXNet, find contexts, multiply and train a little; say how it goes, line by line.

    Runs in a process of its own. Each line on standard output is a JSON object.
    """

    def say(**facts: Any) -> None:
        print(json.dumps(facts), flush=True)

    try:
        from dope.core import backend

        found = [str(context) for context in backend.contexts("auto")]
        say(
            mxnet=f"{backend.mx.__version__} ({backend.distribution})",
            threads=os.environ["OMP_NUM_THREADS"],
            engine=backend.environment["MXNET_ENGINE_TYPE"],
            cores=backend.physical_cores(),
            contexts=found if "cpu(0)" in found else ["cpu(0)", *found],
            platform=platform.platform(),
            note=backend.note_on_auto(),
        )
        gpus = [each for each in found if each.startswith("gpu")]
        products: dict[str, list[float]] = {}
        steps: dict[str, list[float]] = {}
        for context in ["cpu(0)", *gpus]:
            if context in gpus:
                say(trying=context, stage="matrix product")
                products[context] = _multiply(context)
                say(products=products)
            say(trying=context, stage="training step")
            steps[context] = _learn(context)
            say(steps=steps)
        say(done=True)
    except DopeError as error:
        say(error=error.message, hint=error.hint)
    except Exception as error:
        say(error=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _multiply(context: str) -> list[float]:
    """Largest difference of a matrix product from NumPy's, and the seconds of a second one."""
    import numpy as np

    from dope.core.backend import contexts, nd

    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=(SIZE, SIZE)).astype("float32") for _ in range(2))
    on_card = [nd.array(each, ctx=contexts(context)[0]) for each in (left, right)]
    product = nd.dot(*on_card).asnumpy()
    began = time.perf_counter()
    nd.dot(*on_card).wait_to_read()
    took = time.perf_counter() - began
    return [float(np.abs(product - left @ right).max()), took]


def _learn(context: str) -> list[float]:
    """First and last loss of a few steps of linear regression, as a task would make them."""
    from dope.core.backend import contexts, mx, nd, seed
    from dope.core.engine import Engine
    from dope.core.task import Group

    seed(0)
    net = mx.gluon.nn.Dense(1, in_units=2)
    x = nd.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    y = nd.array([[1], [3], [-1], [1]])
    engine = Engine(net, {"main": Group([net], "sgd", {"learning_rate": 0.2})}, contexts(context))

    def loss(net: Any, shard: Any, carry: Any) -> Any:
        return nd.sum(nd.square(net(shard[0]) - shard[1]), axis=1)

    losses = [engine.minimize("main", loss, (x, y)).mean() for _ in range(10)]
    return [losses[0], losses[-1]]

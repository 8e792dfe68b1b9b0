"""PyTorch's eager way: tensors, no loss read back, as many threads as physical cores."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, pairwise

import torch
from cases import CASES, RATE, SIZES, examples
from clock import answer, arguments, rate


def main() -> None:
    given = arguments(CASES)
    case = given.case
    torch.set_num_threads(given.threads)
    x, y = (torch.from_numpy(each) for each in examples(given.data))
    y = y.long()
    starts = cycle(range(0, len(x) - case.batch + 1, case.batch))
    layers: list[torch.nn.Module] = []
    for inner, outer in pairwise(SIZES):
        layers += [torch.nn.Linear(inner, outer), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    entropy = torch.nn.CrossEntropyLoss()

    def steps() -> Iterator[int]:
        for start in starts:
            rows = slice(start, start + case.batch)
            if case.learns:
                optimizer.zero_grad()
                entropy(net(x[rows]), y[rows]).backward()
                optimizer.step()
            else:
                with torch.no_grad():
                    net(x[rows])
            yield 1

    found = rate(steps(), given.seconds)
    count = sum(p.numel() for p in net.parameters())
    answer(loss=float(entropy(net(x), y)), parameters=count, **found)


if __name__ == "__main__":
    main()

"""The same in PyTorch: a batch is cut from one tensor of shuffled points, nothing is read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from cases import CASES, RATE, SEED, Case, points
from clock import answer, arguments, rate


class Eager:
    """PyTorch's own layer, loss and optimizer."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.x, self.y = (torch.from_numpy(each) for each in points(folder))
        torch.manual_seed(SEED)
        self.net = torch.nn.Linear(2, 1)
        torch.nn.init.normal_(self.net.weight)
        torch.nn.init.zeros_(self.net.bias)

    def steps(self) -> Iterator[int]:
        optimizer = torch.optim.SGD(self.net.parameters(), RATE)
        half = torch.nn.MSELoss()
        while True:
            order = torch.randperm(len(self.x))
            batches = zip(
                self.x[order].split(self.case.batch), self.y[order].split(self.case.batch)
            )
            for x, y in batches:
                optimizer.zero_grad()
                self.loss = half(self.net(x).squeeze(1), y) / 2
                self.loss.backward()
                optimizer.step()
                yield 1


def main() -> None:
    given = arguments(CASES)
    torch.set_num_threads(given.threads)
    loop = Eager(given.case, given.data)
    steps = loop.steps()
    next(steps)
    found = rate(steps, given.seconds)
    count = sum(p.numel() for p in loop.net.parameters())
    answer(loss=float(loop.loss), parameters=count, **found)


if __name__ == "__main__":
    main()

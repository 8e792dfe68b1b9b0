"""The GAN on points in PyTorch, eager and compiled, for an environment of its own.

Points are a tensor in memory and a batch is taken out by its indices; nothing is read back.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from cases import CASES, examples
from clock import answer, arguments, rate
from torch import nn


def main() -> None:
    given = arguments(CASES)
    case = given.case
    torch.set_num_threads(given.threads)
    data = torch.from_numpy(examples(given.data))
    maker = nn.Linear(2, 2)
    judge = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1))
    for_maker = torch.optim.Adam(maker.parameters(), lr=0.01)
    for_judge = torch.optim.Adam(judge.parameters(), lr=0.05)
    entropy = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(case.batch, 1), torch.zeros(case.batch, 1)
    losses, right = torch.zeros(()), torch.zeros(())

    def tell_apart(x: torch.Tensor, made: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        true, false = judge(x), judge(made)
        return (
            entropy(true, ones) + entropy(false, zeros),
            (true > 0).sum() + (false <= 0).sum(),
        )

    def deceive(made: torch.Tensor) -> torch.Tensor:
        return entropy(judge(made), ones)

    if given.tool == "torch_compiled":
        tell_apart, deceive = torch.compile(tell_apart), torch.compile(deceive)

    def steps() -> Iterator[int]:
        while True:
            order = torch.randperm(len(data))
            for start in range(0, len(data), case.batch):
                x = data.index_select(0, order[start : start + case.batch])
                made = maker(torch.randn(case.batch, 2))
                loss, hits = tell_apart(x, made.detach())
                for_judge.zero_grad()
                loss.backward()
                for_judge.step()
                deceit = deceive(made)
                for_maker.zero_grad()
                deceit.backward()
                for_maker.step()
                losses.add_(loss.detach())
                right.add_(hits)
                yield case.counted

    each = steps()
    next(each)  # compiles
    found = rate(each, given.seconds, lambda: losses.item())
    with torch.no_grad():
        last = tell_apart(data[: case.batch], maker(torch.randn(case.batch, 2)))[0]
    size = sum(p.numel() for net in (maker, judge) for p in net.parameters())
    answer(loss=float(last), parameters=size, **found)


if __name__ == "__main__":
    main()

"""The same in PyTorch, in an environment of its own: embeddings with dense or sparse gradients.

Holds no DataLoader: the ratings are tensors in memory and a batch is taken out by its indices.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from cases import CASES, FACTORS, L2, read_ratings
from clock import answer, arguments, rate
from torch import nn


class MF(nn.Module):
    """The mean, biases and factors."""

    def __init__(self, users: int, items: int, mean: float, sparse: bool) -> None:
        super().__init__()
        self.mean = mean
        self.p = nn.Embedding(users, FACTORS, sparse=sparse)
        self.q = nn.Embedding(items, FACTORS, sparse=sparse)
        self.b = nn.Embedding(users, 1, sparse=sparse)
        self.c = nn.Embedding(items, 1, sparse=sparse)
        for table, spread in ((self.p, 0.1), (self.q, 0.1), (self.b, 0.0), (self.c, 0.0)):
            nn.init.normal_(table.weight, std=spread)

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Ratings and penalties (n,)."""
        p, q, b, c = self.p(users), self.q(items), self.b(users)[:, 0], self.c(items)[:, 0]
        squares = (p * p).sum(1) + (q * q).sum(1) + b * b + c * c
        return self.mean + b + c + (p * q).sum(1), 0.5 * L2 * squares


def main() -> None:
    given = arguments(CASES)
    case, sparse = given.case, given.tool == "torch_sparse"
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    users, items, values = (torch.from_numpy(array) for array in read_ratings(given.data))
    net = MF(case.users, case.items, float(values.mean()), sparse)
    if case.optimizer == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(net.parameters(), lr=case.rate)
    else:
        adam = torch.optim.SparseAdam if sparse else torch.optim.Adam
        optimizer = adam(list(net.parameters()), lr=case.rate)
    total = torch.zeros(())

    def loss_of(rows: torch.Tensor) -> torch.Tensor:
        found, penalty = net(users[rows], items[rows])
        return (0.5 * (found - values[rows]).square() + penalty).mean()

    def steps() -> Iterator[int]:
        while True:
            order = torch.randperm(len(values))
            for start in range(0, len(values), case.batch):
                loss = loss_of(order[start : start + case.batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total.add_(loss.detach())
                yield case.batch

    each = steps()
    next(each)
    found = rate(each, given.seconds, lambda: total.item())
    with torch.no_grad():
        last = float(loss_of(torch.arange(min(case.batch, len(values)))))
    answer(loss=last, parameters=sum(p.numel() for p in net.parameters()), **found)


if __name__ == "__main__":
    main()

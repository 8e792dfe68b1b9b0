"""The Tree-LSTM by recursion in PyTorch, for an environment of its own.

Node by node, as its users write it; what words give to the gates is one product a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from clock import answer, arguments, rate
from pairs import (
    BATCH,
    CASES,
    DECAY,
    DIM,
    GRADES,
    HIDDEN,
    LEARNING_RATE,
    SIMILARITY,
    Pair,
    Sentence,
    batches,
    read,
)
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    """Both trees, and the head."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, DIM)
        nn.init.uniform_(self.embedding.weight, -0.05, 0.05)
        self.inputs = nn.Linear(DIM, 4 * HIDDEN)
        self.sums = nn.Linear(HIDDEN, 3 * HIDDEN, bias=False)
        self.forget = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.inner = nn.Linear(2 * HIDDEN, SIMILARITY)
        self.outer = nn.Linear(SIMILARITY, GRADES)

    def forward(self, pair: Pair) -> torch.Tensor:
        a, b = self.encode(pair.left), self.encode(pair.right)
        both = torch.cat((a * b, (a - b).abs()), dim=1)
        return functional.log_softmax(self.outer(torch.sigmoid(self.inner(both))), dim=1)

    def encode(self, sentence: Sentence) -> torch.Tensor:
        gates = self.inputs(self.embedding(torch.tensor(sentence.words)))
        iou, f = gates.split((3 * HIDDEN, HIDDEN), dim=1)
        return self.node(sentence, iou, f, sentence.root)[0]

    def node(
        self, sentence: Sentence, iou: torch.Tensor, f: torch.Tensor, place: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        below = [self.node(sentence, iou, f, child) for child in sentence.children[place]]
        own = iou[place : place + 1]
        if below:
            h = torch.cat([h for h, _ in below])
            c = torch.cat([c for _, c in below])
            own = own + self.sums(h.sum(dim=0, keepdim=True))
            kept = (torch.sigmoid(f[place] + self.forget(h)) * c).sum(dim=0, keepdim=True)
        i, o, u = own.chunk(3, dim=1)
        c = torch.sigmoid(i) * torch.tanh(u)
        if below:
            c = c + kept
        return torch.sigmoid(o) * torch.tanh(c), c


def main() -> None:
    given = arguments(CASES)
    torch.set_num_threads(1 if given.tool == "torch_one" else given.threads)
    torch.manual_seed(0)
    train, dev, words = read(given.data)
    net = Net(words)
    optimizer = torch.optim.Adagrad(net.parameters(), lr=LEARNING_RATE, weight_decay=DECAY)

    def loss_of(pairs: list[Pair]) -> torch.Tensor:
        logs = torch.cat([net(pair) for pair in pairs])
        targets = torch.tensor([pair.target for pair in pairs])
        return functional.kl_div(logs, targets, reduction="batchmean")

    def steps() -> Iterator[int]:
        for pairs in batches(train):
            optimizer.zero_grad()
            loss_of(pairs).backward()
            optimizer.step()
            yield BATCH

    def evaluations() -> Iterator[int]:
        for pairs in batches(dev):
            with torch.no_grad():
                loss_of(pairs)
            yield BATCH

    found = rate(steps() if given.case == "train" else evaluations(), given.seconds)
    with torch.no_grad():
        loss = float(loss_of(dev[:BATCH]))
    size = sum(p.numel() for p in net.parameters())
    answer(parameters=size, loss=loss, **found)


if __name__ == "__main__":
    main()

"""The same models in PyTorch, eager and compiled, for an environment of its own.

States are carried from batch to batch, cut off from the gradient; nothing is read back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from clock import answer, arguments, rate
from corpora import CASES, LEARNING_RATE, Case, batches_of
from torch import nn


class Model(nn.Module):
    """Symbols to logits: one-hot or embedded, recurrent layers, a dense layer."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.symbols, units = case.symbols, case.hidden
        self.embedded = nn.Embedding(case.symbols, units) if case.words else None
        kind = nn.LSTM if case.cell == "lstm" else nn.GRU
        within = case.dropout if case.layers > 1 else 0.0
        self.recurrent = kind(
            units if case.words else case.symbols, units, case.layers, dropout=within
        )
        self.drop = nn.Dropout(case.dropout)
        self.decoder = nn.Linear(units, case.symbols)

    def forward(self, x: torch.Tensor, states: Any) -> tuple[torch.Tensor, Any]:
        if self.embedded is None:
            seen = nn.functional.one_hot(x, self.symbols).float()
        else:
            seen = self.drop(self.embedded(x))
        outputs, states = self.recurrent(seen, states)
        return self.decoder(self.drop(outputs)), states


def main() -> None:
    given = arguments(CASES)
    case = given.case
    torch.set_num_threads(given.threads)
    net = Model(case).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)
    entropy = nn.CrossEntropyLoss()
    pairs = [
        tuple(torch.from_numpy(each.copy()) for each in pair)
        for pair in batches_of(given.data, case)
    ]
    total = torch.zeros(())

    def loss_of(x: torch.Tensor, y: torch.Tensor, states: Any) -> tuple[torch.Tensor, Any]:
        logits, states = net(x, states)
        return entropy(logits.flatten(0, 1), y.flatten()), states

    compute = torch.compile(loss_of) if given.tool == "torch_compiled" else loss_of
    shape = (case.layers, case.streams, case.hidden)

    def steps() -> Iterator[int]:
        while True:
            states: Any = torch.zeros(shape)
            if case.cell == "lstm":
                states = (states, torch.zeros(shape))
            for x, y in pairs:
                loss, states = compute(x, y, states)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                states = (
                    tuple(s.detach() for s in states) if case.cell == "lstm" else states.detach()
                )
                total.copy_(loss.detach())
                yield x.numel()

    each = steps()
    next(each)  # compiles forward and backward
    found = rate(each, given.seconds, lambda: total.item())
    size = sum(p.numel() for p in net.parameters())
    answer(loss=total.item(), parameters=size, **found)


if __name__ == "__main__":
    main()

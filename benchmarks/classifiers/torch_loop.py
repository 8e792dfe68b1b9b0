"""The same models in PyTorch, eager and compiled, for an environment of its own.

Holds no DataLoader: the images are a tensor in memory and a batch is taken out by its indices.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from cases import CASES, LEARNING_RATE
from clock import answer, arguments, rate
from images import arrays
from torch import nn


def make(model: str) -> nn.Module:
    """The network of a case."""
    if model == "mlp":
        hidden = [nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()]
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(256, 10))
    if model == "lenet":
        return nn.Sequential(
            nn.Conv2d(1, 20, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(20, 50, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(800, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )
    layers, known = [], 1
    for convolutions, channels in ((1, 16), (1, 32), (2, 64), (2, 128)):
        for _ in range(convolutions):
            layers += [nn.Conv2d(known, channels, 3, padding=1), nn.ReLU()]
            known = channels
        layers.append(nn.MaxPool2d(2))
    layers.append(nn.Flatten())
    for _ in range(2):
        layers += [nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(128, 10))


def main() -> None:
    given = arguments(CASES)
    case = given.case
    torch.set_num_threads(given.threads)
    images, labels = (torch.from_numpy(array) for array in arrays(given.data))
    labels = labels.long()
    net = make(case.model).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)
    entropy = nn.CrossEntropyLoss()
    total = torch.zeros(())

    def loss_of(image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return entropy(net(image), label)

    compute = torch.compile(loss_of) if given.tool == "torch_compiled" else loss_of

    def steps() -> Iterator[int]:
        while True:
            order = torch.randperm(len(labels))
            for start in range(0, len(labels), case.batch):
                rows = order[start : start + case.batch]
                loss = compute(images.index_select(0, rows), labels.index_select(0, rows))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total.add_(loss.detach())
                yield case.batch

    each = steps()
    next(each)  # compiles forward and backward
    found = rate(each, given.seconds, lambda: total.item())
    with torch.no_grad():
        last = float(loss_of(images[: case.batch], labels[: case.batch]))
    size = sum(p.numel() for p in net.parameters())
    answer(loss=last, parameters=size, **found)


if __name__ == "__main__":
    main()

"""Fine-tuning in PyTorch, eager, for an environment of its own.

SqueezeNet 1.1 is written out: torchvision is not needed. Images are one tensor of bytes in memory;
a batch is taken out by its indices and normalized; nothing is read back.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from cases import CASES, CLASSES, DECAY, LEARNING_RATE, MEAN, POSITIVE, STD, photos
from clock import answer, arguments, rate
from torch import nn
from torch.nn import functional

FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


class Fire(nn.Module):
    """Fewer channels, then twice as many from convolutions 1x1 and 3x3 side by side."""

    def __init__(self, before: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, squeeze, 1)
        self.one, self.three = (nn.Conv2d(squeeze, expand, k, padding=k // 2) for k in (1, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (n, before, H, W) to (n, 2 expand, H, W)."""
        x = functional.relu(self.squeeze(x), inplace=True)
        both = (functional.relu(layer(x), inplace=True) for layer in (self.one, self.three))
        return torch.cat(tuple(both), 1)


def network() -> nn.Sequential:
    """SqueezeNet 1.1, weights drawn as dope's are."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(inplace=True), pool()]
    before = 64
    for i, (squeeze, expand) in enumerate(FIRES):
        layers.append(Fire(before, squeeze, expand))
        before = 2 * expand
        if i in (1, 3):
            layers.append(pool())
    layers += [nn.Dropout(0.5), nn.Conv2d(before, len(CLASSES), 1), nn.ReLU(inplace=True)]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return net


def main() -> None:
    given = arguments(CASES)
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    images, labels = (torch.from_numpy(each) for each in photos(given.data))
    mean, std = torch.from_numpy(MEAN), torch.from_numpy(STD)
    weights = (1 + POSITIVE * labels) / POSITIVE
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE, weight_decay=DECAY)
    loss = torch.zeros(())

    def steps() -> Iterator[int]:
        nonlocal loss
        while True:
            for rows in torch.randperm(len(images)).split(given.case.batch):
                x = (images[rows].float() / 255 - mean) / std
                each = functional.cross_entropy(net(x), labels[rows], reduction="none")
                loss = (each * weights[rows]).mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                yield len(rows)

    found = rate(steps(), given.seconds)
    answer(loss=loss.item(), parameters=sum(p.numel() for p in net.parameters()), **found)


if __name__ == "__main__":
    main()

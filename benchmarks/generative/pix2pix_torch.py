"""pix2pix in PyTorch, eager and compiled, for an environment of its own.

Pairs are tensors in memory and a batch is taken out by its indices; nothing is read back. False
images are made once a step, as the paper's authors do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import torch
from cases import CASES, examples
from clock import answer, arguments, rate
from torch import nn
from torch.nn import functional

FEATURES, DOWNS, POOL, WEIGHT = 64, 7, 50, 100


class Generator(nn.Module):
    """Images (n, 3, 128, 128) to images."""

    def __init__(self) -> None:
        super().__init__()
        channels = [FEATURES * min(2**i, 8) for i in range(DOWNS)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i, (before, after) in enumerate(zip([3, *channels], channels)):
            normed = 0 < i < DOWNS - 1
            layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if i else []
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=not normed)]
            self.down.append(nn.Sequential(*layers, *[nn.BatchNorm2d(after)] * normed))
        for i in reversed(range(DOWNS)):
            before = channels[i] * (1 if i == DOWNS - 1 else 2)
            after = channels[i - 1] if i else 3
            layers = [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=not i)]
            layers += [nn.BatchNorm2d(after)] if i else [nn.Tanh()]
            layers += [nn.Dropout(0.5)] if DOWNS - 1 - i < 3 else []
            self.up.append(nn.Sequential(*layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images to images."""
        bridges = []
        for layer in self.down:
            x = layer(x)
            bridges.append(x)
        bridges.pop()
        for layer in self.up:
            x = layer(x)
            if bridges:
                x = torch.cat([x, bridges.pop()], 1)
        return x


def discriminator() -> nn.Sequential:
    """Pairs (n, 6, 128, 128) to logits (n, 1, h, w)."""
    layers: list[nn.Module] = [nn.Conv2d(6, FEATURES, 4, 2, 1), nn.LeakyReLU(0.2)]
    for i, stride in ((1, 2), (2, 2), (3, 1)):
        before, after = FEATURES * 2 ** (i - 1), FEATURES * 2**i
        layers += [nn.Conv2d(before, after, 4, stride, 1, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8 * FEATURES, 1, 4, 1, 1))


class Pool:
    """Earlier pairs."""

    def __init__(self) -> None:
        self.images: list[torch.Tensor] = []

    def query(self, images: torch.Tensor) -> torch.Tensor:
        returned = []
        for image in images:
            if len(self.images) < POOL:
                self.images.append(image)
            elif random.random() < 0.5:
                place = random.randrange(POOL)
                image, self.images[place] = self.images[place], image
            returned.append(image)
        return torch.stack(returned)


def main() -> None:
    given = arguments(CASES)
    case = given.case
    torch.set_num_threads(given.threads)
    inputs, targets = (torch.from_numpy(part) for part in examples(given.data))
    maker, judge, pool = Generator(), discriminator(), Pool()
    for net in (maker, judge):
        for layer in net.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(layer.weight, 0.0, 0.02)
    for_maker, for_judge = (
        torch.optim.Adam(net.parameters(), lr=0.0002, betas=(0.5, 0.999)) for net in (maker, judge)
    )
    entropy = functional.binary_cross_entropy_with_logits
    losses, right = torch.zeros(()), torch.zeros(())

    def tell_apart(real: torch.Tensor, made: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        true, false = judge(real), judge(made)
        loss = entropy(true, torch.ones_like(true)) + entropy(false, torch.zeros_like(false))
        return 0.5 * loss, (true > 0).float().mean() + (false <= 0).float().mean()

    def deceive(x: torch.Tensor, y: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
        score = judge(torch.cat([x, made], 1))
        return entropy(score, torch.ones_like(score)) + WEIGHT * functional.l1_loss(made, y)

    make = maker
    if given.tool == "torch_compiled":
        make, tell_apart, deceive = (torch.compile(each) for each in (maker, tell_apart, deceive))

    def steps() -> Iterator[int]:
        while True:
            order = torch.randperm(len(inputs))
            for start in range(0, len(inputs), case.batch):
                rows = order[start : start + case.batch]
                x, y = inputs.index_select(0, rows), targets.index_select(0, rows)
                made = make(x)
                earlier = pool.query(torch.cat([x, made], 1).detach())
                loss, hits = tell_apart(torch.cat([x, y], 1), earlier)
                for_judge.zero_grad()
                loss.backward()
                for_judge.step()
                judge.requires_grad_(False)  # its gradients are not wanted here
                deceit = deceive(x, y, made)
                for_maker.zero_grad()
                deceit.backward()
                for_maker.step()
                judge.requires_grad_(True)
                losses.add_(loss.detach())
                right.add_(hits)
                yield case.counted

    each = steps()
    next(each)  # compiles
    found = rate(each, given.seconds, lambda: losses.item())
    with torch.no_grad():
        x, y = inputs[: case.batch], targets[: case.batch]
        last = tell_apart(torch.cat([x, y], 1), torch.cat([x, maker(x)], 1))[0]
    size = sum(p.numel() for net in (maker, judge) for p in net.parameters())
    answer(loss=float(last), parameters=size, **found)


if __name__ == "__main__":
    main()

"""The DCGAN in PyTorch, eager and compiled, for an environment of its own.

Images are a tensor in memory and a batch is taken out by its indices; nothing is read back. False
images are made once a step, as in PyTorch's own example.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from cases import CASES, examples
from clock import answer, arguments, rate
from torch import nn

LATENT, FEATURES = 100, 64


def generator() -> nn.Sequential:
    """Noise (n, 100, 1, 1) to images (n, 3, 64, 64)."""
    layers: list[nn.Module] = []
    inputs = LATENT
    for i, channels in enumerate((8 * FEATURES, 4 * FEATURES, 2 * FEATURES, FEATURES)):
        stride, pad = (2, 1) if i else (1, 0)
        layers += [nn.ConvTranspose2d(inputs, channels, 4, stride, pad, bias=False)]
        layers += [nn.BatchNorm2d(channels), nn.ReLU(True)]
        inputs = channels
    return nn.Sequential(*layers, nn.ConvTranspose2d(inputs, 3, 4, 2, 1, bias=False), nn.Tanh())


def discriminator() -> nn.Sequential:
    """Images to logits (n, 1, 1, 1)."""
    layers: list[nn.Module] = []
    inputs = 3
    for i, channels in enumerate((FEATURES, 2 * FEATURES, 4 * FEATURES, 8 * FEATURES)):
        layers += [nn.Conv2d(inputs, channels, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(channels)] if i else []
        layers += [nn.LeakyReLU(0.2, True)]
        inputs = channels
    return nn.Sequential(*layers, nn.Conv2d(inputs, 1, 4, 1, 0, bias=False))


def main() -> None:
    given = arguments(CASES)
    case = given.case
    torch.set_num_threads(given.threads)
    data = torch.from_numpy(examples(given.data))
    maker, judge = generator(), discriminator()
    for net in (maker, judge):
        for layer in net:
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(layer.weight, 0.0, 0.02)
    for_maker, for_judge = (
        torch.optim.Adam(net.parameters(), lr=0.0002, betas=(0.5, 0.999)) for net in (maker, judge)
    )
    entropy = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(case.batch, 1), torch.zeros(case.batch, 1)
    losses, right = torch.zeros(()), torch.zeros(())

    def tell_apart(x: torch.Tensor, made: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        true, false = judge(x).flatten(1), judge(made).flatten(1)
        return (
            entropy(true, ones) + entropy(false, zeros),
            (true > 0).sum() + (false <= 0).sum(),
        )

    def deceive(made: torch.Tensor) -> torch.Tensor:
        return entropy(judge(made).flatten(1), ones)

    make = maker
    if given.tool == "torch_compiled":
        make, tell_apart, deceive = (torch.compile(each) for each in (maker, tell_apart, deceive))

    def steps() -> Iterator[int]:
        while True:
            order = torch.randperm(len(data))
            for start in range(0, len(data), case.batch):
                x = data.index_select(0, order[start : start + case.batch])
                made = make(torch.randn(case.batch, LATENT, 1, 1))
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
        made = maker(torch.randn(case.batch, LATENT, 1, 1))
        last = tell_apart(data[: case.batch], made)[0]
    size = sum(p.numel() for net in (maker, judge) for p in net.parameters())
    answer(loss=float(last), parameters=size, **found)


if __name__ == "__main__":
    main()

"""Bayes by Backprop in PyTorch, eager and compiled, for an environment of its own.

Draws weights, or outputs of layers; the divergence from the Gaussian prior is in closed form, the
mixture's stable, as in dope. The images are a tensor, and nothing is read back.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from cases import (
    BATCH,
    CASES,
    PI,
    RATE,
    RHO,
    SIGMA,
    SIGMA1,
    SIGMA2,
    SIZES,
)  # fmt: skip
from clock import answer, arguments, rate
from images import arrays
from torch import nn


class Bayesian(nn.Module):
    """A dense layer of Gaussian weights."""

    def __init__(self, inputs: int, outputs: int, case) -> None:
        super().__init__()
        self.case = case
        mean = nn.init.xavier_uniform_(torch.empty(outputs, inputs))
        self.mean, self.bias = nn.Parameter(mean), nn.Parameter(torch.zeros(outputs))
        self.rho = nn.Parameter(torch.full((outputs, inputs), RHO))
        self.bias_rho = nn.Parameter(torch.full((outputs,), RHO))

    def forward(self, x):
        pairs = [(self.mean, F.softplus(self.rho)), (self.bias, F.softplus(self.bias_rho))]
        if self.case.local:
            (mean, sigma), (bias, bias_sigma) = pairs
            out = F.linear(x, mean, bias)
            spread = torch.sqrt(F.linear(x * x, sigma * sigma, bias_sigma**2).clamp_min(1e-12))
            out, drawn = out + spread * torch.randn_like(out), ()
        else:
            drawn = [mu + sigma * torch.randn_like(mu) for mu, sigma in pairs]
            out = F.linear(x, *drawn)
        return out, self.divergence(pairs, drawn)

    def divergence(self, pairs, drawn):
        total = sum(-sigma.log().sum() for _, sigma in pairs)
        if self.case.prior == "gaussian":
            squares = sum((mu * mu).sum() + (sigma * sigma).sum() for mu, sigma in pairs)
            return total + squares / (2 * SIGMA**2)
        first, second = 0.5 / SIGMA1**2, 0.5 / SIGMA2**2
        odds = math.log((1 - PI) / PI * SIGMA1 / SIGMA2)
        for w in drawn:
            square = w * w
            beside = F.softplus(square * (first - second) + odds)
            total = total + (square * first - beside).sum()
        return total


def main() -> None:
    given = arguments(CASES)
    case = given.case
    torch.set_num_threads(given.threads)
    images, labels = (torch.from_numpy(array) for array in arrays(given.data))
    images, labels = images.reshape(len(labels), -1), labels.long()
    layers = nn.ModuleList(Bayesian(a, b, case) for a, b in zip(SIZES, SIZES[1:]))
    kind = torch.optim.Adam if case.optimizer == "adam" else torch.optim.SGD
    optimizer = kind(layers.parameters(), lr=RATE[case.optimizer])
    totals = torch.zeros(2)

    def loss_of(x, y):
        divergence = 0.0
        for i, layer in enumerate(layers):
            x, found = layer(torch.relu(x) if i else x)
            divergence = divergence + found
        nll = F.cross_entropy(x, y)
        return nll + divergence / len(labels), nll.detach()

    compute = torch.compile(loss_of) if given.tool == "torch_compiled" else loss_of

    def steps():
        while True:
            order = torch.randperm(len(labels))
            for start in range(0, len(labels), BATCH):
                rows = order[start : start + BATCH]
                loss, nll = compute(images.index_select(0, rows), labels.index_select(0, rows))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                totals.add_(torch.stack([loss.detach(), nll]))
                yield BATCH

    each = steps()
    next(each)  # compiles forward and backward
    found = rate(each, given.seconds, lambda: totals.sum().item())
    with torch.no_grad():
        last = float(loss_of(images[:BATCH], labels[:BATCH])[1])
    size = sum(p.numel() for p in layers.parameters())
    answer(parameters=size, loss=last, **found)


if __name__ == "__main__":
    main()

"""The detector in PyTorch, eager, for an environment of its own.

Images are a tensor in memory and a batch is taken out by its indices; matching is worked out for
each batch, on whole batches; nothing is read back. PyTorch has no suppression of its own: overlaps
are one operator here, and the choice goes through rows in NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from cases import (
    BODY,
    CASES,
    CLASSES,
    LEARNING_RATE,
    MATCHED,
    MOST,
    OVERLAP,
    STAGES,
    THRESHOLD,
    VARIANCES,
    default_boxes,
    scenes,
)
from clock import answer, arguments, rate
from torch import nn
from torch.nn import functional


def block(before: int, after: int) -> nn.Sequential:
    """Two convolutions, then half the height and width."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


class SSD(nn.Module):
    """Images to scores (n, A, K + 1) and offsets (n, A, 4)."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, *BODY)
        self.body = nn.Sequential(*(block(a, b) for a, b in zip(channels, channels[1:])))
        channels = (BODY[-1], *STAGES)
        self.stages = nn.ModuleList(block(a, b) for a, b in zip(channels, channels[1:]))
        of_maps = (*channels, STAGES[-1])
        k = 4 * (CLASSES + 1)
        self.scores = nn.ModuleList(nn.Conv2d(c, k, 3, padding=1) for c in of_maps)
        self.offsets = nn.ModuleList(nn.Conv2d(c, 16, 3, padding=1) for c in of_maps)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images to scores and offsets."""
        x = self.body(x)
        scores, offsets = [], []
        for i, (of_classes, of_boxes) in enumerate(zip(self.scores, self.offsets)):
            scores.append(of_classes(x).permute(0, 2, 3, 1).flatten(1))
            offsets.append(of_boxes(x).permute(0, 2, 3, 1).flatten(1))
            if i < 3:
                x = self.stages[i](x)
            elif i == 3:
                x = functional.adaptive_max_pool2d(x, 1)
        n = len(x)
        return torch.cat(scores, 1).view(n, -1, CLASSES + 1), torch.cat(offsets, 1).view(n, -1, 4)


def overlaps(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """IoU (..., p, q) of boxes (..., p, 4) and (..., q, 4)."""
    low = torch.maximum(a[..., :, None, :2], b[..., None, :, :2])
    high = torch.minimum(a[..., :, None, 2:], b[..., None, :, 2:])
    both = (high - low).clamp_(min=0).prod(-1)
    areas = [(each[..., 2:] - each[..., :2]).prod(-1) for each in (a, b)]
    return both / (areas[0][..., :, None] + areas[1][..., None, :] - both)


class Matcher:
    """Which default box is to find which object."""

    def __init__(self, boxes: np.ndarray) -> None:
        self.boxes = torch.from_numpy(boxes)
        self.centre = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        self.sides = self.boxes[:, 2:] - self.boxes[:, :2]
        self.variances = torch.tensor(VARIANCES)

    def __call__(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Classes (n, A) and offsets (n, A, 4)."""
        n, most = labels.shape[:2]
        rows, real = torch.arange(n), labels[..., 0] >= 0
        table = overlaps(self.boxes, labels[..., 1:])
        table = torch.where(real[:, None], table, torch.full_like(table, -1))
        best, which = table.max(2)
        found = torch.where(best >= MATCHED, which, torch.full_like(which, -1))
        for _ in range(most):
            value, pair = table.flatten(1).max(1)
            anchor, thing = pair // most, pair % most
            some = value > 0
            r, a, m = rows[some], anchor[some], thing[some]
            found[r, a] = m
            table[r, a, :] = -1
            table[r, :, m] = -1
        taken = labels[rows[:, None], found.clamp(min=0)]  # (n, A, 5)
        matched = found >= 0
        sides = taken[..., 3:] - taken[..., 1:3]
        shift = ((taken[..., 1:3] + taken[..., 3:]) / 2 - self.centre) / self.sides
        stretch = (sides.clamp(min=1e-6) / self.sides).log()
        offsets = torch.cat([shift, stretch], -1) / self.variances * matched[..., None]
        return torch.where(matched, taken[..., 0] + 1, torch.zeros(())).long(), offsets

    def corners(self, offsets: torch.Tensor) -> torch.Tensor:
        """Boxes of offsets (n, A, 4)."""
        scaled = offsets * self.variances
        centre = scaled[..., :2] * self.sides + self.centre
        half = scaled[..., 2:].exp() * self.sides / 2
        return torch.cat([centre - half, centre + half], -1).clamp(0, 1)


def loss_of(
    scores: torch.Tensor, found: torch.Tensor, classes: torch.Tensor, offsets: torch.Tensor
) -> torch.Tensor:
    """Focal loss and smooth L1, both a mean over default boxes."""
    logs = functional.log_softmax(scores, -1).gather(2, classes[..., None])[..., 0]
    focal = ((1 - logs.exp()) ** 2 * -logs).mean()
    mask = (classes > 0)[..., None]
    return focal + functional.smooth_l1_loss(found * mask, offsets)


def suppressed(boxes: torch.Tensor, likely: torch.Tensor) -> list[torch.Tensor]:
    """What is found in each image: rows of class, probability and box."""
    best, kinds = likely[..., 1:].max(-1)
    found = []
    for box, sure, kind in zip(boxes, best, kinds):
        order = sure.argsort(descending=True)[:MOST]
        order = order[sure[order] >= THRESHOLD]
        box, sure, kind = box[order], sure[order], kind[order]
        rivals = ((overlaps(box, box) >= OVERLAP) & (kind[:, None] == kind)).numpy()
        alive = np.ones(len(order), bool)
        for i in range(len(order)):
            if alive[i]:
                alive[i + 1 :] &= ~rivals[i, i + 1 :]
        rows = torch.cat([kind[:, None].float(), sure[:, None], box], 1)
        found.append(rows[torch.from_numpy(alive)])
    return found


def main() -> None:
    given = arguments(CASES)
    case = given.case
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    images, labels = (torch.from_numpy(part) for part in scenes(given.data))
    net, matcher = SSD(), Matcher(default_boxes(case.size))
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)
    total = torch.zeros(())

    def learn(rows: torch.Tensor) -> None:
        loss = loss_of(*net(images[rows]), *matcher(labels[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total.add_(loss.detach())

    def find(rows: torch.Tensor) -> None:
        with torch.no_grad():
            scores, offsets = net(images[rows])
            suppressed(matcher.corners(offsets), functional.softmax(scores, -1))

    def steps() -> Iterator[int]:
        while True:
            order = torch.randperm(len(images))
            for start in range(0, len(images), case.batch):
                rows = order[start : start + case.batch]
                find(rows) if case.finds else learn(rows)
                yield len(rows)

    learn(torch.arange(case.batch))
    if case.finds:
        net.eval()
    each = steps()
    next(each)
    found = rate(each, given.seconds, lambda: total.item())
    with torch.no_grad():
        rows = torch.arange(case.batch)
        last = loss_of(*net(images[rows]), *matcher(labels[rows]))
    size = sum(p.numel() for p in net.parameters())
    answer(loss=float(last), parameters=size, **found)


if __name__ == "__main__":
    main()

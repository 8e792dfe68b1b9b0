"""The same in PyTorch: batches cut from shuffled tensors, nothing is read back.

The pooling is written with scatter-add and PyTorch's own Fourier transform, in float32.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from cases import CASES, DROPOUT, RATE, SEED, Case, features
from clock import answer, arguments, rate
from torch import nn


class Pooling(nn.Module):
    """Compact bilinear pooling of features with a 1 each."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.size = case.sketch
        for name, units in (("image", case.image + 1), ("question", case.question + 1)):
            buckets = torch.randint(0, self.size, (units,))
            self.register_buffer(f"{name}_buckets", buckets)
            self.register_buffer(f"{name}_signs", 2.0 * torch.randint(0, 2, (units,)) - 1)

    def transform(self, x, buckets, signs):
        x = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
        sketch = x.new_zeros(len(x), self.size).index_add_(1, buckets, x * signs)
        return torch.fft.rfft(sketch)

    def forward(self, x, y):
        p = self.transform(x, self.image_buckets, self.image_signs)
        q = self.transform(y, self.question_buckets, self.question_signs)
        return torch.fft.irfft(p * q, self.size)


class Net(nn.Module):
    """Both models."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.pooling = Pooling(case) if case.sketch else None
        self.hidden = nn.Linear(case.sketch or case.image + case.question, case.hidden)
        self.norm = nn.BatchNorm1d(case.hidden)
        self.drop = nn.Dropout(DROPOUT)
        self.output = nn.Linear(case.hidden, case.answers)

    def forward(self, images, questions):
        x, y = F.normalize(images), F.normalize(questions)
        z = torch.cat([x, y], dim=1) if self.pooling is None else self.pooling(x, y)
        return self.output(self.drop(self.norm(torch.relu(self.hidden(z)))))


def main() -> None:
    given = arguments(CASES)
    case = given.case
    torch.manual_seed(SEED)
    torch.set_num_threads(given.threads)
    images, questions, answers = (torch.from_numpy(each) for each in features(given.data))
    net = Net(case)
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    total = torch.zeros(())

    def steps() -> Iterator[int]:
        while True:
            order = torch.randperm(len(answers))
            for start in range(0, len(answers), case.batch):
                rows = order[start : start + case.batch]
                optimizer.zero_grad(set_to_none=True)
                loss = F.cross_entropy(net(images[rows], questions[rows]), answers[rows].long())
                loss.backward()
                optimizer.step()
                total.copy_(loss.detach())
                yield case.batch

    found = rate(steps(), given.seconds)
    answer(loss=float(total), parameters=sum(p.numel() for p in net.parameters()), **found)


if __name__ == "__main__":
    main()

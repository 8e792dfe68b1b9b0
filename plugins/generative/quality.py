"""How close two pictures are: mean absolute error, PSNR and SSIM, a number for each example.

Holds formulas on the device only; which pictures are compared is the task's matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dope.core.backend import nd

RADIUS, SIGMA = 5, 1.5  # of the window of SSIM, in pixels
K1, K2 = 0.01, 0.03


def absolute(one: Any, other: Any) -> Any:
    """Mean absolute error of pictures (n, C, H, W): (n,)."""
    return (one - other).abs().reshape((0, -1)).mean(axis=1)


def psnr(one: Any, other: Any) -> Any:
    """Peak signal-to-noise ratio in decibels of pictures (n, C, H, W) between 0 and 1: (n,).

    ``-10 log10`` of the mean squared error of a picture; of equal ones 100.
    """
    squared = (one - other).square().reshape((0, -1)).mean(axis=1)
    return -10 / float(np.log(10)) * nd.maximum(squared, 1e-10).log()


def ssim(one: Any, other: Any) -> Any:
    """Structural similarity of pictures (n, C, H, W) between 0 and 1: (n,), at most 1.

    Averages over all windows that lie within the picture, and over colours. H and W are at
    least 11.

    Notes
    -----
    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity"
    (2004), with its window: normal weights of standard deviation 1.5, 11 x 11 pixels.
    """
    x, y = (each.reshape((-1, 1, *each.shape[2:])) for each in (one, other))  # (n C, 1, H, W)
    mean_x, mean_y = _window(x), _window(y)
    var_x = _window(x * x) - mean_x * mean_x
    var_y = _window(y * y) - mean_y * mean_y
    cov = _window(x * y) - mean_x * mean_y
    c1, c2 = K1**2, K2**2
    top = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    bottom = (mean_x * mean_x + mean_y * mean_y + c1) * (var_x + var_y + c2)
    return (top / bottom).reshape((one.shape[0], -1)).mean(axis=1)


def _window(maps: Any) -> Any:
    """Weighted means over all windows of maps (m, 1, H, W): (m, 1, H - 10, W - 10)."""
    side = 2 * RADIUS + 1
    weights = np.exp(-0.5 * (np.arange(side) - RADIUS) ** 2 / SIGMA**2)
    row = nd.array(weights / weights.sum(), ctx=maps.context, dtype=maps.dtype)
    given = {"num_filter": 1, "no_bias": True}
    for shape in ((1, side), (side, 1)):
        maps = nd.Convolution(maps, row.reshape((1, 1, *shape)), kernel=shape, **given)
    return maps

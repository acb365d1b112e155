"""Intervals of shares of rows, and of what is made of them, which hold where all rows or none are a hit.

A share has Wilson's score interval (Wilson 1927, doi:10.1080/01621459.1927.10502953) on the rows it is
a share of. F1 grows with a share, TP / (TP + FP + FN), so its limits are that share's, bent ("Wilson
indirect", Lam et al. 2023, arXiv:2309.14621). An average of several shares gets the interval of Price and
Bonett (2004, Computational Statistics & Data Analysis 45, 449-456), which moves every share a little to the
middle: all of them together by what Agresti and Coull move one. In simulations of 2 to 50 classes, some of
them rare, intervals of balanced accuracy and macro F1 that say 95 % held the truth in 94 to 99 % of the
cases; the bootstrap did in 72 to 95 %.

Repetitions of a row are no new evidence. Wilson's interval therefore takes the rows divided by the
design effect of samples drawn in clusters (Kish 1965, Survey Sampling), as is recommended for surveys (Franco,
Little, Louis and Slud 2019, Journal of Survey Statistics and Methodology 7, 334-364).
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from headframe.tasks.resampling import Bounds, Share, Shares


def wilson(share: float, rows: float, confidence: float) -> tuple[float, float]:
    """Give Wilson's score interval of a share of `rows` independent rows; 0 to 1 where there are none."""
    if rows == 0:
        return 0.0, 1.0
    z = float(ndtri((1 + confidence) / 2))
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    reach = z / (1 + z**2 / rows) * (share * (1 - share) / rows + z**2 / (4 * rows**2)) ** 0.5
    return max(0.0, centre - reach), min(1.0, centre + reach)


def independent_rows(share: Share, contents: np.ndarray) -> float:
    """Give how many independent rows would tell as much of a share as its rows do.

    The design effect is the larger of two estimates. One is Kish's, 1 + (m - 1) r, where m is the number of
    repetitions of an average row and r how alike they are: 1 where repetitions never disagree, which they
    cannot where all rows or none are a hit. The other is the variance between contents, linearised, over
    that of independent rows; it sees that errors gather in contents that occur often.

    Args:
        share: which rows.
        contents: int (rows,), equal where rows are repetitions of each other.
    """
    many = int(contents.max()) + 1
    sizes = np.bincount(contents[share.of], minlength=many).astype(np.float64)
    hits = np.bincount(contents[share.hit], minlength=many)[sizes > 0].astype(np.float64)
    sizes = sizes[sizes > 0]
    rows, groups = sizes.sum(), len(sizes)
    if groups == rows:
        return float(rows)
    value = hits.sum() / rows
    spread = value * (1 - value)
    alike, between = 1.0, 0.0
    if spread > 0:
        repeated = sizes > 1
        within = (hits * (sizes - hits) / (sizes - 1).clip(1))[repeated].sum() / sizes[repeated].sum()
        alike = float(np.clip(1 - within / spread, 0, 1))
    if spread > 0 and groups > 1:
        between = ((hits - value * sizes) ** 2).sum() * groups / (groups - 1) / (rows * spread)
    effect = max(1 + ((sizes**2).sum() / rows - 1) * alike, between)
    return float(rows / effect)


def limits_of_shares(shares: Shares, contents: np.ndarray, confidence: float) -> tuple[float, float]:
    """Give the limits of a share, or of an average of several.

    Where a row can lower two shares at once they err together. The variance of a sum of two is at most twice
    the sum of their variances, so the reach grows by the root of two.

    Args:
        shares: what is averaged.
        contents: int (rows,), equal where rows are repetitions of each other.
        confidence: of the interval.
    """
    of = np.array([part.of.sum() for part in shares.parts])
    values = np.array([part.hit.sum() for part in shares.parts]) / of.clip(1)
    rows = np.array([independent_rows(part, contents) if part.of.any() else 0.0 for part in shares.parts])
    if len(rows) == 1:
        low, high = wilson(float(values[0]), float(rows[0]), confidence)
        return shares.bend(low), shares.bend(high)
    z = float(ndtri((1 + confidence) / 2))
    added = z**2 / 2 / len(rows)  # hits, and as many misses
    moved = (values * rows + added) / (rows + 2 * added)
    reach = z * np.sqrt(moved * (1 - moved) / (rows + 2 * added))
    middle = np.mean([shares.bend(each) for each in moved])
    halves = [(shares.bend(one + each) - shares.bend(one - each)) / 2 for one, each in zip(moved, reach, strict=True)]
    around = np.sqrt(shares.together * np.square(halves).sum()) / len(rows)
    return max(shares.bend(0.0), float(middle - around)), min(shares.bend(1.0), float(middle + around))


def limits_within_bounds(value: float, bounds: Bounds, contents: np.ndarray, confidence: float) -> tuple[float, float]:
    """Give limits of a metric of which only its bounds are known, as where all resamples are equal.

    No average of numbers between two bounds varies more than a share with the same mean (Bhatia and Davis
    2000, doi:10.1080/00029890.2000.12005203), so Wilson's interval of such a share is wide enough. The area
    under a ROC curve varies at most like a share of the rarer class (Birnbaum and Klose 1957,
    Annals of Mathematical Statistics 28, 933-945); that under precision and recall is taken for a share of
    the positive rows (Boyd, Eng and Page, ECML PKDD 2013).

    Args:
        value: of the metric.
        bounds: its bounds; the fewest rows it averages over count.
        contents: int (rows,), equal where rows are repetitions of each other.
        confidence: of the interval.
    """
    width = bounds.high - bounds.low
    rows = min(independent_rows(Share(mask, mask), contents) for mask in bounds.over)
    low, high = wilson(min(1.0, max(0.0, (value - bounds.low) / width)), rows, confidence)
    return bounds.low + width * low, bounds.low + width * high

"""Intervals of proportions of rows, and of what is made of them, which hold where all rows or none are a hit.

A proportion has Wilson's score interval (Wilson 1927, doi:10.1080/01621459.1927.10502953) on the rows it is
a proportion of. F1 grows with a proportion, TP / (TP + FP + FN), so its limits are those of that proportion,
transformed ("Wilson indirect", Lam et al. 2023, arXiv:2309.14621). An average of several proportions gets the
interval of Price and Bonett (2004, Computational Statistics & Data Analysis 45, 449-456), which moves every
proportion a little to the middle: all of them together by what Agresti and Coull move one. In simulations of 2 to
50 classes, some of them rare, intervals of balanced accuracy and macro F1 at 95 % held the truth in 94 to
99 % of the cases; the bootstrap did in 72 to 95 %.

Repetitions of a row are no new evidence. Wilson's interval therefore takes the rows divided by the
design effect of samples drawn in clusters (Kish 1965, Survey Sampling), as is recommended for surveys (Franco,
Little, Louis and Slud 2019, Journal of Survey Statistics and Methodology 7, 334-364).
"""

import numpy as np
from scipy.special import ndtri

from headframe.metrics.statistics import Bounds, MeanProportion, Proportion


def wilson(proportion: float, rows: float, confidence: float) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion of `rows` independent rows; 0 to 1 where there are none."""
    if rows == 0:
        return 0.0, 1.0
    z = float(ndtri((1 + confidence) / 2))
    centre = (proportion + z**2 / (2 * rows)) / (1 + z**2 / rows)
    reach = z / (1 + z**2 / rows) * (proportion * (1 - proportion) / rows + z**2 / (4 * rows**2)) ** 0.5
    return max(0.0, centre - reach), min(1.0, centre + reach)


def independent_rows(proportion: Proportion, contents: np.ndarray) -> float:
    """Return how many independent rows would carry as much information on a proportion as its rows do.

    The design effect is the larger of two estimates. One is Kish's, 1 + (m - 1) r, where m is the number of
    repetitions of an average row and r how alike they are: 1 where repetitions never disagree, which they
    cannot where all rows or none are a hit. The other is the variance between contents, linearised, over
    that of independent rows; it sees that errors gather in contents that occur often.

    Args:
        proportion: which rows.
        contents: int (rows,), equal where rows are repetitions of each other.
    """
    many = int(contents.max()) + 1
    sizes = np.bincount(contents[proportion.among], minlength=many).astype(np.float64)
    hits = np.bincount(contents[proportion.hits], minlength=many)[sizes > 0].astype(np.float64)
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


def limits_of_proportions(metric: MeanProportion, contents: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the limits of a proportion, or of an average of several.

    Where a row can lower two proportions at once they err together. The variance of a sum of two is at most twice
    the sum of their variances, so the reach grows by the root of two.

    Args:
        metric: what is averaged.
        contents: int (rows,), equal where rows are repetitions of each other.
        confidence: of the interval.
    """
    among = np.array([part.among.sum() for part in metric.parts])
    values = np.array([part.hits.sum() for part in metric.parts]) / among.clip(1)
    rows = np.array([independent_rows(part, contents) if part.among.any() else 0.0 for part in metric.parts])
    if len(rows) == 1:
        low, high = wilson(float(values[0]), float(rows[0]), confidence)
        return metric.transform(low), metric.transform(high)
    z = float(ndtri((1 + confidence) / 2))
    added = z**2 / 2 / len(rows)  # hits, and as many misses
    moved = (values * rows + added) / (rows + 2 * added)
    reach = z * np.sqrt(moved * (1 - moved) / (rows + 2 * added))
    transform = metric.transform
    middle = np.mean([transform(each) for each in moved])
    halves = [(transform(one + each) - transform(one - each)) / 2 for one, each in zip(moved, reach, strict=True)]
    around = np.sqrt(metric.together * np.square(halves).sum()) / len(rows)
    return max(transform(0.0), float(middle - around)), min(transform(1.0), float(middle + around))


def limits_within_bounds(value: float, bounds: Bounds, contents: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return limits of a metric of which only its bounds are known, as where all resamples are equal.

    No average of numbers between two bounds varies more than a proportion with the same mean (Bhatia and Davis
    2000, doi:10.1080/00029890.2000.12005203), so Wilson's interval of such a proportion is wide enough. The area
    under a ROC curve varies at most like a proportion of the rarer class (Birnbaum and Klose 1957,
    Annals of Mathematical Statistics 28, 933-945); that under precision and recall is taken for a proportion of
    the positive rows (Boyd, Eng and Page, ECML PKDD 2013).

    Args:
        value: of the metric.
        bounds: its bounds; the fewest rows it averages over count.
        contents: int (rows,), equal where rows are repetitions of each other.
        confidence: of the interval.
    """
    width = bounds.high - bounds.low
    rows = min(independent_rows(Proportion(mask, mask), contents) for mask in bounds.over)
    low, high = wilson(min(1.0, max(0.0, (value - bounds.low) / width)), rows, confidence)
    return bounds.low + width * low, bounds.low + width * high

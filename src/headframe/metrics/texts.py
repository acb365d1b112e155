"""How much texts agree with their references, by sacrebleu."""

import numpy as np

from headframe.metrics.statistics import Statistic, Weights


def bleu(references: np.ndarray, translations: np.ndarray) -> Statistic:
    """BLEU of a corpus from 0 to 100: the number of `sacrebleu.corpus_bleu` (Post 2018, 10.18653/v1/W18-6319).

    Where no translation has four words or signs, for which that number is 0, the shorter n-grams count alone.
    """
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415 - to train, nobody needs it

    metric = BLEU(effective_order=True)
    pairs = zip(translations, references, strict=True)
    found = [metric.sentence_score(translation, [reference]) for translation, reference in pairs]
    counts = np.array([[*each.counts, *each.totals, each.sys_len, each.ref_len] for each in found], dtype=np.float64)
    orders = metric.max_ngram_order

    def evaluate(weights: Weights) -> np.ndarray:
        scores = []
        for *grams, length, expected in np.rint(counts.T @ weights).astype(np.int64).T.tolist():
            right, total = grams[:orders], grams[orders:]
            of_all = BLEU.compute_bleu(right, total, length, expected, smooth_method="exp", effective_order=True)
            scores.append(of_all.score)
        return np.array(scores, dtype=np.float64)

    return Statistic(evaluate)


def chrf(references: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """Compute chrF of each translation, 0 to 100, float64 (rows,)."""
    from sacrebleu.metrics.chrf import CHRF  # noqa: PLC0415 - to train, nobody needs it

    metric = CHRF()
    pairs = zip(translations, references, strict=True)
    return np.array([metric.sentence_score(each, [reference]).score for each, reference in pairs], dtype=np.float64)

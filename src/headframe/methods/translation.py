"""Learn to generate the tokens of a target one after the other, and search for the most probable ones."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from headframe.config.ranges import Count, NotNegative, Share
from headframe.examples.batches import Batch, Inputs
from headframe.features.tokens import PADDING, UNKNOWN
from headframe.methods.base import Method
from headframe.tasks.translation import TOKENS, Translation

Step = Callable[[Tensor, list[Tensor] | None, Tensor], tuple[Tensor, list[Tensor]]]
"""What is searched: log-probabilities of the next token, float64 (rows, hypotheses, ids), and states.

Of the last tokens, int64 (rows, hypotheses), the states before, each (rows, hypotheses, ...) and None at the first, and
the numbers of the rows, int64 (rows,).
"""


class SequenceGeneration(Method[Translation]):
    """Lowers the cross entropy of each token behind the true ones before it, and translates by beam search.

    Args:
        network: has `memory`, `generate` and `scores`; see `headframe.models.seq2seq`.
        task: a translation.
        label_smoothing: share of the target's certainty that is spread over all tokens, 0 to 1 (arXiv:1512.00567).
        buckets: of a training batch by length, so that little padding is computed; changes nothing but speed and noise.
        beam: hypotheses that are kept of each translation; 1: always the most probable token.
        length_power: of the number of tokens by which the log-probability of a translation is divided; 0: not at all.
        together: translations that are searched for at once, which bounds memory.
        translate_validation: whether validation rows are translated after each epoch, which takes longer than their
            loss; needed where the primary metric is monitored.
    """

    network: Any  # torch's types know no methods of networks

    def __init__(
        self,
        network: nn.Module,
        task: Translation,
        *,
        label_smoothing: Share = 0.1,
        buckets: Count = 2,
        beam: Count = 5,
        length_power: NotNegative = 1.0,
        together: Count = 64,
        translate_validation: bool = False,
    ) -> None:
        super().__init__(network, task)
        self.label_smoothing = label_smoothing
        self.buckets = buckets
        self.beam = beam
        self.length_power = length_power
        self.together = together
        self.translate_validation = translate_validation

    @override
    def losses(self, move: str, batch: Batch) -> Mapping[str, Tensor]:
        total, tokens = self._loss(batch, self.label_smoothing)
        return {"cross_entropy": total / tokens}

    def _loss(self, batch: Batch, label_smoothing: float) -> tuple[Tensor, int]:
        """Return the sum of the losses of all tokens, and their number."""
        source, target = batch.inputs, batch.targets[TOKENS]
        assert isinstance(source, Tensor)  # noqa: S101 - the network takes tokens alone
        sizes = (target != PADDING).sum(dim=1)
        losses = []
        for rows in sizes.argsort(stable=True).tensor_split(min(self.buckets, len(sizes))):
            true = target[rows, : int(sizes[rows].max())]
            features = self.network(source[rows], functional.pad(true[:, :-1], (1, 0), value=self.task.end))
            real = true != PADDING
            scores = self.network.scores(features[real]).float()
            losses.append(
                functional.cross_entropy(scores, true[real], label_smoothing=label_smoothing, reduction="sum")
            )
        return torch.stack(losses).sum(), int(sizes.sum())

    @override
    def validate(self, batches: Iterable[Batch]) -> tuple[float, pa.Table | None]:
        losses, tokens, found = 0.0, 0, []
        for batch in batches:
            loss, count = self._loss(batch, 0.0)
            losses, tokens = losses + float(loss), tokens + count
            if self.translate_validation and np.isfinite(losses):
                found.append(self.predict(batch.inputs))
        return losses / tokens, pa.concat_tables(found) if found and np.isfinite(losses) else None

    @override
    def predict(self, inputs: Inputs) -> pa.Table:
        assert isinstance(inputs, Tensor)  # noqa: S101 - the network takes tokens alone
        # In double precision: sums that are taken in another order in another batch differ in the last bits, and in
        # single precision that would now and then choose another token.
        network = copy.deepcopy(self.network).double()
        order = (inputs != PADDING).sum(dim=1).argsort(stable=True)
        texts, scores = [""] * len(inputs), np.zeros(len(inputs))
        for rows in torch.split(order, self.together):
            ids, found = self._search(network, inputs[rows])
            for row, each, score in zip(rows.tolist(), ids.tolist(), found.tolist(), strict=True):
                texts[row], scores[row] = self.task.text(each), score
        return self.task.columns(texts, scores)

    def _search(self, network: Any, source: Tensor) -> tuple[Tensor, Tensor]:
        memory = network.memory(source)
        never = torch.tensor([PADDING, UNKNOWN], device=source.device)

        rows = torch.arange(len(source), device=source.device)

        def step(tokens: Tensor, states: list[Tensor] | None, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
            features, states = network.generate(tokens, memory.take(rows), states)
            scores = network.scores(features).index_fill(2, never, -torch.inf)
            return scores.log_softmax(dim=2), states

        return beam_search(
            step, rows, end=self.task.end, beam=self.beam, longest=self.task.length, power=self.length_power
        )


def beam_search(step: Step, rows: Tensor, *, end: int, beam: int, longest: int, power: float) -> tuple[Tensor, Tensor]:
    """Search for the sequence of tokens with the highest log-probability, divided by a power of its length.

    In each step the `beam` best of all continued hypotheses go on; those that end among them are candidates. The search
    for a row is over when there are `beam` candidates, or all have `longest` tokens (as in fairseq, Ott et al. 2019).

    Args:
        step: see `Step`.
        rows: numbers of what sequences are searched for, int64 (rows,).
        end: id of the end, which counts as a token of each sequence; also stands before the first.
        beam: hypotheses of each row.
        longest: tokens of one sequence at most, without the end.
        power: of the length.

    Returns:
        The ids, int64 (rows, longest + 1) with `end` behind the last one, and the scores, float64 (rows,).
    """
    device = rows.device
    best = torch.full((len(rows),), -torch.inf, dtype=torch.float64, device=device)
    best_ids = torch.full((len(rows), longest + 1), end, device=device)
    open_, candidates = torch.arange(len(rows), device=device), torch.zeros(len(rows), dtype=torch.int64, device=device)
    ids = torch.full((len(rows), 1, 1), end, device=device)  # of hypotheses, behind the end before their first
    sums = torch.zeros((len(rows), 1), dtype=torch.float64, device=device)
    states: list[Tensor] | None = None
    for length in range(1, longest + 2):
        found, states = step(ids[:, :, -1], states, rows[open_])
        if length > longest:  # all that is left ends now
            others = torch.arange(found.shape[2], device=device) != end
            found = found.masked_fill(others, -torch.inf)
        sorted_, places = (sums[:, :, None] + found).flatten(1).topk(min(2 * beam, found.shape[1] * found.shape[2]))
        parents, last = places // found.shape[2], places % found.shape[2]
        ends = last == end
        scores = (sorted_ / length**power).masked_fill(~ends, -torch.inf)[:, :beam]
        score, which = scores.max(dim=1)
        better = torch.nonzero(score > best[open_])[:, 0]
        best[open_[better]] = score[better]
        best_ids[open_[better], : length - 1] = ids[better, parents[better, which[better]], 1:]
        best_ids[open_[better], length - 1 :] = end
        candidates = candidates + scores.isfinite().sum(dim=1)
        sums, chosen = sorted_.masked_fill(ends, -torch.inf).topk(min(beam, sorted_.shape[1]))
        going = torch.nonzero((candidates < beam) & sums[:, 0].isfinite())[:, 0]
        if not len(going):
            break
        parents, last = (each.gather(1, chosen)[going] for each in (parents, last))
        sums, open_, candidates = sums[going], open_[going], candidates[going]
        states = [each[going[:, None], parents] for each in states]
        ids = torch.cat([ids[going[:, None], parents], last[:, :, None]], dim=2)
    return best_ids, best

"""A deliberately broken one of each kind is caught by the promise that it breaks, with its name."""

import promises
import pyarrow as pa
import pytest
from choices import MANY_STEPS, overrides_of
from tiny import TinyProject

from headframe.datasets.table import Table
from headframe.examples.prepare import prepare
from headframe.findings.association_rules import AssociationRuleKind
from headframe.gates.base import Gate
from headframe.gates.context import GateContext
from headframe.gates.report import GateResult

TASK = '''
"""A task whose metric counts what comes first."""

import numpy as np

from headframe.tasks.classification import Classification
from headframe.metrics.statistics import from_table


class First(Classification):
    """Measures the first half of the rows."""

    def statistics(self, predictions):
        """Replace accuracy."""
        return {**super().statistics(predictions), "accuracy": from_table(of_the_first_half, predictions)}


def of_the_first_half(predictions):
    """Compute the accuracy of the first half."""
    hits = np.equal(predictions["target"].to_pylist(), predictions["prediction"].to_pylist())
    return hits[: len(hits) // 2].mean()
'''
BLIND = '''
"""A task that rates everything alike."""

import numpy as np

from headframe.tasks.classification import Classification
from headframe.metrics.statistics import accuracy


class Blind(Classification):
    """Rates each row as right."""

    def statistics(self, predictions):
        """Replace accuracy."""
        return {**super().statistics(predictions), "accuracy": accuracy(np.ones(predictions.num_rows, dtype=bool))}
'''
FORGETFUL = '''
"""A method that keeps what it learned to itself."""

from headframe.methods.supervised import Supervised


class Forgetful(Supervised):
    """Adds a bias that it found among validation examples."""

    bias = 0.0

    def calibrate(self, batches):
        """Find the bias."""
        self.bias = float(sum(len(batch.targets["target"]) for batch in batches))

    def predict(self, inputs):
        """Add it to the first class."""
        outputs = self.network(inputs).float().cpu().numpy()
        outputs[:, 0] += self.bias
        return self._predictions(outputs)
'''
DRAWING = '''
"""A method that draws from NumPy's generator, which no checkpoint holds."""

import numpy as np

from headframe.methods.supervised import Supervised


class Drawing(Supervised):
    """Weighs each step at random."""

    def losses(self, move, batch):
        """Compute the loss times a random number."""
        return {"loss": super().losses(move, batch)["loss"] * float(np.random.random())}
'''
STEPS = '''
"""A method that counts its steps, and tells nobody."""

from headframe.methods.supervised import Supervised


class Counting(Supervised):
    """Lowers the loss less and less."""

    steps = 0

    def losses(self, move, batch):
        """Compute the loss, divided by the number of the step."""
        self.steps += 1
        return {"loss": super().losses(move, batch)["loss"] / self.steps}
'''
ENCODER = '''
"""An encoder that looks at the rows that come with a row."""

from headframe.features.tabular import Tabular


class Centred(Tabular):
    """Subtracts the mean of what is encoded at once."""

    def _encode(self, rows):
        encoded = super()._encode(rows)
        return encoded - encoded.mean(axis=0)
'''
AUGMENTATION = '''
"""An augmentation that draws from torch's own generator."""

import torch

from headframe.examples.augment import InputAugmentation


class Noise(InputAugmentation):
    """Adds noise."""

    def change(self, x, generator):
        """Draw from another generator than the given one."""
        return x + torch.randn_like(x)
'''
IN_PLACE = '''
"""An augmentation that changes the stored examples."""

from headframe.examples.augment import InputAugmentation


class Brighter(InputAugmentation):
    """Adds one."""

    def change(self, x, generator):
        """Change what is given."""
        return x.add_(1)
'''
MINER = '''
"""A classifier of our own that forgets one of the two things that it learned."""

import numpy as np

from headframe.miners.base import Miner


class Halves(Miner):
    """Gives the shares of classes among training rows on each side of a quarter of the first feature."""

    def __init__(self):
        self.quarter, self.shares, self.classes_ = 0.0, None, None

    def fit(self, inputs, target=None, sample_weight=None):
        """Learn the quarter and the shares."""
        self.classes_, self.quarter = np.unique(target), float(np.quantile(inputs[:, 0], 0.25))
        sides = [target[inputs[:, 0] <= self.quarter], target[inputs[:, 0] > self.quarter]]
        self.shares = np.stack([[(side == each).mean() for each in self.classes_] for side in sides])
        return self

    def predict_proba(self, inputs):
        """Return the shares of each row's side."""
        return self.shares[(inputs[:, 0] > self.quarter).astype(int)]

    def state(self):
        """Forget the quarter."""
        return {"shares": self.shares, "classes": self.classes_}

    def restore(self, state):
        """Restore the rest."""
        self.shares, self.classes_ = np.asarray(state["shares"]), np.asarray(state["classes"])
'''
NETWORK = '''
"""A network whose normalisation is by the batch, in training and afterwards."""

from math import prod

from torch import nn


class ByTheBatch(nn.Module):
    """One layer behind batch normalisation as it is in training."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = nn.Linear(prod(inputs.shape), outputs[0])

    def forward(self, x):
        flat = x.flatten(1)
        return self.layer((flat - flat.mean(dim=0)) / (flat.std(dim=0, unbiased=False) + 1e-5))
'''


IDLE = '''
"""A network with a part that nothing reads."""

from math import prod

from torch import nn


class Idle(nn.Module):
    """One layer that computes, and one that does not."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.used, self.idle = (nn.Linear(prod(inputs.shape), outputs[0]) for _ in range(2))

    def forward(self, x):
        return self.used(x.flatten(1))
'''


@pytest.fixture
def plan_with(tiny_project: TinyProject):
    """Make a plan of a small table in which one part is broken."""

    def plan(source: str, target: str, group: str, given: str = "", *overrides: str):
        module = target.lower()
        tiny_project.add(f"src/broken/{module}.py", source)
        tiny_project.add(f"conf/{group}/{module}.yaml", f"_target_: broken.{module}.{target}\n{given}")
        base = overrides_of("tabular", "classification", "mlp")
        return tiny_project.plan(*base, f"{group}={module}", *overrides)

    return plan


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (TASK, "First", "a metric depends on the order of rows"),
        (BLIND, "Blind", "its hit rate is another than the share of its hits"),
    ],
)
def test_a_metric_that_does_not_measure_what_it_says(source, target, words, plan_with, tiny_project):
    trained = tiny_project.trained(plan_with(source, target, "task", "kind: classification\npredicts: [string]\n"))
    with pytest.raises(AssertionError, match=words):
        promises.is_measured_in_full(trained)


def test_a_method_that_keeps_state_to_itself_predicts_otherwise_when_it_is_loaded(plan_with, tiny_project):
    trained = tiny_project.trained(plan_with(FORGETFUL, "Forgetful", "method", "tasks: [classification]\n"))
    with pytest.raises(AssertionError, match="a restored model is not the one that was saved"):
        promises.restores(trained)


@pytest.mark.parametrize(("source", "target"), [(DRAWING, "Drawing"), (STEPS, "Counting")])
def test_a_method_that_no_checkpoint_knows_is_not_resumed_as_if_undisturbed(source, target, plan_with, tiny_project):
    plan = plan_with(source, target, "method", "tasks: [classification]\n", *MANY_STEPS)
    with pytest.raises(AssertionError, match="a killed training ends with other bytes"):
        promises.goes_on_where_it_was_killed(tiny_project, plan, 1)


def test_an_encoder_that_looks_at_the_batch(plan_with, tiny_project):
    given = "gives: tabular\nreads: [float, string]\nencoder: {_target_: broken.centred.Centred}\naugment: {}\n"
    tiny_project.add("src/broken/centred.py", ENCODER)
    tiny_project.add("conf/features/centred.yaml", given)
    trained = tiny_project.trained(
        tiny_project.plan(*overrides_of("tabular", "classification", "mlp"), "features=centred")
    )
    with pytest.raises(AssertionError, match="Centred encodes a row by what is beside it"):
        promises.encodes_each_row_by_itself(trained)
    with pytest.raises(AssertionError, match="an example alone is predicted otherwise than among others"):
        promises.rows_do_not_see_each_other(trained)


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (AUGMENTATION, "Noise", "noise draws from a global generator"),
        (IN_PLACE, "Brighter", "brighter changes what it is given"),
    ],
)
def test_an_augmentation_that_is_no_function_of_its_generator(source, target, words, tiny_project):
    module = target.lower()
    tiny_project.add(f"src/broken/{module}.py", source)
    plan = tiny_project.plan(
        *overrides_of("tabular", "classification", "mlp"),
        f"+features.augment.{module}._target_=broken.{module}.{target}",
    )
    tiny_project.make_table(plan.dataset)
    table = Table.open(tiny_project.root / "data" / plan.dataset.name)
    with pytest.raises(AssertionError, match=words):
        promises.augments_by_its_generator(plan.learner, prepare(plan.dataset, plan.task, table))


def test_a_miner_that_forgets_a_part_of_its_state(plan_with, tiny_project):
    trained = tiny_project.trained(plan_with(MINER, "Halves", "model", "tasks: [classification]\ntakes: [tabular]\n"))
    with pytest.raises(AssertionError, match="a restored model is not the one that was saved"):
        promises.restores(trained)


def test_a_network_that_looks_at_the_batch(plan_with, tiny_project):
    plan = plan_with(NETWORK, "ByTheBatch", "model", "tasks: [classification]\ntakes: [tabular]\n")
    trained = tiny_project.trained(plan)
    promises.restores(trained)
    with pytest.raises(AssertionError, match="an example alone is predicted otherwise than among others"):
        promises.rows_do_not_see_each_other(trained)


def test_a_network_with_a_part_that_never_learns(plan_with, tiny_project):
    plan = plan_with(IDLE, "Idle", "model", "tasks: [classification]\ntakes: [tabular]\n")
    with pytest.raises(AssertionError, match=r"Idle has weights that nothing trains: \['idle.bias', 'idle.weight'\]"):
        promises.learns_with_every_weight(tiny_project.trained(plan))


class Numbered(AssociationRuleKind):
    """Rules that are called by the number of their place."""

    def identify(self, bodies: pa.Array) -> pa.Array:
        """Return the place of each finding."""
        return pa.array([f"{place:016x}" for place in range(len(bodies))])


def test_findings_whose_ids_depend_on_their_order():
    given = (("basket", "held_out"), 0.05, 0.0, 0.95)
    rows = pa.table({"basket": [["a"], ["a", "b"]] * 20, "held_out": ["c", "d"] * 20})
    bodies = [{"antecedent": ["a"], "consequent": "c"}, {"antecedent": ["b"], "consequent": "d"}]
    for kind in (AssociationRuleKind(*given), Numbered(*given)):
        found = pa.array(bodies, kind.body)
        if not isinstance(kind, Numbered):
            promises.has_findings_of_their_own(kind, found, rows)
            continue
        with pytest.raises(AssertionError, match="ids of findings depend on the order of findings"):
            promises.has_findings_of_their_own(kind, found, rows)


class Nodding(Gate):
    """Lets everything pass."""

    def judge(self, context: GateContext) -> GateResult:
        """Look at nothing."""
        return GateResult(passed=True, verdict="fine", reason="it nods")


def test_a_gate_that_looks_at_nothing():
    with pytest.raises(AssertionError, match="Nodding judges a version that it has not looked at"):
        promises.looks_at_what_it_judges(Nodding())

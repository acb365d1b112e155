"""A task whose predictions are lists of structs lives a whole life: trained, gated against a champion, served."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from runs import ForkedRuns, forking_project

TASK = '''
"""A number as marks on a ruler: none for 0, nine for 9."""

import numpy as np
import pyarrow as pa

from headframe.tasks.base import Task
from headframe.metrics.statistics import accuracy, mean

MARKS = 9
TRUE = pa.list_(pa.struct([("place", pa.int64())]))
FOUND = pa.list_(pa.struct([("place", pa.int64()), ("score", pa.float64())]))
HEAT = pa.fixed_shape_tensor(pa.float32(), [3, 3])


class Marks(Task):
    """Which places of a ruler are marked; two columns of truth, three of prediction, none of them a number."""

    kind = "marks"
    truth_columns = ("marks", "name")
    hit_rate = "exact"
    primary_metric = "exact"
    higher_is_better = True

    def fit(self, target):
        [self.column_] = target.column_names

    @property
    def outputs(self):
        return (MARKS,)

    def targets(self, target):
        return {"marked": (np.arange(MARKS) < target[self.column_].to_numpy()[:, None]).astype(np.float32)}

    def truth(self, targets):
        many = targets["marked"].sum(axis=1).astype(int)
        marks = pa.array([[{"place": place} for place in range(each)] for each in many], TRUE)
        return pa.table({"marks": marks, "name": [f"number {each}" for each in many]})

    @property
    def prediction_schema(self):
        return pa.schema([("found", FOUND), ("heat", HEAT), ("raw", pa.binary())])

    def columns(self, probabilities):
        found = [
            [{"place": int(place), "score": float(row[place])} for place in np.flatnonzero(row > 0.5)]
            for row in probabilities
        ]
        heat = pa.FixedSizeListArray.from_arrays(pa.array(probabilities.astype(np.float32).ravel()), MARKS)
        raw = [bytes((row > 0.5).astype(np.uint8)) for row in probabilities]
        heat = pa.ExtensionArray.from_storage(HEAT, heat)
        return pa.table({"found": pa.array(found, FOUND), "heat": heat, "raw": pa.array(raw, pa.binary())})

    def answer(self, predictions):
        return predictions.select(["found", "raw"])

    def hits(self, predictions):
        found, true = ([{mark["place"] for mark in cell} for cell in predictions[name].to_pylist()]
                       for name in ("found", "marks"))
        return np.array([mine == other for mine, other in zip(found, true, strict=True)])

    def statistics(self, predictions):
        many = [abs(len(a) - len(b)) for a, b in
                zip(predictions["found"].to_pylist(), predictions["marks"].to_pylist(), strict=True)]
        return {"exact": accuracy(self.hits(predictions)), "distance": mean(np.array(many, dtype=np.float64))}

    def plots(self, predictions, validation=None):
        return {}

    def state(self):
        return {"column": self.column_}

    def restore(self, state):
        self.column_ = state["column"]
'''
METHOD = '''
"""How a network learns marks."""

import pyarrow as pa
import torch
from torch.nn import functional

from headframe.methods.base import Method, on_host


class MarkByMark(Method):
    """Lowers the cross entropy of each place."""

    def losses(self, move, batch):
        outputs = self.network(batch.inputs)
        return {"loss": functional.binary_cross_entropy_with_logits(outputs, batch.targets["marked"])}

    def predict(self, inputs):
        return self.task.columns(on_host(torch.sigmoid(self.network(inputs))))

    def validate(self, batches):
        found = [(self.losses("network", batch)["loss"], self.predict(batch.inputs)) for batch in batches]
        return float(torch.stack([loss for loss, _ in found]).mean()), pa.concat_tables([each for _, each in found])
'''
ADDED = {
    "src/mine/__init__.py": "",
    "src/mine/marks.py": TASK,
    "src/mine/mark_by_mark.py": METHOD,
    "conf/task/marks.yaml": "# Marks on a ruler.\n_target_: mine.marks.Marks\nkind: marks\n",
    "conf/method/mark_by_mark.yaml": "# Each place.\n_target_: mine.mark_by_mark.MarkByMark\ntasks: [marks]\n",
    "conf/model/ruler.yaml": ("# Linear.\n_target_: headframe.models.linear.Linear\ntasks: [marks]\ntakes: [image]\n"),
}
RUN = (
    "run", "dataset=digits", "dataset.tasks=[marks]", "features=image", "task=marks", "method=mark_by_mark",
    "model=ruler", "baseline=none", "optimizer.lr=0.05", "evaluation.resamples=200", "~promotion.gates.minimum",
)  # fmt: skip


def test_predictions_of_lists_live_a_whole_life(forked_runs: ForkedRuns, tmp_path: Path) -> None:
    project = forking_project(tmp_path / "project")
    for name, text in ADDED.items():
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text(text)
    first, _ = forked_runs.headframe(project, *RUN, "trainer.max_epochs=1")
    assert first["decision"]["state"] == "champion", first["decision"]
    second, _ = forked_runs.headframe(project, *RUN, "trainer.max_epochs=12")
    assert second["decision"]["state"] == "champion", second["decision"]
    folder = project.root / second["result"]["trained"]["folder"]
    rows = pq.read_table(folder / "predictions.parquet")
    assert rows.column_names == ["row_id", "split", "marks", "name", "found", "heat", "raw"]
    assert [] in rows["found"].to_pylist()
    tested = rows.filter(np.array(rows["split"]) == "test")
    right = [
        [mark["place"] for mark in mine] == [mark["place"] for mark in other]
        for mine, other in zip(tested["found"].to_pylist(), tested["marks"].to_pylist(), strict=True)
    ]
    assert second["result"]["evaluated"]["metrics"]["exact"]["value"] == np.mean(right)
    [answer] = json.loads(second["smoke_test"]["response"])["predictions"]
    assert answer.keys() == {"found", "raw"}
    assert [mark["place"] for mark in answer["found"]] == [mark["place"] for mark in tested["found"][0].as_py()]

    assert "by McNemar's exact test" in second["decision"]["reason"]

    forked_runs.headframe(project, "predict", "digits/2", "digits", "found.parquet")
    written = pq.read_table(project.root / "found.parquet")
    assert written.column_names == ["row_id", "found", "raw"]
    image = pq.read_table(folder / "probe.parquet")["image"].combine_chunks().to_numpy_ndarray()[0]
    body = json.dumps({"inputs": {"image": [image.tolist()]}, "params": {"output": "columns"}})
    _, served, stderr = forked_runs.served(project, "serve", "digits", "--port", "0", body=body)
    assert served is not None, stderr
    [columns] = served["body"]["predictions"]
    assert columns | {"heat": None} == answer | {"heat": None}
    assert np.shape(columns["heat"]) == (3, 3)

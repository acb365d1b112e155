"""A whole run of digits beside its parts called by hand, with equally many epochs, and the same run again."""

import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.measurement import ROOT, Measurement, process

REPEATS = 3
EPOCHS = 3
OVERHEAD_SECONDS, AGAIN_SECONDS = 10, 1
BY_HAND = """
import os, sys, pathlib, json
os.environ.update(GX_ANALYTICS_ENABLED="false", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
import numpy as np, pandas as pd, torch, mlflow, matplotlib
import great_expectations as gx, great_expectations.expectations as gxe
import lightning.pytorch as pl
from mlflow import MlflowClient
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, roc_auc_score
matplotlib.use("Agg")
from matplotlib.figure import Figure
from dvc.repo import Repo

here = pathlib.Path.cwd()
digits = load_digits()
frame = pd.DataFrame(digits.data, columns=[f"p{i}" for i in range(64)]).assign(label=digits.target)
(here / "data").mkdir()
frame.to_parquet(here / "data" / "digits.parquet")
context = gx.get_context(mode="ephemeral")
batch = context.data_sources.add_pandas("p").add_dataframe_asset("t").add_batch_definition_whole_dataframe("b")
suite = gx.ExpectationSuite("digits", expectations=[
    gxe.ExpectColumnValuesToNotBeNull(column="label"),
    gxe.ExpectColumnValuesToBeInSet(column="label", value_set=list(range(10)))])
assert batch.get_batch({"dataframe": frame}).validate(suite).success
repo = Repo.init(".", no_scm=True); repo.add("data"); repo.close()

x = torch.tensor(digits.data, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
y = torch.tensor(digits.target)
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
train, test = order[:1200], order[1437:]

class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.BatchNorm2d(16), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(16, 32, 3, padding=1), torch.nn.BatchNorm2d(32), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
            torch.nn.Flatten(), torch.nn.Linear(128, 10))
    def forward(self, x): return self.net(x)
    def training_step(self, batch, _): return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])
    def configure_optimizers(self): return torch.optim.AdamW(self.parameters(), lr=1e-3)

torch.set_num_threads(1)
net = Net()
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x[train], y[train]), 64, shuffle=True)
pl.Trainer(max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=True,
           enable_progress_bar=False, enable_model_summary=False).fit(net, loader)
net.eval()
with torch.no_grad(): scores = net(x[test]).softmax(1).numpy().astype(float)
scores /= scores.sum(1, keepdims=True)
metrics = {"accuracy": accuracy_score(y[test], scores.argmax(1)), "log_loss": log_loss(y[test], scores),
           "auc": roc_auc_score(y[test], scores, multi_class="ovr")}
figure = Figure()
figure.subplots().imshow(confusion_matrix(y[test], scores.argmax(1)))
figure.savefig("confusion.png")

uri = f"sqlite:///{here}/mlflow.db"
mlflow.set_tracking_uri(uri)
mlflow.set_experiment("digits")
with mlflow.start_run() as run:
    mlflow.log_metrics({name: float(value) for name, value in metrics.items()})
    mlflow.log_artifact("confusion.png")
    info = mlflow.pytorch.log_model(net, name="model", input_example=x[:2].numpy(), registered_model_name="digits")
client = MlflowClient(uri)
client.set_registered_model_alias("digits", "champion", "1")
loaded = mlflow.pyfunc.load_model("models:/digits@champion")
assert np.allclose(loaded.predict(x[:2].numpy()), net(x[:2]).detach().numpy(), atol=1e-4)
print(json.dumps(metrics))
"""


def measure() -> list[Measurement]:
    """Wall seconds: the run minus its parts, and the run again."""
    lives, agains, hands = [], [], []
    progress = ""
    headframe = [str(Path(sys.executable).parent / "headframe"), "run", f"trainer.max_epochs={EPOCHS}"]
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for part in ("conf", "flows"):
                shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            environment = {"PREFECT_HOME": str(folder / "none"), "PREFECT_API_URL": "", "MLFLOW_TRACKING_URI": ""}
            lives.append(process(headframe, folder, **environment).wall)
            again = process(headframe, folder, **environment)
            agains.append(again.wall)
            progress = again.progress
        with tempfile.TemporaryDirectory() as name:
            script = Path(name) / "by_hand.py"
            script.write_text(BY_HAND.replace("EPOCHS", str(EPOCHS)))
            hands.append(process([sys.executable, str(script)], Path(name), PYTHONWARNINGS="ignore").wall)
    life, again, hand = (statistics.median(times) for times in (lives, agains, hands))
    first = life - hand
    cores = len(os.sched_getaffinity(0))
    return [
        Measurement(
            "a run of digits, inline", f"{first:+.1f} s over its parts", f"{life:.1f} s, parts by hand {hand:.1f} s",
            f"< 10 s over them ({cores} cores)", first < OVERHEAD_SECONDS,
        ),
        Measurement(
            "the same run again", f"{again:.2f} s, {progress.count('reused')} stages reused", f"first run {life:.1f} s",
            "< 1 s, and says so", again < AGAIN_SECONDS and "reused" in progress,
        ),
    ]  # fmt: skip

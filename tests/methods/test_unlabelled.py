"""Methods that learn from inputs alone: reconstruction, and deep clustering after it."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.cluster import KMeans

from headframe.errors import ConfigurationError
from headframe.examples.batches import Batch
from headframe.features.spec import InputSpec
from headframe.methods.deep_clustering import DeepClustering
from headframe.methods.reconstruction import Reconstruction
from headframe.models.autoencoder import Autoencoder
from headframe.models.clustering_autoencoder import ClusteringAutoencoder
from headframe.tasks.anomaly import Anomaly
from headframe.tasks.clustering import Clustering

SPEC = InputSpec("image", {"channel": 1, "height": 3, "width": 2})


@pytest.fixture
def inputs() -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    groups = 3 * torch.randn(4, 1, 3, 2, generator=draw)
    return groups[torch.randint(4, (200,), generator=draw)] + torch.randn(200, 1, 3, 2, generator=draw)


def batches(inputs: torch.Tensor, size: int = 64) -> list[Batch]:
    return [Batch(each, {}) for each in inputs.split(size)]


def clustering() -> Clustering:
    task = Clustering(primary_metric="silhouette")
    task.fit(pa.table({}))
    return task


def deep(**settings: float) -> DeepClustering:
    torch.manual_seed(0)
    return DeepClustering(ClusteringAutoencoder(SPEC, (), clusters=4, hidden=(8,), code=3), clustering(), **settings)


@pytest.mark.parametrize("axes", [{"feature": 5}, {"time": 4, "channel": 2}, dict(SPEC.axes)])
def test_an_autoencoder_restores_the_shape_of_its_inputs_from_a_code(axes: dict[str, int]) -> None:
    spec = InputSpec("any", axes)
    network = Autoencoder(spec, (), hidden=(7, 6), code=2, dropout=0.1)
    x = torch.randn(3, *spec.shape)
    assert network(x).shape == x.shape
    assert network.encoder(x).shape == (3, 2)
    assert [tuple(each.weight.shape) for each in network.encoder if isinstance(each, torch.nn.Linear)] == [
        (7, x[0].numel()),
        (6, 7),
        (2, 6),
    ]


def test_an_autoencoder_refuses_ids_and_outputs() -> None:
    with pytest.raises(ValueError, match="takes dense measurements, but the input is 'tokens'"):
        Autoencoder(InputSpec("tokens", {"time": 4}, vocabulary=9))
    with pytest.raises(ValueError, match=r"restores its inputs, but outputs of shape \(3,\) are asked for"):
        Autoencoder(SPEC, (3,))


def test_the_score_of_an_anomaly_is_its_mean_squared_error_and_the_threshold_that_of_validation(inputs) -> None:
    task = Anomaly(primary_metric="flag_error", contamination=0.1)
    task.fit(pa.table({}))
    network = Autoencoder(SPEC, (), hidden=(8,), code=2).eval()
    method = Reconstruction(network, task)
    with torch.inference_mode():
        expected = ((network(inputs) - inputs) ** 2).mean(dim=(1, 2, 3)).numpy().astype(np.float64)
        method.calibrate(batches(inputs))
        found = method.predict(inputs)
        loss, validated = method.validate(batches(inputs))
    np.testing.assert_allclose(found["score"], expected, rtol=1e-6)
    assert found["anomaly"].to_numpy().sum() == 20
    assert loss == pytest.approx(expected.mean(), rel=1e-6)
    learned = method.losses("network", Batch(inputs, {}))["reconstruction"]
    assert learned.item() == pytest.approx(loss, rel=1e-6)
    assert validated is not None
    assert validated["anomaly"].to_pylist() == found["anomaly"].to_pylist()
    again = Reconstruction(network, task)
    again.restore(method.state())
    with torch.inference_mode():
        assert again.predict(inputs).equals(found)


def test_a_reconstruction_alone_predicts_no_clusters(inputs) -> None:
    method = Reconstruction(Autoencoder(SPEC, ()), clustering())
    with torch.inference_mode():
        method.calibrate(batches(inputs))
        assert method.validate(batches(inputs))[1] is None
    with pytest.raises(ConfigurationError, match="predicts nothing of task clustering; let another method follow it"):
        method.predict(inputs)


def test_centres_are_those_of_k_means_among_the_codes_and_equal_seeds_give_equal_bits(inputs) -> None:
    found = []
    for _ in range(2):
        method = deep(starts=3)
        torch.manual_seed(5)
        with torch.inference_mode():
            method.prepare(batches(inputs))
            codes = method.network.encoder(inputs).numpy()
        found.append(method.network.centres.weight.detach().clone())
    torch.manual_seed(5)
    expected = KMeans(4, n_init=3, random_state=int(torch.randint(2**31, ()))).fit(codes)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], torch.from_numpy(expected.cluster_centers_))


@pytest.mark.parametrize("reconstruction", [0.0, 0.5])
def test_the_loss_is_the_divergence_of_soft_assignments_from_sharper_ones(reconstruction, inputs) -> None:
    method = deep(reconstruction=reconstruction)
    codes, centres = method.network.encoder(inputs).detach(), method.network.centres.weight.detach()
    q = torch.zeros(len(codes), 4, dtype=torch.float64)
    for row, code in enumerate(codes.double()):  # equations 1 and 3 of the paper, as a plain loop
        for cluster, centre in enumerate(centres.double()):
            q[row, cluster] = 1 / (1 + ((code - centre) ** 2).sum())
    q /= q.sum(dim=1, keepdim=True)
    p = q**2 / q.sum(dim=0)
    p /= p.sum(dim=1, keepdim=True)
    expected = {"divergence": float((p * (p / q).log()).sum() / len(q))}
    if reconstruction:
        expected["reconstruction"] = 0.5 * ((method.network(inputs) - inputs) ** 2).mean().item()
    found = method.losses("network", Batch(inputs, {}))
    assert {name: loss.item() for name, loss in found.items()} == pytest.approx(expected, rel=1e-5)
    with torch.inference_mode():
        assert method.validate([Batch(inputs, {})])[0] == pytest.approx(sum(expected.values()), rel=1e-5)


def test_training_draws_codes_towards_their_centres(inputs) -> None:
    method = deep()
    with torch.inference_mode():
        method.prepare(batches(inputs))
        before = method.task.measure(method.predict(inputs), ["silhouette"])
    optimizer = torch.optim.Adam(method.network.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        sum(method.losses("network", Batch(inputs, {})).values()).backward()
        optimizer.step()
    with torch.inference_mode():
        after = method.task.measure(method.predict(inputs), ["silhouette"])
    assert after["silhouette"] > before["silhouette"] + 0.02

"""Groups of rows that resemble each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from scipy import sparse
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.features.base import EncodedArray
from headframe.metrics.partitions import Contingency, stability
from headframe.metrics.statistics import Statistic, bounded_mean
from headframe.tasks.base import Task
from headframe.tasks.classification import Classification

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGET = "target"


class Clustering(Task):
    """The number of the cluster of each row, and how far it is from its centre and from the next one.

    Nothing is learned from labels: where the data set has them, they only measure, and are names of classes.

    Args:
        primary_metric: decides between models: `ari` (adjusted Rand index), `nmi` (normalised mutual information) and
            `matched_accuracy` compare with labels; `silhouette` (the simplified one, from distances to centres) and
            `stability` need none.
    """

    kind: ClassVar[str] = "clustering"
    unlabelled_metrics: ClassVar[tuple[str, ...]] = ("silhouette", "stability")
    estimators: ClassVar[str] = "headframe.miners.clusterer.ClustererModel"
    captions: ClassVar[Mapping[str, str]] = {
        "map": "Rows on the two main axes of the centres",
        "sizes": "Rows of each cluster, and how clearly they are in it",
        "labels": "Rows of each label in each cluster",
    }
    natural_baselines: ClassVar[tuple[str, ...]] = ("headframe.tasks.baselines.principal_axis.PrincipalAxis",)
    caveats: ClassVar[tuple[str, ...]] = (
        "Every row is in one of the clusters, even a row that resembles none of them.",
        "Silhouette and stability compare models of the same features only.",
    )

    def __init__(
        self,
        *,
        primary_metric: Literal["ari", "nmi", "matched_accuracy", "silhouette", "stability"] = "ari",
    ) -> None:
        self.primary_metric = primary_metric
        self.higher_is_better = True
        self.labels: Classification | None = None
        self.truth_columns = ()

    @override
    def fit(self, target: pa.Table) -> None:
        self._measure_by(Classification() if target.num_columns else None)
        if self.labels is not None:
            self.labels.fit(target)

    def _measure_by(self, labels: Classification | None) -> None:
        self.labels = labels
        self.truth_columns = () if labels is None else (TARGET,)

    @override
    def targets(self, target: pa.Table) -> dict[str, np.ndarray]:
        return {} if self.labels is None else self.labels.targets(target)

    @override
    def truth(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        return pa.table({}) if self.labels is None else self.labels.truth(targets)

    @override
    def ideal(self, targets: Mapping[str, np.ndarray]) -> pa.Table | None:
        if self.labels is None:
            return None
        centres = np.eye(len(self.labels.names))
        return self.columns(centres[targets[TARGET]], centres)

    @property
    @override
    def prediction_schema(self) -> pa.Schema:
        distances = {name: pa.float64() for name in ("distance", "next_distance")}
        return pa.schema({"cluster": pa.int64(), **distances, "position": pa.list_(pa.float64())})

    @override
    def answer(self, predictions: pa.Table) -> pa.Table:
        return predictions.drop_columns("position")

    def columns(self, points: EncodedArray, centres: np.ndarray, cluster: np.ndarray | None = None) -> pa.Table:
        """Return the prediction columns of points (rows, axes) or CSR among centres (clusters, axes).

        `position` holds the coordinates along the principal axes of the centres: the directions in which clusters
        differ, of which there are less than clusters, and the first of which is the widest.

        Args:
            points: where rows lie.
            centres: of the clusters.
            cluster: of each row, int; without it the nearest.

        Raises:
            ConfigurationError: there is one cluster only.
        """
        if len(centres) < 2:  # noqa: PLR2004 - one cluster says nothing
            raise ConfigurationError("a clustering needs two clusters or more; raise their number")
        centres = centres.astype(np.float64)
        points = points.astype(np.float64)
        distances = _distances(points, centres)
        chosen = distances.argmin(axis=1) if cluster is None else cluster.astype(np.int64)
        own = np.take_along_axis(distances, chosen[:, np.newaxis], axis=1)[:, 0]
        np.put_along_axis(distances, chosen[:, np.newaxis], np.inf, axis=1)
        middle = centres.mean(axis=0)
        axes = np.linalg.svd(centres - middle, full_matrices=False)[2][: len(centres) - 1]
        axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, np.newaxis]
        # Not a product of dense matrices, which rounds differently for one row than for many.
        positions = points @ axes.T if sparse.issparse(points) else np.einsum("ij,kj->ik", points, axes)
        positions -= axes @ middle
        return pa.table(
            {
                "cluster": pa.array(chosen),
                "distance": pa.array(own),
                "next_distance": pa.array(distances.min(axis=1)),
                "position": pa.FixedSizeListArray.from_arrays(positions.ravel(), len(axes)).cast(
                    pa.list_(pa.float64())
                ),
            },
            schema=self.prediction_schema,
        )

    @override
    def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
        cluster, silhouettes, positions = read_clusters(predictions)
        found = {"silhouette": bounded_mean(silhouettes, -1.0, 1.0), "stability": stability(cluster, positions)}
        if self.labels is not None:
            table = Contingency(self._codes(predictions), cluster)
            found |= {"ari": table.adjusted_rand_index, "nmi": table.normalized_mutual_information}
            found["matched_accuracy"] = table.matched_accuracy
        return found

    def _codes(self, predictions: pa.Table) -> np.ndarray:
        assert self.labels is not None  # noqa: S101 - asked for where there are labels alone
        codes: np.ndarray = self.labels.encode(predictions.select([TARGET]).rename_columns([self.labels.column_]))
        return codes

    @override
    def describe_purpose(self, inputs: Sequence[str], target: str | None) -> str:
        columns = ", ".join(f"`{name}`" for name in inputs)
        label = f"; `{target}` only measures them" if target else ""
        return f"Puts raw rows into groups of similar ones by their columns {columns}{label}."

    @override
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        from headframe.tasks import clustering_plots  # noqa: PLC0415 - training and serving draw nothing

        cluster, silhouettes, positions = read_clusters(predictions)
        drawn = {
            "map": clustering_plots.cluster_map(cluster, positions, predictions["distance"].to_numpy()),
            "sizes": clustering_plots.sizes(cluster, silhouettes),
        }
        if self.labels is not None:
            drawn["labels"] = clustering_plots.labels(self._codes(predictions), cluster, self.plot_names)
        return drawn

    @property
    @override
    def names(self) -> list[str]:
        return [] if self.labels is None else self.labels.names

    @override
    def state(self) -> dict[str, Any]:
        return {"labels": None if self.labels is None else self.labels.state()}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self._measure_by(None if state["labels"] is None else Classification())
        if self.labels is not None:
            self.labels.restore(state["labels"])


def _distances(points: Any, centres: np.ndarray) -> np.ndarray:
    """Return the distances (rows, clusters) of points from centres; of dense ones each row's to the last bit."""
    if sparse.issparse(points):
        lengths = np.asarray(points.multiply(points).sum(axis=1))
        return np.sqrt(np.maximum(lengths - 2 * (points @ centres.T) + (centres**2).sum(axis=1), 0.0))
    squares = [np.einsum("ij,ij->i", from_centre, from_centre) for from_centre in (points - each for each in centres)]
    return np.sqrt(np.stack(squares, axis=1))


def read_clusters(predictions: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the cluster, the silhouette and the position of each row of a predictions table.

    The silhouette is the simplified one (Hruschka, de Castro and Campello 2004): how much nearer a row is to its own
    centre than to the next, as a part of the larger distance.
    """
    own, following = predictions["distance"].to_numpy(), predictions["next_distance"].to_numpy()
    larger = np.maximum(own, following)
    silhouettes = np.divide(following - own, larger, out=np.zeros(len(own)), where=larger > 0)
    flat = predictions["position"].combine_chunks().flatten().to_numpy()
    return predictions["cluster"].to_numpy(), silhouettes, flat.reshape(len(own), -1)

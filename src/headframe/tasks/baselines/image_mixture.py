"""Generated images that need no network: draws from a mixture of normal distributions."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.tasks.baselines.base import BaselineData, NaturalBaseline
from headframe.tasks.generation import IMAGES, Generation
from headframe.tasks.image_features import LEVELS

_MOST_IMAGES = 10_000  # that it is fitted to, evenly chosen
_AXES, _COMPONENTS = 50, 10


class ImageMixture(NaturalBaseline):
    """A mixture of normal distributions of the coordinates of training images on their principal axes."""

    name: ClassVar[str] = "gaussian_mixture"

    @override
    def predictions(self, data: BaselineData) -> pa.Table:
        from sklearn.decomposition import PCA  # noqa: PLC0415 - most data have no images to generate
        from sklearn.mixture import GaussianMixture  # noqa: PLC0415 - most data have no images to generate
        from threadpoolctl import threadpool_limits  # noqa: PLC0415 - most data have no images to generate

        task = data.task
        if not isinstance(task, Generation):
            raise ConfigurationError(f"task {task.kind} names a baseline that generates images, as it does not")
        training = np.flatnonzero(data.training)
        chosen = training[np.linspace(0, len(training) - 1, min(len(training), _MOST_IMAGES)).astype(np.int64)]
        images = task.targets(data.targets.take(pa.array(chosen)))[IMAGES].transpose(0, 3, 1, 2) / LEVELS
        flat = images.reshape(len(images), -1)
        axes, components = min(_AXES, *flat.shape), max(1, min(_COMPONENTS, len(flat) // _AXES))
        with threadpool_limits(1):  # the number of threads would change the bits
            model = PCA(axes, svd_solver="covariance_eigh").fit(flat)
            mixture = GaussianMixture(components, reg_covar=1e-4, max_iter=30, tol=0.01, random_state=17)
            drawn, _ = mixture.fit(model.transform(flat)).sample(len(data.positions))
            found = model.inverse_transform(drawn).clip(0.0, 1.0)
        return task.columns(found.reshape(-1, *task.outputs))

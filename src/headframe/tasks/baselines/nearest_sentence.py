"""The baseline of translations: what a search in the training rows finds."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.features.columns import is_text, text_column
from headframe.tasks.baselines.base import BaselineData, NaturalBaseline
from headframe.tasks.translation import Translation


class NearestSentence(NaturalBaseline):
    """The translation of the training sentence with the most similar sequences of one to three characters (tf-idf)."""

    name: ClassVar[str] = "nearest_sentence"
    absence: ClassVar[str] = "There is no nearest sentence: no input is text."

    @override
    def predictions(self, data: BaselineData) -> pa.Table | None:
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - most data have no text
        from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415 - most data have no text

        task = data.task
        if not isinstance(task, Translation):
            raise ConfigurationError(f"task {task.kind} names a baseline of translations, which it does not predict")
        names = [name for name in data.dataset.inputs if is_text(data.table.schema.field(name).type)]
        if not names:
            return None
        texts = np.array(text_column(data.table.read(names[:1]), names[0]), dtype=object)
        learned = np.flatnonzero(data.training)
        vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
        index = NearestNeighbors(n_neighbors=1, metric="cosine").fit(vectorizer.fit_transform(texts[learned]))
        distances, nearest = index.kneighbors(vectorizer.transform(texts[data.positions]))
        [found] = data.targets.take(pa.array(learned[nearest[:, 0]])).columns
        return task.columns(found.to_pylist(), 1.0 - distances[:, 0])

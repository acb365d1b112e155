"""Changes that `mutants.py` makes and that change nothing which a test could see, each with the reason."""

EQUAL: dict[tuple[str, ...], str] = {
    (
        "datasets/table_writer.py",
        "name != dataset.key",
        "name == dataset.key",
    ): "how Parquet packs a column, not what it holds",
    (
        "evaluation/evaluation.py",
        "block_length(task.horizon, predictions.num_rows) if task.horizon else 1",
        "block_length(task.horizon, predictions.num_rows)",
    ): "the length is 1 for a horizon of 0",
    (
        "evaluation/slices.py",
        "np.zeros(len(column), dtype=bool)",
        "np.zeros(len(column))",
    ): "zeros are false to a logical or",
    ("evaluation/significance.py", "high // 2", "high / 2"): "a power of two, and less than one apart for 1",
    ("evaluation/significance.py", "np.argsort(p_values, kind='stable')", "np.argsort(p_values)"): (
        "equal p-values are adjusted alike, whichever comes first"
    ),
    ("evaluation/significance.py", "np.asarray(p_values, dtype=float)", "np.asarray(p_values)"): "they are floats",
    ("evaluation/significance.py", "high > MOST_ROWS", "high >= MOST_ROWS"): "what is doubled from 1 is never 10^9",
    ("evaluation/significance.py", "-1", "1"): "the bootstrap has a degree of freedom at least, as from two contents",
    ("evaluation/significance.py", "1e-12", "2e-12"): "a tail that is left out, far below what is shown",
    ("gates/copies.py", "np.load(splits, allow_pickle=False)", "np.load(splits)"): "NumPy's default",
    ("gates/predict.py", "np.load(positions, allow_pickle=False)", "np.load(positions)"): "NumPy's default",
    (
        "gates/rows.py",
        "pq.write_table(self.prepared.rows, files['rows'], compression='none')",
        "pq.write_table(self.prepared.rows, files['rows'])",
    ): "how Parquet packs a file that is read and removed",
    (
        "gates/budget.py",
        "pq.write_table(rows, Path(scratch) / 'rows', compression='none')",
        "pq.write_table(rows, Path(scratch) / 'rows')",
    ): "how Parquet packs a file that is read and removed",
    (
        "gates/rows.py",
        "block_length(horizon, rows or self.count) if horizon else 1",
        "block_length(horizon, rows or self.count)",
    ): "the length is 1 for a horizon of 0",
    (
        "gates/stored_report.py",
        "json.dumps(report.model_dump(mode='json'), indent=2, ensure_ascii=False, allow_nan=False)",
        "json.dumps(report.model_dump(mode='json'), indent=2, ensure_ascii=False)",
    ): "a record holds no NaN",
    (
        "code_dependencies.py",
        "distribution.read_text('METADATA') or distribution.read_text('PKG-INFO') or ''",
        "distribution.read_text('PKG-INFO') or ''",
    ): "without headers the slower metadata of the distribution gives the same name",
    (
        "code_dependencies.py",
        "distribution.read_text('METADATA') or distribution.read_text('PKG-INFO') or ''",
        "distribution.read_text('METADATA') and distribution.read_text('PKG-INFO') and ''",
    ): "without headers the slower metadata of the distribution gives the same name",
    ("code_dependencies.py", "sorted(found)", "list(found)"): "the order in which files are visited",
    (
        "digests.py",
        "sorted((path for path in folder.rglob('*') if path.is_file()))",
        "list((path for path in folder.rglob('*') if path.is_file()))",
    ): "the canonical form sorts the keys",
    (
        "datasets/hashing.py",
        "column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()",
        "column.combine_chunks()",
    ): "a copy of the same cells",
    ("prediction/answers.py", "type(one) is type(other) and bool(one == other)", "bool(one == other)"): (
        "cells of one Arrow type are of one type in Python, or None"
    ),
    (
        "prediction/answers.py",
        "one.keys() == other.keys() and all((_same(one[key], other[key], pairs) for key in one))",
        "all((_same(one[key], other[key], pairs) for key in one))",
    ): "structs of one type have the same fields",
    ("prediction/answers.py", "each.to_numpy(zero_copy_only=False)", "each.to_numpy()"): (
        "floating point numbers without nulls are not copied"
    ),
    ("stages.py", "json.dumps(content, indent=2, ensure_ascii=False)", "json.dumps(content, ensure_ascii=False)"): (
        "the file is parsed"
    ),
    ("metrics/statistics.py", "np.ones(len(values), dtype=bool)", "np.ones(len(values))"): "ones are true to a mask",
    ("metrics/statistics.py", "np.ones(len(correct), dtype=bool)", "np.ones(len(correct))"): "ones are true to a mask",
    ("tasks/baselines/tfidf.py", "if not columns", "if False"): "no column has no text to learn from either",
    ("tasks/baselines/tfidf.py", "if not texts", "if False"): "no column has no text to learn from either",
    (
        "tasks/classification.py",
        "self._weights is not None and self._weights.device != outputs.device",
        "self._weights is not None",
    ): "what is on the device already is not moved",
    ("tasks/classification.py", "np.array(state['counts'], dtype=np.int64)", "np.array(state['counts'])"): (
        "whole numbers are int64 on Linux"
    ),
    ("features/images.py", "np.zeros((channels, LEVELS), dtype=np.int64)", "np.zeros((channels, LEVELS))"): (
        "counts of pixels are far below 2^53"
    ),
    ("features/tabular.py", "number.model_dump(mode='json')", "number.model_dump()"): "its values are those of JSON",
    ("prediction/bundle.py", "manifest.task.model_dump(mode='json')", "manifest.task.model_dump()"): (
        "settings come from YAML, so they are values of JSON"
    ),
    ("serving/app.py", "time.monotonic() > latest", "time.monotonic() >= latest"): "no clock meets a moment exactly",
    ("serving/app.py", "if len(body) >= LARGE", "if False"): "when memory goes back to the system; benchmarks show it",
    (
        "training/checkpoints.py",
        "torch.load(io.BytesIO(content[SEAL:]), map_location='cpu', weights_only=True)",
        "torch.load(io.BytesIO(content[SEAL:]), map_location='cpu')",
    ): "torch's default",
    (
        "tasks/baselines/naive.py",
        "0",
        "1",
        "values = data.dense_task.encode(data.targets.slice(0, int(data.positions.max(initial=0))))",
    ): "one row more than is read",
    (
        "tasks/baselines/naive.py",
        "0",
        "1",
        "span = int(steps[-1] - steps[0]) + 1 if len(steps) else 0",
    ): "no row is as few as one",
    (
        "tasks/baselines/naive.py",
        "0",
        "1",
        "level = np.stack([np.interp(np.arange(span), steps - steps[0], each) for each in columns], axis=1)",
    ): "the series moves by a step, and its season does not",
    (
        "tasks/baselines/naive.py",
        "2",
        "3",
        "spectrum = np.abs(np.fft.rfft(detrend(level, axis=0), 2 * span, axis=0)) ** 2",
    ): "further zeros behind the series, which are no products",
    (
        "tasks/baselines/naive.py",
        "2",
        "3",
        "covariance = np.fft.irfft(spectrum, axis=0)[: longest + 2]",
    ): "one lag more beside those that count",
    (
        "tasks/baselines/tfidf.py",
        "-1",
        "1",
        "outputs = Ridge().fit(known, target.reshape(len(target), -1)).predict(asked)",
    ): "a regression has one target",
    (
        "tasks/baselines/tfidf.py",
        "1",
        "2",
        "outputs = Ridge().fit(known, target.reshape(len(target), -1)).predict(asked)",
    ): "NumPy takes any negative length for the one that is left",
    (
        "tasks/baselines/tfidf.py",
        "-1",
        "1",
        "return data.dense_task.scores(outputs.reshape(len(outputs), -1) * np.ones(data.dense_task.outputs))",
    ): "a regression has one target",
    (
        "tasks/baselines/tfidf.py",
        "1",
        "2",
        "return data.dense_task.scores(outputs.reshape(len(outputs), -1) * np.ones(data.dense_task.outputs))",
    ): "NumPy takes any negative length for the one that is left",
    (
        "tasks/classification.py",
        "target == one",
        "target != one",
        "if one in chosen and 0 < (target == one).sum() < len(target)",
    ): "both, or neither, are among the rows",
    (
        "metrics/statistics.py",
        "1.0",
        "2.0",
        "return bounded_mean(-np.log(np.clip(true, SMALLEST, 1.0)), 0.0, -np.log(SMALLEST))",
    ): "no probability is above 1",
    ("serving/json_stream.py", "0", "1", "self._at = 0"): "the first look for blanks sets it",
    ("serving/protocol.py", "1", "2", "if len(given) > 1:"): "what comes twice is refused a moment later",
}
"""From the file below `src/headframe`, what stands there and what would, and where that is short the line, to why."""

"""Changes that `mutants.py` makes and that change nothing which a test could see, each with the reason."""

EQUAL: dict[tuple[str, str, str], str] = {
    (
        "datasets/table.py",
        "name != dataset.key",
        "name == dataset.key",
    ): "how Parquet packs a column, not what it holds",
    (
        "evaluation/evaluation.py",
        "block_length(task.horizon, predictions.num_rows) if task.horizon else 1",
        "block_length(task.horizon, predictions.num_rows)",
    ): "the length is 1 for a horizon of 0",
    ("evaluation/significance.py", "high // 2", "high / 2"): "a power of two, and less than one apart for 1",
    ("stages.py", "json.dumps(content, indent=2, ensure_ascii=False)", "json.dumps(content, ensure_ascii=False)"): (
        "the file is parsed"
    ),
}
"""From the file below `src/headframe`, what stands there and what would, to the reason."""

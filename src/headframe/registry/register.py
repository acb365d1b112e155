"""The step that registers a measured model: tracked, packaged, verified, registered once."""

from __future__ import annotations

from pathlib import Path

from headframe.config.plan.plan import Plan
from headframe.records import Evaluated, Ingested, Registered, Trained
from headframe.registry.versions import has_version, is_intact
from headframe.signing.trust import Trust


def register(  # noqa: PLR0917 - a stage takes what its key is made of
    plan: Plan,
    data: Ingested,
    trained: Trained,
    evaluated: Evaluated,
    uri: str,
    place: str,  # noqa: ARG001 - part of the stage's key: another registry is another registration
    root: Path,
    folder: Path,
) -> Registered:
    """Track a result, package its model, verify the package and register it as a version, once for its key.

    Args:
        plan: what was run; its team says who may sign.
        data: the data that went in.
        trained: the model.
        evaluated: its measurements.
        uri: MLflow's address.
        place: the same as it reads on any machine.
        root: the project's folder.
        folder: for temporary files.

    Raises:
        HeadframeError: MLflow cannot be reached or written, or the packaged model predicts something else than
            the trained one; then there is no version.
        Refused: nobody whom the team lists as an author can sign it here, or it is registered already and signed by
            somebody who is not trusted.
    """
    from headframe.registry.registration import Registration  # noqa: PLC0415 - imports mlflow and torch: seconds
    from headframe.registry.submission import Submission  # noqa: PLC0415

    return Registration(Submission(plan, data, trained, evaluated, root), uri, folder).complete()


def is_registered(record: Registered, uri: str, trust: Trust) -> bool:
    """Return whether a recorded version is still in the registry, its files signed where they can be read."""
    there = has_version(record.model, record.version, record.run_id, uri)
    return there and is_intact(record.model, record.version, uri, trust) is not False

"""The step that registers a measured model: tracked, packaged, verified, registered once."""

from headframe.config.plan.plan import VersionPlan
from headframe.config.plan.promotion import TeamConfig
from headframe.config.plan.serving import CodeConfig
from headframe.digests import Record
from headframe.places import Places
from headframe.records import Evaluated, Ingested, Registered, Trained
from headframe.registry.versions import has_version, is_intact
from headframe.signing.trust import Trust


class Destination(Record):
    """Where a result is registered."""

    model: str  # its name in the registry
    experiment: str  # of MLflow
    registry: str  # MLflow's address as any machine reads it: another registry is another registration
    code: CodeConfig = CodeConfig()


def register(  # noqa: PLR0917 - a step takes what its key is made of
    plan: VersionPlan,
    destination: Destination,
    team: TeamConfig,
    data: Ingested,
    trained: Trained,
    evaluated: Evaluated,
    places: Places,
) -> Registered:
    """Track a result, package its model, verify the package and register it as a version, once for its key.

    Args:
        plan: what was run.
        destination: where it is registered.
        team: who may sign.
        data: the data that it was trained on.
        trained: the model.
        evaluated: its evaluation.
        places: MLflow's address, and the step's folder for temporary files.

    Raises:
        HeadframeError: MLflow cannot be reached or written, or the packaged model predicts something else than
            the trained one; then there is no version.
        Refused: nobody whom the team lists as an author can sign it here, or it is registered already and signed by
            someone who is not trusted.
    """
    from headframe.registry.registrar import Registrar  # noqa: PLC0415 - imports mlflow and torch: seconds
    from headframe.registry.request import RegistrationRequest  # noqa: PLC0415 - imports mlflow and torch: seconds

    names = (destination.model, destination.experiment)
    request = RegistrationRequest(plan, *names, data, trained, evaluated, places.root, destination.code)
    return Registrar(request, team, places.tracking_uri, places.folder).complete()


def is_registered(record: Registered, team: TeamConfig, places: Places) -> bool:
    """Return whether a recorded version is still in the registry, its files signed where they can be read."""
    uri = places.tracking_uri
    exists = has_version(record.model, record.version, record.run_id, uri)
    return exists and is_intact(record.model, record.version, uri, Trust.of(team)) is not False

"""Calls that open a packaged model: in an isolated process where the model brings code, which knows that version only.

The process that runs a flow has imported the project's packages as they are now. A model that was packaged with an
earlier version of them would predict there with code that it was not trained with.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from headframe.processes import call_isolated, search_path
from headframe.registry.layout import packages_in


def call_with_model(function: Callable[..., Any], model: Path, **arguments: Any) -> Any:
    """Call a function that opens a packaged model; in an isolated process if the model brings code.

    Args:
        function: of a module of Headframe's; takes `model` as a string and the arguments, returns JSON.
        model: the folder that holds `MLmodel`.
        arguments: JSON; anything large lies in files that they name.

    Raises:
        HeadframeError: or the one of its kinds that the function raised, or the model's own code failed.
    """
    packages = packages_in(model)
    if not packages:
        return function(model=str(model), **arguments)
    path = search_path(keep=lambda entry: not any((entry / name).is_dir() for name in packages))
    subject = "the code that the model brings"
    return call_isolated(function, {"model": str(model), **arguments}, subject=subject, python_path=path)

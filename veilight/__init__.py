"""Secure deep-learning inference over light: the public API.

Names are imported when they are first used, so that `import veilight` costs next to nothing.
Importing it also makes sure that the packages `protocol`, `calibration`, `sim_backend` and
`drivers` are the ones that came with it: a folder of such a name in the working directory would
otherwise be taken in their place.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from veilight._version import __version__

if TYPE_CHECKING:
    from drivers.errors import VeilightError
    from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap
    from protocol.defences import Defences
    from protocol.ledger import DataLedger, WeightLedger
    from protocol.models.files import load_model, save_model
    from protocol.models.graph import Graph
    from protocol.models.model import Model
    from protocol.models.training import TrainingSettings, train
    from sim_backend.settings import DetectorSettings, LinkSettings
    from veilight.config import Configuration, load_configuration
    from veilight.datasets import Dataset, TrainTest
    from veilight.datasets import load as load_data
    from veilight.report import write_report
    from veilight.run_json import result_to_dict
    from veilight.runs import InferenceRequest, RunResult, run_inference

__all__ = [
    "Amplifier",
    "Configuration",
    "DataLedger",
    "Dataset",
    "Defences",
    "DetectorSettings",
    "FeedForwardTap",
    "Graph",
    "InferenceRequest",
    "LinkSettings",
    "Model",
    "PassiveTap",
    "RunResult",
    "TrainTest",
    "TrainingSettings",
    "VeilightError",
    "WeightLedger",
    "__version__",
    "load_configuration",
    "load_data",
    "load_model",
    "result_to_dict",
    "run_inference",
    "save_model",
    "train",
    "write_report",
]

_PACKAGES = ("protocol", "calibration", "sim_backend", "drivers")

_HOMES = {
    "Amplifier": "drivers.receivers",
    "Configuration": "veilight.config",
    "DataLedger": "protocol.ledger",
    "Dataset": "veilight.datasets",
    "Defences": "protocol.defences",
    "DetectorSettings": "sim_backend.settings",
    "FeedForwardTap": "drivers.receivers",
    "Graph": "protocol.models.graph",
    "InferenceRequest": "veilight.runs",
    "LinkSettings": "sim_backend.settings",
    "Model": "protocol.models.model",
    "PassiveTap": "drivers.receivers",
    "RunResult": "veilight.runs",
    "TrainTest": "veilight.datasets",
    "TrainingSettings": "protocol.models.training",
    "VeilightError": "drivers.errors",
    "WeightLedger": "protocol.ledger",
    "load_configuration": "veilight.config",
    "load_data": "veilight.datasets:load",
    "load_model": "protocol.models.files",
    "result_to_dict": "veilight.run_json",
    "run_inference": "veilight.runs",
    "save_model": "protocol.models.files",
    "train": "protocol.models.training",
    "write_report": "veilight.report",
}
"""Where each public name lives: its module and, after a colon, its name there if it differs."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'veilight' has no attribute {name!r}")
    module, _, original = _HOMES[name].partition(":")
    value: object = getattr(importlib.import_module(module), original or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _check_neighbours() -> None:
    """Refuse packages of the same names from elsewhere.

    Raises:
        ImportError: one of the packages is missing or is not the one beside `veilight`.
    """
    root = Path(__file__).resolve().parent.parent
    for name in _PACKAGES:
        expected = root / name
        found = _folder_of(name)
        if found is None:
            raise ImportError(
                f"veilight needs its package {name!r} at {expected}, and it is missing; install "
                "veilight again"
            )
        if found != expected:
            raise ImportError(
                f"the package {name!r} resolves to {found}, but veilight needs its own at "
                f"{expected}; rename the other one, or start Python from another folder"
            )


def _folder_of(name: str) -> Path | None:
    """Folder of a package, or file of a module, that `import name` would take; None for none."""
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # imported already, by something that gave it no spec
        file = getattr(sys.modules[name], "__file__", None)
        return None if file is None else Path(file).resolve().parent
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ())
    if places:
        return Path(places[0]).resolve()
    return None if spec.origin is None else Path(spec.origin).resolve()


_check_neighbours()

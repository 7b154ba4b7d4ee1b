"""The imports of a generated file: those of the names that stand in it, in the project's order."""

import ast
from typing import Final

__all__ = ["MARK", "with_imports"]

MARK: Final = "# <imports>\n"
"""Where the imports go."""
_LONGEST = 100
_FIRST_PARTY = ("drivers", "sim_backend", "tests")
_NAMES: Final = {
    "collections.abc": ("Callable", "Mapping"),
    "dataclasses": ("replace",),
    "typing": ("Final",),
    "numpy.typing": ("NDArray",),
    "drivers.bench.registry": ("BuildContext", "InstrumentEntry"),
    "drivers.catalogue": ("DriverModel",),
    "drivers.errors": ("AnswerError", "InstrumentError", "RefusedError"),
    "drivers.instruments": (
        "AmplifierLimits",
        "Attenuator",
        "AttenuatorLimits",
        "BiasController",
        "BiasLimits",
        "BiasPoint",
        "Clock",
        "Digitiser",
        "DigitiserLimits",
        "DigitiserSettings",
        "GeneratorLimits",
        "Identity",
        "Instrument",
        "Laser",
        "LaserLimits",
        "OpticalAmplifier",
        "PhaseDriver",
        "PhaseDriverLimits",
        "PolarisationController",
        "PolarisationLimits",
        "PowerMeter",
        "PowerMeterLimits",
        "Range",
        "Recording",
        "Switch",
        "SwitchLimits",
        "Trigger",
        "WaveformGenerator",
    ),
    "drivers.transports.link": ("Link",),
    "drivers.transports.reader": ("garbled",),
    "drivers.transports.scpi": ("Scpi",),
    "drivers.transports.serial_stream": ("SerialSettings",),
    "drivers.transports.settings": ("NoSettings", "own_settings"),
    "drivers.transports.wired": ("Wired", "refuse_stranger"),
    "sim_backend.instruments": ("SimulatedBench",),
    "sim_backend.instruments.parts": (
        "AmplifierPart",
        "AttenuatorPart",
        "BiasPart",
        "DigitiserPart",
        "GeneratorPart",
        "LaserPart",
        "PhasePart",
        "PolarisationPart",
        "PowerPart",
        "SwitchPart",
    ),
    "sim_backend.scene.clock": ("SimulatedClock",),
    "sim_backend.wire.scpi_session": (
        "Call",
        "Complaint",
        "ErrorQueue",
        "Handler",
        "Later",
        "ScpiSession",
        "block",
    ),
    "sim_backend.wire.session": ("Session", "Twin", "TwinPlace"),
    "tests.wire.raw": ("hear", "rubbish"),
    "tests.wire.rigs": ("loopback_link",),
    "tests.wire.scripted": ("Script",),
}
_WHOLE: Final = {"math": "import math", "np": "import numpy as np", "pytest": "import pytest"}


def with_imports(text: str, own: dict[str, tuple[str, ...]]) -> str:
    """A generated file with its imports.

    Args:
        text: Python with `MARK`; names of the project and its libraries are used freely.
        own: further names by their module.

    Returns:
        The file, sorted as the project's linter sorts.
    """
    tree = ast.parse(text)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    defined = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    groups: dict[int, list[tuple[tuple[int, str], str]]] = {0: [], 1: [], 2: []}
    for name, line in _WHOLE.items():
        if name in used:
            groups[0 if name == "math" else 1].append(((0, line), line))
    for module, names in {**_NAMES, **own}.items():
        wanted = sorted((set(names) & used) - defined, key=_order)
        if wanted:
            groups[_group(module)].append(((1, module), _line(module, wanted)))
    blocks = ["".join(f"{line}\n" for _, line in sorted(groups[n])) for n in groups]
    return text.replace(MARK, "\n".join(block for block in blocks if block))


def _group(module: str) -> int:
    top = module.partition(".")[0]
    if top in _FIRST_PARTY:
        return 2
    return 1 if top == "numpy" else 0


def _order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions."""
    rank = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return rank, name.lower()


def _line(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= _LONGEST:
        return line
    listed = "".join(f"    {name},\n" for name in names)
    return f"from {module} import (\n{listed})"

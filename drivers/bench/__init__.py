"""Benches: from a bench file to open instruments by role, and the safety of their light.

Owns the bench files and their errors, the registry of models, the roles, the order in which light
is switched on and off, and the safe state. Knows the instrument kinds, never a vendor's driver.
"""

from drivers.bench.bench import Bench, resolve_models
from drivers.bench.files import BenchFile, check_together, load_bench, parse_bench
from drivers.bench.registry import (
    BuildContext,
    InstrumentEntry,
    InstrumentFactory,
    ModelRegistry,
)
from drivers.bench.roles import Role, roles_of
from drivers.bench.safety import LightPlan, Safety

__all__ = [
    "Bench",
    "BenchFile",
    "BuildContext",
    "InstrumentEntry",
    "InstrumentFactory",
    "LightPlan",
    "ModelRegistry",
    "Role",
    "Safety",
    "check_together",
    "load_bench",
    "parse_bench",
    "resolve_models",
    "roles_of",
]

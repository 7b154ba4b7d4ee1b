"""Simulated instruments: the kinds of `drivers.instruments` on one shared optical scene."""

from sim_backend.instruments.faults import Fault, FaultKind, FaultPlan
from sim_backend.instruments.models import register_models, scene_settings
from sim_backend.instruments.simulated_bench import SimulatedBench

__all__ = [
    "Fault",
    "FaultKind",
    "FaultPlan",
    "SimulatedBench",
    "register_models",
    "scene_settings",
]

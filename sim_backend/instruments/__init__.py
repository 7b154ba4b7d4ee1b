"""Simulated instruments: the kinds of `drivers.instruments` on one shared optical scene."""

from sim_backend.instruments.faults import Fault, FaultKind, FaultPlan
from sim_backend.instruments.intruders import KnownSlots
from sim_backend.instruments.models import register_models, scene_settings
from sim_backend.instruments.models_amplifier import (
    AMPLIFIER_SCENE,
    amplifier_scene_settings,
    register_amplifier_models,
)
from sim_backend.instruments.simulated_bench import SimulatedBench

__all__ = [
    "AMPLIFIER_SCENE",
    "Fault",
    "FaultKind",
    "FaultPlan",
    "KnownSlots",
    "SimulatedBench",
    "amplifier_scene_settings",
    "register_amplifier_models",
    "register_models",
    "scene_settings",
]

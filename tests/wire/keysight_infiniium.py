"""The Keysight Infiniium oscilloscope on its twin."""

from collections.abc import Callable

from drivers.detectors.keysight_infiniium import MODELS, KeysightInfiniium
from drivers.instruments import Instrument
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.keysight_infiniium import KeysightInfiniiumTwin
from tests.wire.scopes import scope_on_bench

__all__ = ["infiniium", "makers"]


def infiniium(bench: SimulatedBench, role: str = "tap_digitiser") -> KeysightInfiniium:
    """A closed driver on a twin that records the detector of a role of the client or server."""
    return scope_on_bench(
        KeysightInfiniium, MODELS[0], KeysightInfiniiumTwin, says="DSOS204A", bench=bench, role=role
    )


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"keysight Infiniium": lambda: infiniium(SimulatedBench())}

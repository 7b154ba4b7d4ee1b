"""The Keysight InfiniiVision oscilloscope on its twin."""

from collections.abc import Callable

from drivers.detectors.keysight_infiniivision import MODELS, KeysightInfiniiVision
from drivers.instruments import Instrument
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.keysight_infiniivision import KeysightInfiniiVisionTwin
from tests.wire.scopes import scope_on_bench

__all__ = ["infiniivision", "makers"]


def infiniivision(bench: SimulatedBench, role: str = "tap_digitiser") -> KeysightInfiniiVision:
    """A closed driver on a twin that records the detector of a role of the client or server."""
    return scope_on_bench(
        KeysightInfiniiVision,
        MODELS[1],
        KeysightInfiniiVisionTwin,
        says="DSO-X 4024A",
        bench=bench,
        role=role,
    )


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"keysight InfiniiVision": lambda: infiniivision(SimulatedBench())}

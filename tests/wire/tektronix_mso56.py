"""The Tektronix MSO5 oscilloscope on its twin."""

from collections.abc import Callable

from drivers.detectors.tektronix_mso56 import MODELS, TektronixMso56
from drivers.instruments import Instrument
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.tektronix_mso56 import TektronixMso56Twin
from tests.wire.scopes import scope_on_bench

__all__ = ["makers", "mso5"]


def mso5(bench: SimulatedBench, role: str = "tap_digitiser") -> TektronixMso56:
    """A closed driver on a twin that records the detector of a role of the client or server."""
    return scope_on_bench(
        TektronixMso56, MODELS[0], TektronixMso56Twin, says="MSO54", bench=bench, role=role
    )


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"tektronix MSO5": lambda: mso5(SimulatedBench())}

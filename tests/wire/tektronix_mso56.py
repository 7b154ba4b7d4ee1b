"""The Tektronix MSO5 oscilloscope on its twin."""

from collections.abc import Callable

from drivers.detectors.tektronix_mso56 import MODELS, TektronixMso56
from drivers.instruments import Instrument
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import DigitiserPart
from sim_backend.wire.twins.tektronix_mso56 import TektronixMso56Twin
from tests.wire.rigs import loopback_link

__all__ = ["makers", "mso5"]


def mso5(bench: SimulatedBench, role: str = "tap_digitiser") -> TektronixMso56:
    """A closed driver on a twin that records the detector of a role of the client or server."""
    party = "client" if role == "tap_digitiser" else "server"
    part = bench.part(party, role)
    assert isinstance(part, DigitiserPart)
    twin = TektronixMso56Twin(model="MSO54", clock=bench.clock, serial="SIM01", parts={1: part})
    link = loopback_link(twin, bench.clock)
    limits = MODELS[0].limits
    return TektronixMso56(role, limits=limits, link=link, clock=bench.clock)  # type: ignore[arg-type]


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"tektronix MSO5": lambda: mso5(SimulatedBench())}

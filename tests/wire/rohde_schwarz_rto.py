"""The R&S RTO oscilloscope on its twin."""

from collections.abc import Callable

from drivers.detectors.rohde_schwarz_rto import MODELS, RohdeSchwarzRto
from drivers.instruments import Instrument
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import DigitiserPart
from sim_backend.wire.twins.rohde_schwarz_rto import RohdeSchwarzRtoTwin
from tests.wire.rigs import loopback_link

__all__ = ["makers", "rto"]


def rto(bench: SimulatedBench, role: str = "tap_digitiser") -> RohdeSchwarzRto:
    """A closed driver on a twin that records the detector of a role of the client or server."""
    party = "client" if role == "tap_digitiser" else "server"
    part = bench.part(party, role)
    assert isinstance(part, DigitiserPart)
    twin = RohdeSchwarzRtoTwin(model="RTO", clock=bench.clock, serial="SIM01", parts={1: part})
    link = loopback_link(twin, bench.clock)
    limits = MODELS[0].limits
    return RohdeSchwarzRto(role, limits=limits, link=link, clock=bench.clock)  # type: ignore[arg-type]


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"rohde-schwarz RTO": lambda: rto(SimulatedBench())}

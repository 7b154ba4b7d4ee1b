"""The OZ Optics EPC polarisation controller on its twin."""

from collections.abc import Callable

from drivers.instruments import Instrument
from drivers.path.ozoptics_epc import MODELS, OZOpticsEPC
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.ozoptics_epc import OZOpticsEPCTwin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _controller() -> Instrument:
    bench = SimulatedBench()
    twin = OZOpticsEPCTwin(clock=bench.clock, controller=bench.scene.client_polarisation)
    link = loopback_link(twin, bench.clock, line=True)
    return OZOpticsEPC("squeezers", limits=MODELS[0].limits, link=link, clock=bench.clock)  # type: ignore[arg-type]


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"ozoptics EPC": _controller}

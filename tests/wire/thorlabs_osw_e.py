"""The Thorlabs OSW12-E switch on its twin."""

from collections.abc import Callable

from drivers.instruments import Instrument
from drivers.path.thorlabs_osw_e import MODELS, ThorlabsOSWE
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.thorlabs_osw_e import ThorlabsOSWETwin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _switch() -> Instrument:
    bench = SimulatedBench()
    twin = ThorlabsOSWETwin(model="OSW12-E", clock=bench.clock, switch=bench.scene.client_switch)
    link = loopback_link(twin, bench.clock, line=True)
    return ThorlabsOSWE("switch", limits=MODELS[0].limits, link=link, clock=bench.clock)  # type: ignore[arg-type]


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"thorlabs OSW12-E": _switch}

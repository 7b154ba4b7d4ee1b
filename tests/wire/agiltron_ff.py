"""The Agiltron FF switch on its twin."""

from collections.abc import Callable

from drivers.instruments import Instrument
from drivers.path.agiltron_ff import MODELS, AgiltronFF
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.agiltron_ff import AgiltronFFTwin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _switch() -> Instrument:
    bench = SimulatedBench()
    twin = AgiltronFFTwin(model="FF1x4", clock=bench.clock, switch=bench.scene.client_switch)
    link = loopback_link(twin, bench.clock, line=True)
    return AgiltronFF("switch", limits=MODELS[0].limits, link=link, clock=bench.clock)  # type: ignore[arg-type]


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"agiltron FF1x4": _switch}

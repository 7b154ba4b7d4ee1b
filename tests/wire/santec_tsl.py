"""Santec lasers on their twins."""

from collections.abc import Callable

from drivers.instruments import Instrument, LaserLimits
from drivers.lasers.santec_tsl import MODELS, SantecTSL550, SantecTSL570
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.santec_tsl import SantecTSLTwin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _laser(model: str) -> Instrument:
    bench = SimulatedBench()
    twin = SantecTSLTwin(
        model=model, clock=bench.clock, serial="SIM01", laser=bench.scene.server_laser
    )
    link = loopback_link(twin, bench.clock)
    limits = MODELS[0].limits
    assert isinstance(limits, LaserLimits)
    make = SantecTSL550 if model == "TSL-550" else SantecTSL570
    return make("laser", limits=limits, link=link, clock=bench.clock)


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {
        "santec TSL-550": lambda: _laser("TSL-550"),
        "santec TSL-570": lambda: _laser("TSL-570"),
    }

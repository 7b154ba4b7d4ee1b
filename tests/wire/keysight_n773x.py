"""The Keysight N773x switch on its twin."""

from collections.abc import Callable

from drivers.instruments import Instrument
from drivers.path.keysight_n773x import MODELS, KeysightN773x
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.keysight_n773x import KeysightN773xTwin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _switch() -> Instrument:
    bench = SimulatedBench()
    twin = KeysightN773xTwin(
        model="N7731A",
        clock=bench.clock,
        serial="SIM01",
        switches={1: bench.scene.client_switch},
        lit={1: 1},
    )
    limits = MODELS[0].limits
    link = loopback_link(twin, bench.clock)
    return KeysightN773x("switch", limits=limits, link=link, clock=bench.clock)  # type: ignore[arg-type]


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"keysight N773x": _switch}

"""A tunable laser in a Keysight 8164B, and an N7776C, on their twins."""

from collections.abc import Callable

from drivers.instruments import Instrument, LaserLimits
from drivers.lasers.keysight_8164b import MODELS, Keysight8164B, Keysight8164BSettings
from sim_backend.instruments import SimulatedBench
from sim_backend.wire.twins.keysight_8164b import Keysight8164BTwin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _laser(model: str, channel: int) -> Instrument:
    bench = SimulatedBench()
    twin = Keysight8164BTwin(
        model=model,
        clock=bench.clock,
        serial="SIM01",
        lasers={channel: bench.scene.server_laser},
    )
    limits = MODELS[0].limits
    assert isinstance(limits, LaserLimits)
    return Keysight8164B(
        "laser",
        limits=limits,
        link=loopback_link(twin, bench.clock),
        clock=bench.clock,
        channel=channel,
        settings=Keysight8164BSettings(lock_password="1234"),
    )


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {
        "keysight 8164B": lambda: _laser("8164B", 3),
        "keysight N7776C": lambda: _laser("N7776C", 1),
    }

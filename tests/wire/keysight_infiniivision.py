"""The Keysight InfiniiVision oscilloscope on its twin."""

from collections.abc import Callable

from drivers.detectors.keysight_infiniivision import MODELS, KeysightInfiniiVision
from drivers.instruments import Instrument
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import DigitiserPart
from sim_backend.wire.twins.keysight_infiniivision import KeysightInfiniiVisionTwin
from tests.wire.rigs import loopback_link

__all__ = ["infiniivision", "makers"]


def infiniivision(bench: SimulatedBench, role: str = "tap_digitiser") -> KeysightInfiniiVision:
    """A closed driver on a twin that records the detector of a role of the client or server."""
    party = "client" if role == "tap_digitiser" else "server"
    part = bench.part(party, role)
    assert isinstance(part, DigitiserPart)
    twin = KeysightInfiniiVisionTwin(
        model="DSO-X 4024A", clock=bench.clock, serial="SIM01", parts={1: part}
    )
    link = loopback_link(twin, bench.clock)
    limits = MODELS[1].limits
    return KeysightInfiniiVision(role, limits=limits, link=link, clock=bench.clock)  # type: ignore[arg-type]


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"keysight InfiniiVision": lambda: infiniivision(SimulatedBench())}

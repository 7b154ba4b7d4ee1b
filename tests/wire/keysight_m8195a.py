"""The Keysight M8195A generator on its twin."""

from collections.abc import Callable

from drivers.instruments import GeneratorLimits, Instrument
from drivers.modulators.keysight_m8195a import MODELS, KeysightM8195A
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import GeneratorPart
from sim_backend.wire.twins.keysight_m8195a import KeysightM8195ATwin
from tests.wire.rigs import loopback_link

__all__ = ["makers"]


def _generator() -> Instrument:
    bench = SimulatedBench()
    part = bench.part("server", "weight_generator")
    limits = MODELS[0].limits
    assert isinstance(part, GeneratorPart)
    assert isinstance(limits, GeneratorLimits)
    twin = KeysightM8195ATwin(clock=bench.clock, serial="SIM01", parts={1: part})
    link = loopback_link(twin, bench.clock)
    return KeysightM8195A("generator", limits=limits, link=link, clock=bench.clock)


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"keysight M8195A": _generator}

"""The two kinds of a Red Pitaya STEMlab 125-14 on their twin."""

from collections.abc import Callable

from drivers.detectors.red_pitaya import RedPitayaDigitiser
from drivers.instruments import DigitiserLimits, GeneratorLimits, Instrument, Range
from drivers.modulators.red_pitaya import MODELS, RedPitayaGenerator
from sim_backend.instruments import SimulatedBench
from sim_backend.instruments.parts import DigitiserPart, GeneratorPart
from sim_backend.wire.twins.red_pitaya import RedPitayaTwin
from tests.wire.rigs import loopback_link

__all__ = ["INPUT_LIMITS", "board", "makers"]

INPUT_LIMITS = DigitiserLimits(
    channels=1,
    # The middle and the third quarter are 125 MHz over 24 and over 20.
    sample_rate_hz=Range(lowest=125e6 / 40, highest=125e6 * (2 / 20 - 1 / 24)),
    samples=16000,
    range_v=Range(lowest=0.99, highest=1.0),
    bits=14,
)
"""Limits of which the fractions that the contract suite uses are what the board has."""


def board(bench: SimulatedBench) -> RedPitayaTwin:
    """The server's board: OUT1 on the weight modulator, IN1 on the returned light."""
    output = bench.part("server", "weight_generator")
    signal = bench.part("server", "return_digitiser")
    assert isinstance(output, GeneratorPart)
    assert isinstance(signal, DigitiserPart)
    return RedPitayaTwin(clock=bench.clock, serial="SIM01", inputs={1: signal}, outputs={1: output})


def _digitiser() -> Instrument:
    bench = SimulatedBench()
    link = loopback_link(board(bench), bench.clock)
    return RedPitayaDigitiser("digitiser", limits=INPUT_LIMITS, link=link, clock=bench.clock)


def _generator() -> Instrument:
    bench = SimulatedBench()
    limits = MODELS[0].limits
    assert isinstance(limits, GeneratorLimits)
    link = loopback_link(board(bench), bench.clock)
    return RedPitayaGenerator("generator", limits=limits, link=link, clock=bench.clock)


def makers() -> dict[str, Callable[[], Instrument]]:
    """Fresh, closed instruments by name."""
    return {"red pitaya inputs": _digitiser, "red pitaya outputs": _generator}

"""Every SCPI driver on a bus that marks the ends of messages: none may ask before it has fetched.

Over a bare socket the answers to two questions wait side by side; over VXI-11, HiSLIP, USB-TMC and
GPIB the first one is lost.
"""

from collections.abc import Callable

import numpy as np
import pytest

from drivers.instruments import Digitiser, Instrument, Laser, Trigger, WaveformGenerator
from drivers.transports.streams import ByteStream
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.session import Twin
from tests.wire import (
    keysight_8164b,
    keysight_33600a,
    keysight_infiniium,
    keysight_infiniivision,
    keysight_m8195a,
    keysight_n771x,
    keysight_n773x,
    keysight_n776x,
    keysight_n7744a,
    rigs,
    rohde_schwarz_rto,
    santec_tsl,
    tektronix_mso56,
    thorlabs_pm100,
)
from tests.wire.message_loopback import MessageLoopback

MODULES = (
    keysight_33600a,
    keysight_8164b,
    keysight_infiniium,
    keysight_infiniivision,
    keysight_m8195a,
    keysight_n771x,
    keysight_n773x,
    keysight_n7744a,
    keysight_n776x,
    rohde_schwarz_rto,
    santec_tsl,
    tektronix_mso56,
    thorlabs_pm100,
)
MAKERS = {name: make for module in MODULES for name, make in module.makers().items()}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[ByteStream]:
    """The streams that are opened, all of them with messages."""
    streams: list[ByteStream] = []

    def opening(twin: Twin, clock: SimulatedClock) -> ByteStream:
        streams.append(MessageLoopback(twin, clock))
        return streams[-1]

    monkeypatch.setattr(rigs, "LoopbackStream", opening)
    MessageLoopback.interrupted.clear()
    return streams


def use(instrument: Instrument) -> None:
    """Set and read what its kind has."""
    if isinstance(instrument, Laser):
        limits = instrument.limits
        instrument.set_wavelength(limits.wavelength_m.lowest)
        instrument.set_power(limits.power_w.highest)
        instrument.set_emission(True)
        assert instrument.emission()
    elif isinstance(instrument, Digitiser):
        rates, ranges = instrument.limits.sample_rate_hz, instrument.limits.range_v
        instrument.configure(rates.highest, 1000, ranges.highest)
        instrument.arm(Trigger.EXTERNAL)
        assert not instrument.is_done()
        instrument.abort()
    elif isinstance(instrument, WaveformGenerator):
        instrument.set_sample_rate(instrument.limits.sample_rate_hz.highest)
        instrument.load(0, np.zeros(instrument.limits.samples // 2, np.float32))
        instrument.set_output(0, True)
        instrument.arm(Trigger.EXTERNAL)
        instrument.stop()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_driver_fetches_each_answer_before_it_asks_again(
    make: Callable[[], Instrument], opened: list[ByteStream]
) -> None:
    with make() as instrument:
        use(instrument)
        instrument.make_safe()
    assert opened
    assert MessageLoopback.interrupted == []

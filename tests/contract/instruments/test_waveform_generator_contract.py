"""What every waveform generator must do."""

import logging
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.errors import InstrumentError, LimitError
from drivers.instruments import Trigger, WaveformGenerator
from tests.contract.instruments.common import (
    OUTSIDE,
    InstrumentContract,
    Setting,
    at,
    fail_once_after,
    over,
    replace,
)
from tests.contract.instruments.implementations import WAVEFORM_GENERATORS

SAMPLES = 64


def wave(generator: WaveformGenerator, fraction: float = 0.6) -> NDArray[np.float32]:
    """A constant waveform."""
    return np.full(SAMPLES, at(generator.limits.volts, fraction), dtype=np.float32)


def spoilt(generator: WaveformGenerator, volts: float, index: int = -1) -> NDArray[np.float32]:
    """A good waveform but for one sample."""
    values = wave(generator)
    values[index] = volts
    return values


def constant(samples: int) -> NDArray[np.float32]:
    """A waveform of any length that takes no memory."""
    return np.broadcast_to(np.float32(0), (samples,))


def load(generator: WaveformGenerator) -> None:
    generator.load(0, wave(generator))


def arm(generator: WaveformGenerator) -> None:
    load(generator)
    generator.arm(Trigger.SOFTWARE)


class TestWaveformGeneratorContract(InstrumentContract):
    kind = WaveformGenerator
    implementations = WAVEFORM_GENERATORS
    sets: ClassVar = {
        "set_sample_rate": Setting(
            call=lambda i: i.set_sample_rate(at(i.limits.sample_rate_hz, 0.25)),
            vendor="_set_sample_rate",
            prepare=lambda i: i.set_sample_rate(at(i.limits.sample_rate_hz, 0.75)),
        ),
        "load": Setting(call=load, vendor="_load", reads_back=False),
        "set_idle": Setting(
            call=lambda i: i.set_idle(0, at(i.limits.volts, 0.6)),
            vendor="_set_idle",
            reads_back=False,
        ),
        "set_output": Setting(call=lambda i: i.set_output(0, True), vendor="_set_output"),
        "arm": Setting(call=lambda i: i.arm(Trigger.SOFTWARE), vendor="_arm", prepare=load),
        "trigger": Setting(
            call=lambda i: i.trigger(), vendor="_trigger", prepare=arm, reads_back=False
        ),
        "stop": Setting(call=lambda i: i.stop(), vendor="_stop", prepare=arm),
    }
    queries: ClassVar = {
        "sample_rate_hz": lambda i: i.sample_rate_hz(),
        "output": lambda i: i.output(0),
        "is_armed": lambda i: i.is_armed(),
        "finish": lambda i: i.finish(),
    }
    refused: ClassVar = {
        "rate above": lambda i: i.set_sample_rate(i.limits.sample_rate_hz.highest * 1.001),
        "rate below": lambda i: i.set_sample_rate(i.limits.sample_rate_hz.lowest * 0.999),
        "rate NaN": lambda i: i.set_sample_rate(math.nan),
        "sample above": lambda i: i.load(0, spoilt(i, i.limits.volts.highest * 1.001)),
        "sample below": lambda i: i.load(0, spoilt(i, i.limits.volts.lowest - 0.001)),
        "sample NaN": lambda i: i.load(0, spoilt(i, math.nan)),
        "sample infinite": lambda i: i.load(0, spoilt(i, -math.inf)),
        "first sample NaN": lambda i: i.load(0, spoilt(i, math.nan, 0)),
        "too long": lambda i: i.load(0, constant(i.limits.samples + 1)),
        "empty": lambda i: i.load(0, constant(0)),
        "float64": lambda i: i.load(0, wave(i).astype(np.float64)),
        "two axes": lambda i: i.load(0, wave(i)[np.newaxis]),
        "no channel to load": lambda i: i.load(i.limits.channels, wave(i)),
        "idle above": lambda i: i.set_idle(0, i.limits.volts.highest * 1.001),
        "idle NaN": lambda i: i.set_idle(0, math.nan),
        "no channel to idle": lambda i: i.set_idle(-1, 0.0),
        "no channel to connect": lambda i: i.set_output(i.limits.channels, True),
        "no channel to ask": lambda i: i.output(-1),
        "immediate trigger": lambda i: i.arm(Trigger.IMMEDIATE),
        "delay NaN": lambda i: i.arm(Trigger.EXTERNAL, math.nan),
        "delay negative": lambda i: i.arm(Trigger.EXTERNAL, -1e-9),
        "delay infinite": lambda i: i.arm(Trigger.EXTERNAL, math.inf),
    }
    rivals: ClassVar = (
        lambda i: i.set_output(0, True),
        lambda i: i.set_output(0, False),
    )

    def activate(self, instrument: WaveformGenerator) -> None:
        instrument.set_output(0, True)

    def activate_for(self, instrument: WaveformGenerator, setting: Setting) -> None:
        self.activate(instrument)
        super().activate_for(instrument, setting)

    def state(self, instrument: WaveformGenerator) -> object:
        outputs = [instrument.output(c) for c in range(instrument.limits.channels)]
        return instrument.sample_rate_hz(), outputs, instrument.is_armed()

    def test_outputs_are_off_and_nothing_is_armed_when_opened(
        self, instrument: WaveformGenerator
    ) -> None:
        assert not instrument.is_armed()
        assert not any(instrument.output(c) for c in range(instrument.limits.channels))

    def test_generator_is_not_safe_when_any_single_output_is_on(
        self, instrument: WaveformGenerator
    ) -> None:
        for channel in range(instrument.limits.channels):
            instrument.make_safe()
            instrument.set_output(channel, True)
            assert instrument.output(channel)
            assert not instrument.is_safe()

    def test_generator_is_not_safe_when_armed_and_forgets_it_when_made_safe(
        self, instrument: WaveformGenerator
    ) -> None:
        arm(instrument)
        assert instrument.is_armed()
        assert not instrument.is_safe()
        instrument.make_safe()
        assert not instrument.is_armed()
        with pytest.raises(InstrumentError, match=r"arm\(\) it first"):
            instrument.trigger()

    @pytest.mark.parametrize(
        "call",
        [
            load,
            lambda i: i.set_sample_rate(at(i.limits.sample_rate_hz, 0.5)),
            lambda i: i.set_idle(0, 0.0),
            lambda i: i.arm(Trigger.SOFTWARE),
        ],
        ids=["load", "sample rate", "idle", "arm"],
    )
    def test_change_is_refused_and_it_stays_armed_when_armed(
        self, instrument: WaveformGenerator, call: Callable[[Any], object]
    ) -> None:
        arm(instrument)
        instrument.set_output(0, True)
        called = self.watch(instrument)
        with pytest.raises(InstrumentError, match=r"stop\(\) it first"):
            call(instrument)
        assert set(called) == {"_is_armed"}
        assert instrument.is_armed()
        assert instrument.output(0)

    @pytest.mark.parametrize("call", [load, lambda i: i.trigger()], ids=["load", "trigger"])
    def test_outputs_go_off_when_there_is_no_answer_whether_it_is_armed(
        self, instrument: WaveformGenerator, call: Callable[[Any], object]
    ) -> None:
        arm(instrument)
        instrument.set_output(0, True)
        error = fail_once_after(instrument, "_is_armed")
        with pytest.raises(TimeoutError) as raised:
            call(instrument)
        assert raised.value is error
        assert instrument.is_safe()

    def test_load_is_allowed_when_stopped(self, instrument: WaveformGenerator) -> None:
        arm(instrument)
        instrument.stop()
        called = self.watch(instrument)
        load(instrument)
        assert "_load" in called

    def test_trigger_is_refused_when_not_armed(self, instrument: WaveformGenerator) -> None:
        load(instrument)
        called = self.watch(instrument)
        with pytest.raises(InstrumentError, match=r"arm\(\) it first"):
            instrument.trigger()
        assert "_trigger" not in called

    def test_trigger_is_refused_and_it_stays_armed_when_armed_for_the_line(
        self, instrument: WaveformGenerator
    ) -> None:
        load(instrument)
        instrument.arm(Trigger.EXTERNAL)
        with pytest.raises(InstrumentError, match="SOFTWARE"):
            instrument.trigger()
        assert instrument.is_armed()

    def test_trigger_starts_one_play_only_when_called_twice(
        self, instrument: WaveformGenerator
    ) -> None:
        arm(instrument)
        called = self.watch(instrument)
        instrument.trigger()
        with pytest.raises(InstrumentError, match=r"arm\(\) it first"):
            instrument.trigger()
        assert called.count("_trigger") == 1

    def test_trigger_is_refused_when_the_play_has_started_and_goes_on(
        self, instrument: WaveformGenerator
    ) -> None:
        arm(instrument)
        instrument.trigger()
        replace(instrument, "_is_armed", lambda: True)
        called = self.watch(instrument)
        with pytest.raises(InstrumentError, match=r"arm\(\) it first"):
            instrument.trigger()
        assert "_trigger" not in called
        del vars(instrument)["_is_armed"]

    def test_trigger_is_refused_when_the_arming_got_lost(
        self, instrument: WaveformGenerator
    ) -> None:
        arm(instrument)
        replace(instrument, "_is_armed", lambda: False)
        called = self.watch(instrument)
        with pytest.raises(InstrumentError, match=r"arm\(\) it first"):
            instrument.trigger()
        assert "_trigger" not in called

    def test_arm_is_refused_when_nothing_was_loaded_since_opened(
        self, make: Callable[[], WaveformGenerator]
    ) -> None:
        with make() as generator, pytest.raises(InstrumentError, match=r"load\(\) one first"):
            generator.arm(Trigger.SOFTWARE)

    def test_arm_is_refused_when_the_waveform_was_lost_on_the_way(
        self, instrument: WaveformGenerator
    ) -> None:
        load(instrument)
        fail_once_after(instrument, "_load")
        with pytest.raises(TimeoutError):
            load(instrument)
        with pytest.raises(InstrumentError, match=r"load\(\) one first"):
            instrument.arm(Trigger.SOFTWARE)

    def test_arm_passes_trigger_and_delay_on_when_allowed(
        self, instrument: WaveformGenerator
    ) -> None:
        load(instrument)
        original, passed = instrument._arm, []

        def record(trigger: Trigger, delay_s: float) -> None:
            passed.append((trigger, delay_s))
            original(trigger, delay_s)

        replace(instrument, "_arm", record)
        instrument.arm(Trigger.EXTERNAL, 1e-6)
        assert passed == [(Trigger.EXTERNAL, 1e-6)]

    def test_load_sends_a_copy_when_called(self, instrument: WaveformGenerator) -> None:
        sent: list[NDArray[np.float32]] = []
        replace(instrument, "_load", lambda channel, volts: sent.append(volts))
        volts = wave(instrument)
        instrument.load(0, volts)
        assert not np.shares_memory(sent[0], volts)
        np.testing.assert_array_equal(sent[0], volts)

    def test_load_keeps_the_values_out_of_the_log_when_called(
        self, instrument: WaveformGenerator, caplog: pytest.LogCaptureFixture
    ) -> None:
        volts = spoilt(instrument, at(instrument.limits.volts, 0.654321))
        with caplog.at_level(logging.DEBUG, "veilight.instruments"):
            instrument.load(0, volts)
        assert f"load {SAMPLES} samples" in caplog.text
        assert not any(f"{value:.3f}" in caplog.text for value in volts)

    def test_load_is_allowed_when_samples_are_at_both_limits(
        self, instrument: WaveformGenerator
    ) -> None:
        limits = instrument.limits.volts
        instrument.load(0, np.array([limits.lowest, limits.highest], dtype=np.float32))
        instrument.arm(Trigger.SOFTWARE)
        assert instrument.is_armed()


@over(WAVEFORM_GENERATORS)
@settings(max_examples=40, deadline=None)
@given(fraction=OUTSIDE, index=st.integers(min_value=0, max_value=SAMPLES - 1))
def test_load_refuses_and_names_the_sample_when_any_one_is_outside_the_limits(
    make: Callable[[], WaveformGenerator], fraction: float, index: int
) -> None:
    with make() as generator, np.errstate(over="ignore"):
        volts = spoilt(generator, at(generator.limits.volts, fraction), index)
        called = TestWaveformGeneratorContract().watch(generator)
        with pytest.raises(LimitError, match=rf"waveform of channel 0\[{index}\]"):
            generator.load(0, volts)
        assert called == []


@over(WAVEFORM_GENERATORS)
def test_generator_can_be_loaded_again_when_its_play_was_said_to_be_over(
    make: Callable[[], WaveformGenerator],
) -> None:
    with make() as generator:
        generator.load(0, np.zeros(64, dtype=np.float32))
        generator.set_output(0, True)
        generator.arm(Trigger.EXTERNAL)
        generator.finish()
        if not generator.reports_end:
            generator.load(0, np.zeros(64, dtype=np.float32))
        assert generator.is_armed() is generator.reports_end

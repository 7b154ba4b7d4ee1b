"""What every digitiser must do."""

import math
import threading
from collections.abc import Callable
from dataclasses import replace as changed
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings

from drivers.errors import InstrumentError, LimitError, ReadbackError, TraceError
from drivers.instruments import Digitiser, Recording, Trace, Trigger
from tests.contract.instruments.common import (
    OUTSIDE,
    InstrumentContract,
    Setting,
    at,
    over,
    replace,
)
from tests.contract.instruments.implementations import DIGITISERS

SAMPLES = 256


def configure(digitiser: Digitiser, fraction: float = 0.5) -> None:
    digitiser.configure(
        at(digitiser.limits.sample_rate_hz, fraction), SAMPLES, at(digitiser.limits.range_v, 0.5)
    )


def arm(digitiser: Digitiser) -> None:
    configure(digitiser)
    digitiser.arm(Trigger.EXTERNAL)


def record(digitiser: Digitiser) -> Trace:
    configure(digitiser)
    digitiser.arm(Trigger.IMMEDIATE)
    digitiser.wait(10.0)
    return digitiser.fetch()


class InterruptingClock:
    """A clock on which every sleep lets another thread act; it must not find the lock taken."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action = action
        self.time_s = 0.0
        self.blocked = False

    def now(self) -> float:
        return self.time_s

    def sleep(self, duration_s: float) -> None:
        self.time_s += duration_s
        thread = threading.Thread(target=self.action, daemon=True)
        thread.start()
        thread.join(timeout=5)
        self.blocked = self.blocked or thread.is_alive()


class TestDigitiserContract(InstrumentContract):
    kind = Digitiser
    implementations = DIGITISERS
    sets: ClassVar = {
        "configure": Setting(
            call=lambda i: configure(i, 0.75), vendor="_configure", prepare=configure
        ),
        "arm": Setting(
            call=lambda i: i.arm(Trigger.EXTERNAL),
            vendor="_arm",
            prepare=configure,
            reads_back=False,
        ),
        "abort": Setting(call=lambda i: i.abort(), vendor="_abort", prepare=arm),
    }
    queries: ClassVar = {
        "settings": lambda i: i.settings(),
        "is_done": lambda i: i.is_done(),
        "wait": lambda i: i.wait(1.0),
        "fetch": lambda i: i.fetch(),
    }
    refused: ClassVar = {
        "rate above": lambda i: i.configure(
            i.limits.sample_rate_hz.highest * 1.001, SAMPLES, at(i.limits.range_v, 0.5)
        ),
        "rate NaN": lambda i: i.configure(math.nan, SAMPLES, at(i.limits.range_v, 0.5)),
        "range above": lambda i: i.configure(
            at(i.limits.sample_rate_hz, 0.5), SAMPLES, i.limits.range_v.highest * 1.001
        ),
        "range below": lambda i: i.configure(
            at(i.limits.sample_rate_hz, 0.5), SAMPLES, i.limits.range_v.lowest * 0.999
        ),
        "range NaN": lambda i: i.configure(at(i.limits.sample_rate_hz, 0.5), SAMPLES, math.nan),
        "no samples": lambda i: i.configure(
            at(i.limits.sample_rate_hz, 0.5), 0, at(i.limits.range_v, 0.5)
        ),
        "too many samples": lambda i: i.configure(
            at(i.limits.sample_rate_hz, 0.5), i.limits.samples + 1, at(i.limits.range_v, 0.5)
        ),
        "timeout NaN": lambda i: i.wait(math.nan),
        "timeout infinite": lambda i: i.wait(math.inf),
        "timeout negative": lambda i: i.wait(-1.0),
    }
    rivals: ClassVar = (lambda i: configure(i, 0.5), lambda i: configure(i, 0.75))

    def activate(self, instrument: Digitiser) -> None:
        arm(instrument)

    def state(self, instrument: Digitiser) -> object:
        return instrument._get_settings(), instrument.is_safe()

    def test_settings_are_as_asked_or_roomier_when_configured(self, instrument: Digitiser) -> None:
        rate_hz = at(instrument.limits.sample_rate_hz, 0.5)
        range_v = at(instrument.limits.range_v, 0.5)
        applied = instrument.configure(rate_hz, SAMPLES, range_v)
        assert applied == instrument.settings()
        assert applied.samples == SAMPLES
        assert applied.sample_rate_hz == pytest.approx(rate_hz, rel=1e-6)
        assert applied.range_v >= range_v * (1 - 1e-6)

    def test_trace_has_what_was_configured_when_recorded_at_once(
        self, instrument: Digitiser
    ) -> None:
        before_s = instrument._clock.now()
        trace = record(instrument)
        applied = instrument.settings()
        assert trace.volts.shape == (instrument.limits.channels, SAMPLES)
        assert trace.volts.dtype == np.float32
        assert trace.sample_rate_hz == applied.sample_rate_hz
        assert trace.range_v == applied.range_v
        assert 0 < trace.step_v <= applied.range_v
        assert 0 <= trace.clipped <= trace.volts.size
        assert before_s <= trace.time_s <= instrument._clock.now()
        assert trace.instrument == instrument.identity.text
        assert trace.simulated is instrument.simulated
        assert instrument.is_safe()

    def test_trace_cannot_be_written_to_when_fetched(self, instrument: Digitiser) -> None:
        trace = record(instrument)
        with pytest.raises(ValueError, match="read-only"):
            trace.volts[0, 0] = 1.0

    def test_each_arm_gives_one_record_when_fetched_twice(self, instrument: Digitiser) -> None:
        first = record(instrument)
        with pytest.raises(InstrumentError, match=r"arm\(\) it"):
            instrument.fetch()
        instrument._clock.sleep(0.01)
        second = record(instrument)
        assert second.time_s >= first.time_s + 0.01 * (1 - 1e-9)

    def test_trace_keeps_the_time_of_its_end_when_fetched_later(
        self, instrument: Digitiser
    ) -> None:
        configure(instrument)
        instrument.arm(Trigger.IMMEDIATE)
        instrument.wait(10.0)
        done_s = instrument._clock.now()
        instrument._clock.sleep(0.01)
        assert instrument.is_done()
        assert instrument.fetch().time_s <= done_s

    def test_arm_is_refused_when_not_configured(self, instrument: Digitiser) -> None:
        called = self.watch(instrument)
        with pytest.raises(InstrumentError, match=r"configure\(\) it first"):
            instrument.arm(Trigger.IMMEDIATE)
        assert called == []

    def test_settings_are_refused_when_not_configured(self, instrument: Digitiser) -> None:
        with pytest.raises(InstrumentError, match=r"configure\(\) it first"):
            instrument.settings()

    @pytest.mark.parametrize(
        "call",
        [configure, lambda i: i.arm(Trigger.IMMEDIATE)],
        ids=["configure", "arm"],
    )
    def test_change_is_refused_and_it_stays_armed_when_armed(
        self, instrument: Digitiser, call: Callable[[Any], object]
    ) -> None:
        arm(instrument)
        called = self.watch(instrument)
        with pytest.raises(InstrumentError, match=r"abort\(\) first"):
            call(instrument)
        assert called == []
        assert not instrument.is_safe()

    def test_arm_is_allowed_when_aborted(self, instrument: Digitiser) -> None:
        arm(instrument)
        instrument.abort()
        assert instrument.is_safe()
        instrument.arm(Trigger.EXTERNAL)
        assert not instrument.is_safe()

    def test_arm_is_allowed_when_made_safe(self, instrument: Digitiser) -> None:
        arm(instrument)
        instrument.make_safe()
        instrument.arm(Trigger.EXTERNAL)
        assert not instrument.is_safe()

    @pytest.mark.parametrize(
        "call",
        [lambda i: i.fetch(), lambda i: i.is_done(), lambda i: i.wait(1.0)],
        ids=["fetch", "is_done", "wait"],
    )
    def test_record_is_refused_when_not_armed(
        self, instrument: Digitiser, call: Callable[[Any], object]
    ) -> None:
        configure(instrument)
        with pytest.raises(InstrumentError, match="not armed"):
            call(instrument)

    def test_fetch_is_refused_when_not_done(self, instrument: Digitiser) -> None:
        arm(instrument)
        called = self.watch(instrument)
        assert not instrument.is_done()
        with pytest.raises(InstrumentError, match=r"wait\(\) for it"):
            instrument.fetch()
        assert "_fetch" not in called

    def test_wait_gives_up_and_it_can_be_aborted_when_the_deadline_passes(
        self, instrument: Digitiser
    ) -> None:
        arm(instrument)
        before_s = instrument._clock.now()
        with pytest.raises(InstrumentError, match=r"end of the record .* within 0\.5 s"):
            instrument.wait(0.5)
        assert instrument._clock.now() - before_s >= 0.5 * (1 - 1e-9)
        instrument.abort()
        record(instrument)

    def test_wait_looks_once_when_the_timeout_is_zero(self, instrument: Digitiser) -> None:
        arm(instrument)
        answers = iter((True,))
        replace(instrument, "_is_done", lambda: next(answers))
        instrument.wait(0.0)
        assert list(answers) == []

    @pytest.mark.parametrize("method", ["abort", "make_safe", "close"])
    def test_wait_lets_another_thread_in_when_it_must_stop(
        self, instrument: Digitiser, method: str
    ) -> None:
        arm(instrument)
        clock = InterruptingClock(getattr(instrument, method))
        vars(instrument)["_clock"] = clock
        with pytest.raises(InstrumentError, match=r"not armed|closed"):
            instrument.wait(1.0)
        assert not clock.blocked

    @pytest.mark.parametrize(
        ("shape", "value"),
        [((0, -1), 0.0), ((1, 0), 0.0), ((0, 0), math.nan), ((0, 0), math.inf)],
        ids=["short", "another channel", "NaN", "infinite"],
    )
    def test_fetch_rejects_the_record_and_forgets_it_when_it_is_not_right(
        self, instrument: Digitiser, shape: tuple[int, int], value: float
    ) -> None:
        configure(instrument)
        instrument.arm(Trigger.IMMEDIATE)
        instrument.wait(10.0)
        volts = np.zeros((instrument.limits.channels + shape[0], SAMPLES + shape[1]), np.float32)
        volts[-1, -1] = value
        original = instrument._fetch
        bad = Recording(volts=volts, step_v=1e-3, clipped=0)
        replace(instrument, "_fetch", lambda: bad)
        with pytest.raises(TraceError, match="discard it"):
            instrument.fetch()
        replace(instrument, "_fetch", original)
        with pytest.raises(InstrumentError, match="not armed"):
            instrument.fetch()
        record(instrument)

    @pytest.mark.parametrize(
        "change",
        [{"sample_rate_hz": 1.001}, {"range_v": 0.99}, {"range_v": math.nan}],
        ids=["rate", "smaller range", "NaN range"],
    )
    def test_configure_is_found_out_when_another_setting_is_applied(
        self, instrument: Digitiser, change: dict[str, float]
    ) -> None:
        configure(instrument)
        good = instrument.settings()
        factors = {name: getattr(good, name) * factor for name, factor in change.items()}
        wrong = changed(good, **factors)
        replace(instrument, "_get_settings", lambda: wrong)
        with pytest.raises(ReadbackError, match="reads back as"):
            configure(instrument)
        with pytest.raises(InstrumentError, match="not configured"):
            instrument.settings()

    def test_configure_gives_the_range_applied_when_it_is_larger(
        self, instrument: Digitiser
    ) -> None:
        configure(instrument)
        larger = changed(instrument.settings(), range_v=2 * instrument.settings().range_v)
        replace(instrument, "_get_settings", lambda: larger)
        configure(instrument)
        assert instrument.settings() == larger


@over(DIGITISERS)
@settings(max_examples=25, deadline=None)
@given(fraction=OUTSIDE)
def test_range_is_refused_when_anywhere_outside_the_limits(
    make: Callable[[], Digitiser], fraction: float
) -> None:
    with make() as digitiser:
        called = TestDigitiserContract().watch(digitiser)
        rate_hz = at(digitiser.limits.sample_rate_hz, 0.5)
        with pytest.raises(LimitError):
            digitiser.configure(rate_hz, SAMPLES, at(digitiser.limits.range_v, fraction))
        assert called == []

"""Shots through the scene: the beat, the noise, the trigger line and who records what."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import InstrumentError
from drivers.instruments import Trigger
from tests.unit.sim_backend.instruments.simulated_helpers import (
    QUIET,
    RATE_HZ,
    edge,
    lit_rig,
    quiet_bench,
    rig,
    step_waveform,
)

PHOTON_J = 6.62607015e-34 * 299792458 / 1550e-9
CHARGE_C = 1.602176634e-19
DETECTOR = QUIET.client_detector
GAIN_V_PER_ELECTRON = DETECTOR.transimpedance_v_per_a * CHARGE_C


def _shot_noise_v2(oscillator_w: float) -> float:
    """Variance per sample: (R q)^2 eta P/(h nu) times the sample rate, in V^2."""
    electrons = DETECTOR.efficiency * oscillator_w / PHOTON_J
    return float(GAIN_V_PER_ELECTRON**2 * electrons * RATE_HZ)


def _dark_noise_v2(range_v: float) -> float:
    """Electronic noise, dark current and quantisation, in V^2."""
    electronic = DETECTOR.electronic_noise_v_per_sqrt_hz**2 * RATE_HZ / 2
    dark = GAIN_V_PER_ELECTRON**2 * DETECTOR.dark_current_a / CHARGE_C * RATE_HZ
    step_v = 2 * range_v / 2**QUIET.client_adc.bits
    return float(electronic + dark + step_v**2 / 12)


def _beat(volts: NDArray[np.float64], beat_hz: float) -> complex:
    """Complex amplitude in V of the beat in a whole number of its cycles."""
    phase = 2j * math.pi * beat_hz / RATE_HZ * np.arange(volts.size)
    return complex(2 * np.mean(volts * np.exp(phase)))


@pytest.mark.parametrize("beat_hz", [100e6, 200e6])
def test_shot_gives_the_beat_of_light_and_oscillator_when_driven_to_peak(beat_hz: float) -> None:
    with lit_rig(beat_hz=beat_hz) as ready:
        ready.load(np.full(10000, 3.5, dtype=np.float32))
        volts = ready.shoot(8000)[0].volts[0].astype(np.float64)
        bright = 10 ** (-(QUIET.weight_modulator.insertion_loss_db + 31.0) / 10) * 0.99
        path_db = QUIET.forward_fibre.connector_loss_db + 0.3 + 0.5 + 10 * math.log10(2)
        signal_w = 10e-3 * bright * 10 ** (-path_db / 10)
    oscillator_w = 5e-3 * 10**-0.4
    flux = math.sqrt(signal_w * oscillator_w) / PHOTON_J
    expected_v = 2 * DETECTOR.efficiency * DETECTOR.mode_match * flux * GAIN_V_PER_ELECTRON
    amplitude_v = abs(_beat(volts[4000:8000], beat_hz))
    # Noise of the estimate: sqrt(4/4000) of 15 mV, 0.4 % of the 0.12 V.
    assert amplitude_v == pytest.approx(expected_v, rel=0.03)


def test_record_holds_electronic_noise_only_when_dark() -> None:
    with rig(quiet_bench()) as ready:
        volts = ready.record(200_000, range_v=0.1)
    # Relative error sqrt(2/n) = 0.32 %: 2.1 % is 6.6 sigma, probability 4e-11.
    assert np.var(volts, dtype=np.float64) == pytest.approx(_dark_noise_v2(0.1), rel=0.021)


def test_shot_noise_grows_linearly_when_the_oscillator_power_does() -> None:
    with rig(quiet_bench()) as ready:
        ready.light(10e-3, 1e-3, 100.0)
        ready.attenuator.make_safe()
        for setpoint_w in (1e-3, 2e-3, 4e-3, 8e-3):
            ready.oscillator.set_power(setpoint_w)
            ready.oscillator.wait_settled(10.0)
            volts = ready.record(200_000, range_v=0.5)
            at_detector_w = setpoint_w * 10**-0.4
            expected = _shot_noise_v2(at_detector_w) + _dark_noise_v2(0.5)
            # 6.6 sigma, as above, and 0.1 % for the power that is still settling.
            assert np.var(volts, dtype=np.float64) == pytest.approx(expected, rel=0.022)


def test_waveform_begins_after_its_delay_when_triggered() -> None:
    with lit_rig() as ready:
        early = edge(ready.shoot(8000)[0])
        late = edge(ready.shoot(9000, delay_s=500 / RATE_HZ)[0])
        assert early == 4000
        assert late - early == 500


def test_trigger_reaches_all_that_wait_and_no_one_else() -> None:
    with lit_rig() as ready:
        ready.return_digitiser.configure(RATE_HZ, 8000, 2.0)
        client = ready.shoot(8000)[0]
        with pytest.raises(InstrumentError, match="not armed"):
            ready.return_digitiser.is_done()
        both = ready.shoot(8000, digitisers=[ready.tap_digitiser, ready.return_digitiser])
        assert edge(client) == edge(both[0]) == edge(both[1]) == 4000
        assert not np.array_equal(both[0].volts, both[1].volts)


def test_external_generator_plays_in_the_same_shot_when_armed() -> None:
    with lit_rig(beat_hz=200e6) as ready:
        ready.load(np.full(8000, 3.5, dtype=np.float32))
        # The data drive turns the oscillator's sign from sample 4000 on: so does the beat.
        turned = np.zeros(8000, dtype=np.float32)
        turned[4000:] = -2 * QUIET.data_modulator.half_wave_v / 1.4
        ready.data_generator.set_sample_rate(RATE_HZ)
        ready.data_generator.load(0, turned)
        ready.data_generator.set_output(0, True)
        unarmed = ready.shoot(8000)[0].volts[0].astype(np.float64)
        ready.data_generator.arm(Trigger.EXTERNAL)
        assert ready.data_generator.is_armed()
        armed = ready.shoot(8000)[0].volts[0].astype(np.float64)
        assert not ready.data_generator.is_armed()
    # sin of (pi/2)(1 - 2/1.4): the beat falls to -0.62 of what it was.
    kept = math.sin(math.pi / 2 * (1 - 2 / 1.4))
    for volts, ratio in ((unarmed, 1.0), (armed, kept)):
        before, after = (_beat(volts[start : start + 3000], 200e6) for start in (600, 4600))
        assert after / before == pytest.approx(ratio, abs=0.03)


def test_generator_is_the_same_device_when_it_is_made_again() -> None:
    with lit_rig() as ready:
        with pytest.raises(InstrumentError, match="not armed"):
            ready.weight_generator.trigger()
        ready.weight_generator.close()
        again = ready.bench.waveform_generator("server", "weight_generator")
        with again, ready.bench.digitiser("client", "tap_digitiser") as digitiser:
            again.load(0, step_waveform(4000, 4000))
            again.set_output(0, True)
            again.arm(Trigger.SOFTWARE)
            digitiser.configure(RATE_HZ, 8000, 2.0)
            digitiser.arm(Trigger.EXTERNAL)
            again.trigger()
            assert edge(digitiser.fetch()) == 4000


def test_output_rests_at_its_idle_level_when_it_does_not_play() -> None:
    with lit_rig() as ready:
        ready.weight_generator.set_idle(0, 3.5)
        idle = ready.record(4000)
        assert ready.bench.scene.idle_power_w("launch") > 1e-6
        ready.weight_generator.set_output(0, False)
        off = ready.record(4000)
        assert ready.bench.scene.idle_power_w("launch") < 1e-9
    assert np.mean(np.abs(idle)) > 5 * np.mean(np.abs(off))


def test_output_that_is_off_plays_nothing_when_triggered() -> None:
    with lit_rig() as ready:
        bright = ready.shoot(8000)[0].volts[0]
        ready.weight_generator.set_output(0, False)
        dark = ready.shoot(8000)[0].volts[0]
    assert np.std(dark[4000:]) < 0.2 * abs(np.mean(bright[4500:]))


def test_clock_moves_by_the_play_and_not_by_waiting_when_triggered() -> None:
    with lit_rig() as ready:
        ready.load(np.zeros(800_000, dtype=np.float32))
        ready.weight_generator.arm(Trigger.SOFTWARE, 2e-3)
        start_s = ready.bench.clock.now()
        ready.weight_generator.trigger()
        # One message to see that it is armed, one to trigger.
        assert ready.bench.clock.now() - start_s == pytest.approx(2e-3 + 2e-3 + 1e-3)


def test_clock_moves_by_the_play_when_the_record_is_shorter() -> None:
    with lit_rig() as ready:
        ready.load(np.zeros(8_000_000, dtype=np.float32))
        ready.weight_generator.arm(Trigger.SOFTWARE)
        ready.tap_digitiser.configure(RATE_HZ, 1000, 1.0)
        ready.tap_digitiser.arm(Trigger.EXTERNAL)
        start_s = ready.bench.clock.now()
        ready.weight_generator.trigger()
        assert ready.bench.clock.now() - start_s == pytest.approx(2e-3 + 10e-3)


def test_uploads_and_downloads_take_their_time_when_long() -> None:
    with rig(quiet_bench()) as ready:
        clock = ready.bench.clock
        start_s = clock.now()
        ready.weight_generator.load(0, np.zeros(2_500_000, dtype=np.float32))
        # One message to see that it is not armed, then 2.5 million samples at 250 MS/s.
        assert clock.now() - start_s == pytest.approx(1e-3 + 10e-3)
        ready.tap_digitiser.configure(RATE_HZ, 2_000_000, 1.0)
        ready.tap_digitiser.arm(Trigger.IMMEDIATE)
        start_s = clock.now()
        ready.tap_digitiser.fetch()
        # One message to see that it is done, then 2 million samples at 500 MS/s.
        assert clock.now() - start_s == pytest.approx(1e-3 + 4e-3)


def test_digitiser_records_nothing_when_no_trigger_comes() -> None:
    with lit_rig() as ready:
        ready.tap_digitiser.configure(RATE_HZ, 1000, 1.0)
        ready.tap_digitiser.arm(Trigger.EXTERNAL)
        with pytest.raises(InstrumentError, match=r"within 0\.5 s"):
            ready.tap_digitiser.wait(0.5)
        ready.tap_digitiser.abort()


def test_immediate_record_leaves_those_that_wait_for_the_trigger_alone() -> None:
    with lit_rig() as ready:
        ready.return_digitiser.configure(RATE_HZ, 1000, 1.0)
        ready.return_digitiser.arm(Trigger.EXTERNAL)
        ready.weight_generator.arm(Trigger.SOFTWARE)
        ready.record(1000)
        assert not ready.return_digitiser.is_done()
        assert ready.weight_generator.is_armed()


def test_trace_tells_that_it_is_simulated_and_who_made_it_when_fetched() -> None:
    with lit_rig() as ready:
        trace = ready.shoot(8000, range_v=0.0201)[0]
    assert trace.simulated
    assert trace.instrument == "veilight simulated digitiser client-tap_digitiser-11 1.0"
    assert trace.range_v == pytest.approx(0.021)


def test_rates_are_rounded_to_a_hundredth_hertz_when_set() -> None:
    with rig(quiet_bench()) as ready:
        ready.weight_generator.set_sample_rate(123456789.123456)
        assert ready.weight_generator.sample_rate_hz() == pytest.approx(123456789.12, abs=1e-6)
        applied = ready.tap_digitiser.configure(123456789.123456, 100, 0.1234567)
        assert applied.sample_rate_hz == pytest.approx(123456789.12, abs=1e-6)
        assert applied.range_v == pytest.approx(0.124)


def test_converter_clock_offset_shows_in_the_record_when_the_scene_has_one() -> None:
    offset = replace(QUIET, client_adc=replace(QUIET.client_adc, clock_offset_ppm=1000.0))
    with lit_rig(settings=offset) as ready:
        assert edge(ready.shoot(8000)[0]) == 4004

"""Tones and bursts: photons of a pilot, the frequency of a beat, slots on another clock."""

import numpy as np
import pytest

from calibration.routines._bursts import OPENING, light_up, play_levels, read
from calibration.routines._stage import PARTIES, photons_of_level
from calibration.routines._tones import beat_power, tone
from drivers.errors import CalibrationError
from drivers.optics.burst import BurstLayout
from sim_backend.scene import truth
from tests.unit.calibration.routines.lit_bench import lit_bench, routine
from tests.waveform_calibration import CalibrationBench


@pytest.fixture(scope="module")
def bench() -> CalibrationBench:
    return lit_bench(after=("polarisation", "delay"))


def test_light_up_gives_pilots_their_photons_when_the_meter_is_one_percent_high(
    bench: CalibrationBench,
) -> None:
    context = bench.context(routine("quadratures"), {"pilot_photons": 1500.0})
    stage, launch = light_up(context)
    pilot = photons_of_level(OPENING, launch.full_photons, stage.format)
    # The attenuator is set in hundredths of a decibel.
    assert pilot == pytest.approx(1500.0, rel=2e-3)
    peak = OPENING * stage.format.pulse.taps / stage.format.pulse.peak
    v_pi_v = bench.scene.settings.weight_modulator.half_wave_v
    volts = (2 / np.pi * v_pi_v * np.arcsin(peak)).astype(np.float32)
    true = truth.photons_per_slot(
        bench.scene, volts, rate_hz=stage.format.sample_rate_hz, samples_per_slot=8
    )
    assert float(true[0]) * 1.01 == pytest.approx(pilot, rel=5e-3)
    bench.access.switch_off()


def test_tone_has_the_frequency_of_the_beat_when_light_is_steady(bench: CalibrationBench) -> None:
    """Linewidths of 10 kHz over 40 us leave 9 kHz: 100 kHz are eleven standard deviations."""
    stage, _ = light_up(bench.context(routine("quadratures")))
    for party in PARTIES:
        seen = tone(stage, party, 4096)
        slope = np.polyfit(np.arange(4096) * seen.interval_s, seen.phase_rad, 1)[0]
        found_hz = seen.frequency_hz + slope / (2 * np.pi)
        assert found_hz == pytest.approx(truth.beat_frequency_hz(bench.scene, party), abs=100e3)
    bench.access.switch_off()


def test_tone_is_refused_when_the_launch_is_dark(bench: CalibrationBench) -> None:
    stage, _ = light_up(bench.context(routine("quadratures")))
    stage.launch(None)
    with pytest.raises(CalibrationError, match="no beat of light and oscillator"):
        tone(stage, "client", 4096)
    bench.access.switch_off()


def test_beat_power_is_noise_when_the_modulator_is_closed(bench: CalibrationBench) -> None:
    stage, _ = light_up(bench.context(routine("quadratures")))
    lit = beat_power(stage, "client", 2048).mean()
    dark = beat_power(stage, "client", 2048, light=False).mean()
    noise_v2 = bench.results["shot_noise"]["client_shot_v2"].value
    noise_v2 += bench.results["electronic_noise"]["client_electronic_v2"].value
    # Half a cycle per slot of eight samples is an eighth of the band up to half the sample rate.
    assert dark == pytest.approx(noise_v2 / 8, rel=0.25)
    assert lit > 100 * dark
    bench.access.switch_off()


def test_play_levels_puts_the_levels_on_the_slots_when_the_delay_is_calibrated(
    bench: CalibrationBench,
) -> None:
    """Slots at level 0 hold electronic noise alone: their neighbours' pulses do not reach in."""
    context = bench.context(routine("predistortion"))
    stage, _ = light_up(context)
    layout = BurstLayout(format=stage.format, data_symbols=1024)
    levels = np.tile([1.0, 0.0, 0.5, 0.0], 256)
    delay = bench.results["delay"]
    arrival_s = delay["forward_delay_s"].value
    volts = play_levels(
        stage,
        layout,
        np.full(1024, OPENING),
        levels,
        clock_offset=delay["client_clock_offset"].value,
        delay_s=arrival_s - delay["oscillator_delay_s"].value,
        arrival_s=arrival_s,
    )
    found = read(
        stage,
        "client",
        volts,
        layout,
        electronic_v2=bench.results["electronic_noise"]["client_electronic_v2"].value,
        levels=levels,
        arrival_s=arrival_s,
    )
    means = found.data.real.reshape(256, 4).mean(axis=0)
    assert means[0] == pytest.approx(found.pilot_amplitude, rel=0.03)
    assert means[2] / means[0] == pytest.approx(0.5, abs=0.02)
    assert abs(means[[1, 3]]).max() < 0.03 * means[0]
    bench.access.switch_off()

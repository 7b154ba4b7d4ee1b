"""Electronic noise, digitisers, shot noise and detectors on simulated benches, and their refusals.

Values are compared within 6 of their own standard uncertainties: a chance of 2e-9 each, the seed
fixed.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from calibration.result import Quantity, Result, Setting
from calibration.routines import all_routines
from calibration.routines._stage import PARTIES, Party, Stage
from drivers.errors import CalibrationError
from drivers.instruments import Instrument, Trace
from sim_backend.scene import truth
from sim_backend.scene.converters import AdcSettings
from sim_backend.scene.detectors import BalancedDetectorSettings, PowerHeadSettings
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.waveform_calibration import CalibrationBench, open_calibration_bench

SAMPLES = 1 << 16
RATE_HZ = 800e6
CONVERTER_V2 = (2 / 2**10.5) ** 2 / 12


def run(bench: CalibrationBench, name: str, settings: dict[str, Setting] | None = None) -> Result:
    routine = all_routines(shared_oscillators=bench.scene.settings.oscillators == "shared").get(
        name
    )
    given = dict(settings or {})
    if "samples" in routine.defaults:
        given["samples"] = SAMPLES
    return bench.run(routine, given)


def detectors(unit: BalancedDetectorSettings) -> ReferenceSettings:
    return ReferenceSettings(client_detector=unit, server_detector=unit)


def digitisers(unit: AdcSettings, **detector: float) -> ReferenceSettings:
    found = replace(BalancedDetectorSettings(), **detector)  # type: ignore[arg-type]
    return replace(detectors(found), client_adc=unit, server_adc=unit)


def assert_near(found: Quantity, expected: float) -> None:
    assert abs(found.value - expected) < 6 * found.uncertainty
    assert found.uncertainty < 0.1 * abs(expected)


@pytest.fixture(scope="module")
def measured() -> CalibrationBench:
    """The default bench after all five routines."""
    bench = open_calibration_bench(seed=11)
    for name in ("electronic_noise", "digitiser", "modulators", "shot_noise", "detector"):
        run(bench, name)
    return bench


def oscillator_w(bench: CalibrationBench, party: Party) -> float:
    settings = bench.scene.settings
    if party == "server":
        return settings.server_oscillator_laser.power_w
    loss = 10 ** (-settings.data_modulator.insertion_loss_db / 10)
    return settings.client_oscillator_laser.power_w * loss


@pytest.mark.parametrize("party", PARTIES)
def test_electronic_noise_is_the_scenes_when_dark(measured: CalibrationBench, party: Party) -> None:
    found = measured.results["electronic_noise"]
    expected = truth.electronic_variance_v2(measured.scene, party, rate_hz=RATE_HZ) + CONVERTER_V2
    assert_near(found[f"{party}_electronic_v2"], expected)
    assert found.goodness is not None
    assert found.goodness.p_value > 1e-6


def test_electronic_noise_fits_badly_when_noise_comes_and_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = Stage.record

    def gusty(self: Stage, party: Party, samples: int, *, range_v: float | None = None) -> Trace:
        trace = original(self, party, samples, range_v=range_v)
        volts = trace.volts.copy()
        volts[:, : samples // 4] *= np.float32(1.2)
        return replace(trace, volts=volts)

    monkeypatch.setattr(Stage, "record", gusty)
    found = run(open_calibration_bench(), "electronic_noise")
    assert found.goodness is not None
    assert found.goodness.p_value < 1e-9


@pytest.mark.parametrize("party", PARTIES)
def test_digitiser_finds_bits_offset_and_range_when_dark(party: Party) -> None:
    bench = open_calibration_bench(
        digitisers(AdcSettings(bits=11, effective_bits=9.3, offset_v=3e-3))
    )
    found = run(bench, "digitiser", {"client_range_v": 0.3004, "server_range_v": 0.3004})
    assert_near(found[f"{party}_effective_bits"], 9.3)
    assert_near(found[f"{party}_offset_v"], 3e-3)
    # The range is set in steps of 1 mV, and rounded up.
    assert found[f"{party}_range_v"].value == pytest.approx(0.301)


def test_digitiser_leaves_wide_ranges_out_when_noise_is_below_a_code() -> None:
    bench = open_calibration_bench(digitisers(AdcSettings(bits=12, effective_bits=None)))
    found = run(bench, "digitiser", {"ranges": 16})
    assert_near(found["client_effective_bits"], 12.0)
    points = found.fit_data[0].x.values
    assert len(points) < 16
    # 0.5 mV of noise are 0.65 codes of 2 R/4096 up to 1.6 V.
    assert points.max() < 1.8


def test_digitiser_widens_the_offset_when_noise_is_below_a_code() -> None:
    coarse = digitisers(AdcSettings(bits=9, effective_bits=None, offset_v=0.6e-3))
    found = run(open_calibration_bench(coarse), "digitiser", {"ranges": 40})["client_offset_v"]
    # A code is 3.9 mV wide: the record shows 0 V only.
    assert found.value == pytest.approx(0.0, abs=2e-4)
    assert found.interval95[0] < -1.9e-3
    assert found.interval95[1] > 1.9e-3


def test_digitiser_refuses_when_no_range_shows_noise() -> None:
    quiet = digitisers(
        AdcSettings(bits=8, effective_bits=None), electronic_noise_v_per_sqrt_hz=1e-10
    )
    with pytest.raises(CalibrationError, match="tap_digitiser: only 0 ranges have noise"):
        run(open_calibration_bench(quiet), "digitiser")


@pytest.mark.parametrize("party", PARTIES)
def test_shot_noise_is_the_scenes_when_the_oscillator_is_swept(
    measured: CalibrationBench, party: Party
) -> None:
    found, power_w = measured.results["shot_noise"], oscillator_w(measured, party)
    shot = truth.shot_variance_v2(
        measured.scene, party, oscillator_power_w=power_w, rate_hz=RATE_HZ
    )
    dark = truth.electronic_variance_v2(measured.scene, party, rate_hz=RATE_HZ) + CONVERTER_V2
    assert_near(found[f"{party}_shot_v2"], shot)
    assert_near(found[f"{party}_clearance_db"], 10 * math.log10(shot / dark))
    assert_near(found[f"{party}_oscillator_w"], power_w)
    assert abs(found[f"{party}_linearity"].value) < 6 * found[f"{party}_linearity"].uncertainty
    assert found[f"{party}_linearity"].uncertainty < 0.05


def test_shot_noise_sees_intensity_noise_when_the_detector_does_not_balance() -> None:
    unit = BalancedDetectorSettings(common_mode_rejection_db=25.0, saturation_current_a=1.0)
    base = detectors(unit)
    noisy = replace(base.client_oscillator_laser, intensity_noise_db_per_hz=-135.0)
    bench = open_calibration_bench(replace(base, client_oscillator_laser=noisy))
    run(bench, "modulators")
    found = run(bench, "shot_noise", {"client_range_v": 4.0, "server_range_v": 4.0})
    flux = oscillator_w(bench, "client") / (6.62607015e-34 * 299792458.0 / 1550e-9)
    expected = 10 ** (-25 / 10) * 0.85 * flux * 10**-13.5 / 2
    quantity = found["client_linearity"]
    assert abs(quantity.value - expected) < 6 * quantity.uncertainty
    assert quantity.value > 6 * quantity.uncertainty


def test_shot_noise_refuses_when_the_oscillator_does_not_arrive() -> None:
    base = ReferenceSettings()
    blocked = replace(base.data_modulator, insertion_loss_db=60.0)
    bench = open_calibration_bench(replace(base, data_modulator=blocked))
    bench.results["modulators"] = run(open_calibration_bench(), "modulators")
    with pytest.raises(CalibrationError, match=r"client: .*check that the oscillator reaches"):
        run(bench, "shot_noise")


def test_shot_noise_refuses_when_the_detector_saturates() -> None:
    unit = BalancedDetectorSettings(saturation="hard", saturation_current_a=7e-6)
    bench = open_calibration_bench(detectors(unit))
    run(bench, "modulators")
    with pytest.raises(CalibrationError, match=r"does not follow .* if the detector saturates"):
        run(bench, "shot_noise")


def test_shot_noise_takes_the_meters_zero_when_it_has_an_offset() -> None:
    heads = {
        f"{party}.oscillator_power_meter": PowerHeadSettings(offset_w=3e-4, relative_error=0.0)
        for party in PARTIES
    }
    bench = open_calibration_bench(heads=heads)
    run(bench, "modulators")
    found = run(bench, "shot_noise", {"meter_uncertainty": 1e-3})
    for party in PARTIES:
        assert_near(found[f"{party}_oscillator_w"], oscillator_w(bench, party))


def test_shot_noise_sweeps_the_servers_laser_when_oscillators_are_shared() -> None:
    bench = open_calibration_bench(ReferenceSettings(oscillators="shared"))
    run(bench, "modulators")
    found = run(bench, "shot_noise")
    for party in PARTIES:
        powers = found.fit_data[2 * PARTIES.index(party)].x.values
        # Two dark records, then eighths of the full power from the highest down.
        assert powers[2:] / powers[2] == pytest.approx(np.arange(8, 0, -1) / 8, rel=2e-3)
        shot = truth.shot_variance_v2(
            bench.scene, party, oscillator_power_w=powers[2] / 1.01, rate_hz=RATE_HZ
        )
        assert_near(found[f"{party}_shot_v2"], shot)


@pytest.mark.parametrize("party", PARTIES)
def test_detector_finds_efficiency_and_rejection_when_the_data_sheet_is_right(
    measured: CalibrationBench, party: Party
) -> None:
    found = measured.results["detector"]
    assert_near(found[f"{party}_efficiency"], 0.85)
    assert_near(found[f"{party}_rejection_db"], 50.0)
    assert found.rests_on == {"shot_noise": measured.results["shot_noise"].id}


def test_detector_scales_with_the_data_sheet_when_its_gain_is_other(
    measured: CalibrationBench,
) -> None:
    usual = measured.results["detector"]
    routine = all_routines().get("detector")
    context = measured.context(routine, {"client_transimpedance_v_per_a": 2e4})
    found = routine.run(context)
    ratio = found["client_efficiency"].value / usual["client_efficiency"].value
    assert ratio == pytest.approx(1 / 4)
    shift = found["client_rejection_db"].value - usual["client_rejection_db"].value
    assert shift == pytest.approx(-20 * math.log10(2))


def test_detector_undoes_the_response_when_the_data_sheet_has_one(
    measured: CalibrationBench,
) -> None:
    usual = measured.results["detector"]
    context = measured.context(all_routines().get("detector"), {"server_response": 0.5})
    found = context.routine.run(context)
    assert found["server_efficiency"].value == pytest.approx(2 * usual["server_efficiency"].value)
    shift = found["server_rejection_db"].value - usual["server_rejection_db"].value
    assert shift == pytest.approx(20 * math.log10(2))


def test_detector_carries_the_data_sheets_uncertainty_when_it_is_large(
    measured: CalibrationBench,
) -> None:
    context = measured.context(all_routines().get("detector"), {"transimpedance_uncertainty": 0.1})
    found = context.routine.run(context)
    # Variance goes with the square of the gain; the meter's 2 % and the shot noise's 1 % are small.
    efficiency, rejection = found["client_efficiency"], found["client_rejection_db"]
    assert efficiency.uncertainty / efficiency.value == pytest.approx(0.2, rel=0.02)
    assert rejection.uncertainty == pytest.approx(0.1 * 20 / math.log(10), rel=0.02)


def test_detector_leaves_the_rejection_open_when_the_level_cannot_be_seen() -> None:
    bench = open_calibration_bench(
        detectors(BalancedDetectorSettings(common_mode_rejection_db=140.0))
    )
    run(bench, "modulators")
    run(bench, "shot_noise")
    found = run(bench, "detector")["client_rejection_db"]
    assert found.interval95[1] == math.inf
    # 10 uV of 21 V, the total current of both diodes times the transimpedance.
    assert 100 < found.value < 140


def test_detector_refuses_when_the_data_sheet_has_no_gain(measured: CalibrationBench) -> None:
    routine = all_routines().get("detector")
    context = measured.context(routine, {"server_transimpedance_v_per_a": 0.0})
    with pytest.raises(CalibrationError, match="server_transimpedance_v_per_a is 0"):
        routine.run(context)


def test_bench_is_safe_when_routines_have_run(measured: CalibrationBench) -> None:
    for instrument in measured.access.instruments.values():
        assert isinstance(instrument, Instrument)
        assert instrument.is_safe()

"""The sweeps of both modulators on simulated benches, and their refusals.

Values are compared within 8 of their own standard uncertainties, estimated from 8 sweeps: Student's
t with 7 degrees of freedom passes that with a chance of 9e-5, so the seeds are fixed and the
coverage is counted elsewhere.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from calibration.result import Result, Setting
from calibration.routines import all_routines
from drivers.errors import CalibrationError
from sim_backend.scene.detectors import PowerHeadSettings
from sim_backend.scene.modulators import MachZehnderSettings
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.waveform_calibration import CalibrationBench, open_calibration_bench

WEIGHT = MachZehnderSettings(half_wave_v=4.1, bias_half_wave_v=3.3, extinction_db=33.0, null_v=-1.4)
DATA = MachZehnderSettings(half_wave_v=2.9, bias_half_wave_v=5.6, extinction_db=27.0, null_v=1.1)
SETTINGS = ReferenceSettings(weight_modulator=WEIGHT, data_modulator=DATA)


def run(bench: CalibrationBench, settings: dict[str, Setting] | None = None) -> Result:
    return bench.run(all_routines().get("modulators"), settings)


@pytest.fixture(scope="module")
def bench() -> CalibrationBench:
    bench = open_calibration_bench(SETTINGS, seed=5)
    run(bench)
    return bench


@pytest.mark.parametrize(
    ("name", "unit"), [("weight", WEIGHT), ("data", DATA)], ids=["weight", "data"]
)
def test_modulators_finds_the_data_sheet_when_both_are_swept(
    bench: CalibrationBench, name: str, unit: MachZehnderSettings
) -> None:
    found = bench.results["modulators"]
    for quantity, expected in (
        (found[f"{name}_v_pi_v"], unit.half_wave_v),
        (found[f"{name}_bias_v_pi_v"], unit.bias_half_wave_v),
        (found[f"{name}_extinction_db"], unit.extinction_db),
    ):
        assert abs(quantity.value - expected) < 8 * quantity.uncertainty
        assert quantity.uncertainty < 5e-3 * expected
    # The null walks by 2 mV per root second; switching off takes less than one.
    assert found[f"{name}_null_v"].value == pytest.approx(unit.null_v, abs=0.1)


def test_modulators_draws_each_sweep_with_its_fit_when_done(bench: CalibrationBench) -> None:
    found = bench.results["modulators"]
    names = [data.name for data in found.fit_data]
    assert names == [
        f"{name}_{what}"
        for name in ("weight", "data")
        for what in ("bias_sweep", "drive_sweep", "null_scan")
    ]
    for data in found.fit_data:
        assert data.fitted is not None
        assert (np.diff(data.x.values) > 0).all()
        misfit = data.fitted.values - data.measured.values
        assert np.abs(misfit).max() < 0.02 * data.measured.values.max()


def test_modulators_takes_the_meters_zero_when_it_has_an_offset() -> None:
    # 50 nW stand for a leak of 40 uW at 29 dB.
    heads = {"server.launch_power_meter": PowerHeadSettings(offset_w=50e-9)}
    found = run(open_calibration_bench(heads=heads))["weight_extinction_db"]
    assert abs(found.value - 40.0) < 8 * found.uncertainty
    assert found.uncertainty < 0.2


def test_modulators_leaves_the_extinction_open_when_the_null_is_dark() -> None:
    base = ReferenceSettings()
    dark = replace(base.weight_modulator, extinction_db=110.0)
    found = run(open_calibration_bench(replace(base, weight_modulator=dark)))
    quantity = found["weight_extinction_db"]
    assert quantity.interval95[1] == math.inf
    assert 45 < quantity.value < 110


def test_modulators_refuses_when_no_light_reaches_the_monitor() -> None:
    bench = open_calibration_bench(ReferenceSettings(monitor_tap=0.0))
    with pytest.raises(CalibrationError):
        run(bench)


def test_modulators_refuses_when_sweeps_are_too_few_for_a_scatter() -> None:
    with pytest.raises(CalibrationError, match="sweeps is 3, 4 are needed"):
        run(open_calibration_bench(), {"sweeps": 3})


def test_modulators_keeps_the_attenuator_closed_when_it_sweeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = open_calibration_bench()
    seen = []
    original = type(bench.scene).idle_power_w

    def watched(self: object, point: str) -> float:
        seen.append(original(bench.scene, "launch"))
        return original(bench.scene, point)

    monkeypatch.setattr(type(bench.scene), "idle_power_w", watched)
    run(bench)
    # 10 mW behind 200 dB of attenuator and shutter.
    assert len(seen) > 1000
    assert max(seen) < 1e-20

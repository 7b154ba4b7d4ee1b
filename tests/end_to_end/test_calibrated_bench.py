"""All routines on one simulated bench, their values in the optics, and a block through those."""

import math
from dataclasses import dataclass, replace

import pytest
import torch

from calibration.bench_values import BenchValues, assemble_bench_values
from calibration.link import LinkCalibration, calibrate_link
from calibration.result import Setting
from calibration.routines import all_routines
from calibration.routines._bursts import light_up
from drivers.instruments import Attenuator, Digitiser, WaveformGenerator
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.bench_link import BenchLink, BenchLinkSettings
from drivers.optics.client_optics import ClientInstruments
from drivers.optics.server_optics import ServerInstruments
from drivers.receivers import PassiveTap
from sim_backend.scene import truth
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.waveform_calibration import CalibrationBench, open_calibration_bench

TAP = 0.4
MODES, ROWS, INPUTS = 64, 32, 128
SETTINGS: dict[str, dict[str, Setting]] = {
    "electronic_noise": {"samples": 1 << 20},
    "shot_noise": {"samples": 1 << 20},
    "photons": {"tap_fraction": TAP},
    "loss": {"tap_fraction": TAP},
}


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A bench after all routines, and two test patterns that went through its optics.

    The bright one shows the gains well; in it phase noise adds to the variances. The dim one shows
    the variances.
    """

    bench: CalibrationBench
    values: BenchValues
    link: BenchLink
    bright: LinkCalibration
    dim: LinkCalibration


@pytest.fixture(scope="module")
def calibrated() -> Calibrated:
    settings = ReferenceSettings(
        tap=TAP,
        forward_fibre=FibreSettings(length_m=700.0),
        return_fibre=FibreSettings(length_m=1100.0),
    )
    settings = replace(
        settings,
        client_adc=replace(settings.client_adc, clock_offset_ppm=17.0),
        data_dac=replace(settings.data_dac, clock_offset_ppm=17.0),
    )
    bench = open_calibration_bench(settings, seed=11)
    for routine in all_routines().ordered():
        bench.run(routine, SETTINGS.get(routine.name))
    values = assemble_bench_values(bench.results)
    link = lit_link(bench, values)
    bright, dim = (
        calibrate_link(
            link.server,
            link.client,
            photons_per_symbol=photons,
            modes=MODES,
            rows=ROWS,
            inputs=INPUTS,
            run=run,
        )
        for run, photons in enumerate((50.0, 1.0))
    )
    bench.access.switch_off()
    return Calibrated(bench=bench, values=values, link=link, bright=bright, dim=dim)


def lit_link(bench: CalibrationBench, values: BenchValues) -> BenchLink:
    """The link over a bench that is lit as its calibration was."""
    stage, _ = light_up(bench.context(all_routines().get("loss")))
    stage.lock_biases()
    stage.launch(values.server.attenuation_db)
    at = bench.access.instruments
    generators = [at["server.weight_generator"], at["client.data_generator"]]
    digitisers = [at["server.return_digitiser"], at["client.tap_digitiser"]]
    attenuator = at["server.attenuator"]
    assert isinstance(attenuator, Attenuator)
    for generator in generators:
        assert isinstance(generator, WaveformGenerator)
        generator.set_idle(0, 0.0)
    for digitiser in digitisers:
        assert isinstance(digitiser, Digitiser)
    return BenchLink(
        ServerInstruments(
            generator=generators[0],  # type: ignore[arg-type]  # as was asserted
            attenuator=attenuator,
            digitiser=digitisers[0],  # type: ignore[arg-type]
        ),
        ClientInstruments(
            generator=generators[1],  # type: ignore[arg-type]
            digitiser=digitisers[1],  # type: ignore[arg-type]
        ),
        BenchLinkSettings(
            receiver=PassiveTap(tap_fraction=values.tap_fraction),
            frames=BenchFrames(modes_per_frame=MODES, simulated=True, seed=11),
            server=values.server,
            client=values.client,
        ),
    )


def expected_outcome_variance(values: BenchValues) -> float:
    """1 + v_el modes max(x^2)/sum(x^2), on average over the vectors of the test pattern."""
    generator = torch.Generator().manual_seed(0)
    torch.randn(1, ROWS, MODES, generator=generator)
    data = torch.randn(INPUTS, MODES, generator=generator).double()
    spread = MODES * data.abs().amax(1).square() / data.square().sum(1)
    return 1 + values.client.electronic_noise_snu * float(spread.mean())


def test_client_gain_is_as_claimed_when_a_block_goes_through(calibrated: Calibrated) -> None:
    """Statistical: 5 standard deviations, 6e-7."""
    gain = calibrated.bright.signal_gain
    scatter = calibrated.bench.results["loss"]["client_gain_scatter"].value * gain.claimed
    assert gain.claimed == calibrated.values.client.signal_gain
    assert gain.value == pytest.approx(
        gain.claimed, abs=5 * math.hypot(gain.uncertainty, scatter, 2e-3 * gain.claimed)
    )
    assert gain.uncertainty < 0.01 * gain.value


def test_return_gain_is_as_claimed_when_a_block_goes_through(calibrated: Calibrated) -> None:
    gain = calibrated.bright.return_gain
    scatter = calibrated.bench.results["loss"]["return_gain_scatter"].value * gain.claimed
    assert gain.claimed == pytest.approx(
        calibrated.bench.results["loss"]["return_gain"].value, rel=1e-9
    )
    assert gain.value == pytest.approx(
        gain.claimed, abs=5 * math.hypot(gain.uncertainty, scatter, 2e-3 * gain.claimed)
    )
    assert gain.uncertainty < 0.01 * gain.value


def test_variances_are_as_claimed_when_a_block_goes_through(calibrated: Calibrated) -> None:
    """Statistical: 5 standard deviations; the unit of variance is known to that of a burst."""
    found, values = calibrated.dim, calibrated.values
    slots = calibrated.link.client.last
    assert slots is not None
    unit = 2 * slots.shot_noise.relative_uncertainty
    outcome = found.outcome_variance_snu
    assert outcome.value == pytest.approx(
        expected_outcome_variance(values), abs=5 * math.hypot(outcome.uncertainty, unit)
    )
    returned = 1 + values.server.electronic_noise_snu
    for measured in (found.return_variance_x_snu, found.return_variance_p_snu):
        assert measured.value == pytest.approx(
            returned, abs=5 * math.hypot(measured.uncertainty, unit)
        )


def test_values_are_those_of_the_scene_when_all_routines_have_run(calibrated: Calibrated) -> None:
    """Statistical: 6 standard uncertainties of what the routines claim."""
    bench, values = calibrated.bench, calibrated.values
    for switch in (bench.scene.client_switch, bench.scene.server_switch):
        switch.select("light")
    bench.bench.clock.advance(1.0)
    forward = truth.transmittance(bench.scene, "client") / TAP
    claimed = bench.results["loss"]["forward_transmittance"]
    assert values.server.forward_transmittance == claimed.value
    assert claimed.value == pytest.approx(forward, abs=6 * claimed.uncertainty)
    assert values.client.clock_offset == pytest.approx(17e-6, abs=1e-7)
    delay_s = truth.signal_delay_s(bench.scene, "server")
    assert values.server.round_trip_delay_s == pytest.approx(delay_s, abs=0.1e-9)
    assert values.client.phase_noise_rad == pytest.approx(0.05, abs=0.01)
    assert len(values.polarisation_rad["client"]) == 4

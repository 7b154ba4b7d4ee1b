"""A simulated bench on which the routines without light in the fibre seem to have been run."""

from calibration.fits.estimates import normal
from calibration.result import Result, Setting
from calibration.routine import Routine
from calibration.routines import all_routines
from calibration.routines._stage import PARTIES
from sim_backend.scene import truth
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.calibration_access import simulated_result
from tests.waveform_calibration import CalibrationBench, open_calibration_bench

__all__ = ["TAP", "lit_bench", "made_result", "routine", "scene_settings"]

TAP = 0.4
_RATE_HZ = 800e6


def scene_settings() -> ReferenceSettings:
    """Short scrambled fibres and a strong tap."""
    spool = FibreSettings(length_m=200.0)
    return ReferenceSettings(tap=TAP, forward_fibre=spool, return_fibre=spool)


def routine(name: str) -> Routine:
    """The registered routine of that name."""
    return all_routines().get(name)


def made_result(
    bench: CalibrationBench, name: str, values: dict[str, float], relative: float = 1e-3
) -> Result:
    """A result with given values."""
    return simulated_result(
        bench,
        name,
        tuple(
            normal(value, abs(value) * relative).quantity(quantity, "1")
            for quantity, value in values.items()
        ),
    )


def lit_bench(
    settings: ReferenceSettings | None = None,
    *,
    seed: int = 3,
    after: tuple[str, ...] = (),
    v_pi_error: float = 0.0,
) -> CalibrationBench:
    """A bench with the true V_pi, noises and efficiencies as results.

    Args:
        settings: of the scene.
        seed: of the scene.
        after: routines that are run on it, shortened.
        v_pi_error: relative error of both V_pi.
    """
    bench = open_calibration_bench(settings or scene_settings(), seed=seed)
    scene = bench.scene
    known = scene.settings
    kept = 10 ** (-known.data_modulator.insertion_loss_db / 10)
    power_w = {
        "client": known.client_oscillator_laser.power_w * kept,
        "server": known.server_oscillator_laser.power_w,
    }
    converter_v2 = (2 / 2**10.5) ** 2 / 12
    made = {
        "modulators": {
            "weight_v_pi_v": known.weight_modulator.half_wave_v * (1 + v_pi_error),
            "data_v_pi_v": known.data_modulator.half_wave_v * (1 + v_pi_error),
        },
        "electronic_noise": {
            f"{p}_electronic_v2": truth.electronic_variance_v2(scene, p, rate_hz=_RATE_HZ)
            + converter_v2
            for p in PARTIES
        },
        "shot_noise": {
            f"{p}_shot_v2": truth.shot_variance_v2(
                scene, p, oscillator_power_w=power_w[p], rate_hz=_RATE_HZ
            )
            for p in PARTIES
        },
        "detector": {
            "client_efficiency": known.client_detector.efficiency,
            "server_efficiency": known.server_detector.efficiency,
        },
    }
    for name, values in made.items():
        bench.results[name] = made_result(bench, name, values)
    for name in after:
        bench.run(routine(name), SHORT.get(name))
    return bench


SHORT: dict[str, dict[str, Setting]] = {
    "polarisation": {"slots": 512},
    "delay": {"symbols": 1024, "repetitions": 3, "longest_delay_s": 3e-6},
    "photons": {"symbols": 1024, "tap_fraction": TAP},
}
"""Settings with which a test does not wait long."""

"""Do the intervals of the routines with light in the fibre hold the scene's truth? Counted.

Every scene draws its own bench: fibres from 1 m to 20 km, tap, losses, lasers, detectors, clocks,
and the errors of meters and data sheets with the standard uncertainties that the routines are told.
The results that these routines rest on (V_pi, noise, efficiency) are drawn around the truth in the
same way; routines of their own find them. Between 90 % and 99 % of the intervals must hold the
truth; an exact interval of 95 % stays within for 200 scenes with a probability of 99.8 %, so the
seed was fixed beforehand.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.stats import binom

from calibration.fits.estimates import normal
from calibration.result import Quantity, Result, Setting
from calibration.routine import Routine
from calibration.routines import all_routines
from calibration.routines._bursts import CONTROLLERS, OPENING
from calibration.routines._stage import PARTIES, Party, photons_of_level
from drivers.instruments import PolarisationController
from drivers.optics.burst import BurstFormat
from drivers.optics.modulation import volts_from_amplitude
from drivers.optics.phase import smoothed_variance
from sim_backend.scene import truth
from sim_backend.scene.converters import AdcSettings, DacSettings
from sim_backend.scene.detectors import BalancedDetectorSettings, PowerHeadSettings
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.lasers import LaserSettings
from sim_backend.scene.light import PHOTON_ENERGY_J, SPEED_OF_LIGHT_M_PER_S
from sim_backend.scene.modulators import MachZehnderSettings
from sim_backend.scene.path import AttenuatorSettings
from sim_backend.scene.reference_settings import ReferenceSettings, wavelength_at_offset_m
from tests.waveform_calibration import CalibrationBench, open_calibration_bench

SCENES = 200
SEED = 20250701
BURST = BurstFormat()
RATE_HZ = BURST.sample_rate_hz
ON_THE_GRID_M = 5.0
"""Below this length the scene rounds a fibre's delay to a sample: it is drawn on that grid."""
ROUTINES = (
    "polarisation",
    "delay",
    "photons",
    "loss",
    "beat",
    "linewidth",
    "predistortion",
    "quadratures",
)
SHORT: dict[str, dict[str, Setting]] = {
    "polarisation": {"slots": 1024},
    "delay": {"symbols": 2048},
    "photons": {"symbols": 2048},
    "loss": {"symbols": 4096, "repetitions": 3},
    "beat": {"slots": 8192},
    "linewidth": {"slots": 16384, "symbols": 6144},
    "predistortion": {"symbols": 6144, "repetitions": 1},
    "quadratures": {"slots": 4096},
}
V_PI_ERROR, SHOT_ERROR, EFFICIENCY_ERROR = 1e-3, 2e-3, 0.02
SETTING_NAMES = ("_angle_", "_scatter", "attenuation_db", "_last_gain")
"""Quantities that are settings or uncertainties themselves and have no truth to be compared."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A scene and what its owners know of it."""

    settings: ReferenceSettings
    head: PowerHeadSettings
    known: dict[str, Setting]


def fibre(rng: np.random.Generator) -> FibreSettings:
    """A spool of 1 m to 20 km, every order of magnitude as likely."""
    length_m = float(10 ** rng.uniform(0, math.log10(20e3)))
    if length_m < ON_THE_GRID_M:
        sample_m = SPEED_OF_LIGHT_M_PER_S / FibreSettings().group_index / RATE_HZ
        length_m = round(length_m / sample_m) * sample_m
    return FibreSettings(length_m=length_m, connector_loss_db=float(rng.uniform(0.2, 1.0)))


def detector(rng: np.random.Generator) -> BalancedDetectorSettings:
    # The saturation is the affair of the detector's own routine: here it is out of the way.
    return BalancedDetectorSettings(
        efficiency=float(rng.uniform(0.6, 0.9)),
        mode_match=float(rng.uniform(0.93, 0.99)),
        common_mode_rejection_db=float(rng.uniform(40, 60)),
        electronic_noise_v_per_sqrt_hz=float(rng.uniform(1.5e-8, 3e-8)),
        bandwidth_hz=float(rng.uniform(0.8e9, 3e9)),
        saturation_current_a=20e-3,
    )


def modulator(rng: np.random.Generator) -> MachZehnderSettings:
    return MachZehnderSettings(
        half_wave_v=float(rng.uniform(2.5, 4.5)),
        extinction_db=float(rng.uniform(30, 45)),
        insertion_loss_db=float(rng.uniform(3, 5)),
    )


def laser(rng: np.random.Generator, low_w: float, high_w: float, offset_hz: float) -> LaserSettings:
    return LaserSettings(
        power_w=float(rng.uniform(low_w, high_w)),
        linewidth_hz=float(10 ** rng.uniform(3, 5)),
        wavelength_m=wavelength_at_offset_m(offset_hz),
    )


def converters(rng: np.random.Generator) -> tuple[DacSettings, AdcSettings]:
    """Generator and digitiser of one party, which share a clock."""
    ppm = float(rng.uniform(-50, 50))
    jitter = [float(rng.uniform(10e-12, 50e-12)) for _ in range(2)]
    return (
        DacSettings(clock_offset_ppm=ppm, trigger_jitter_s=jitter[0]),
        AdcSettings(clock_offset_ppm=ppm, trigger_jitter_s=jitter[1]),
    )


def draw(rng: np.random.Generator) -> Drawn:
    """A bench that nobody has seen before."""
    weight_dac, server_adc = converters(rng)
    data_dac, client_adc = converters(rng)
    tap = float(rng.uniform(0.05, 0.6))
    settings = ReferenceSettings(
        server_laser=laser(rng, 5e-3, 15e-3, 0.0),
        client_oscillator_laser=laser(rng, 3e-3, 8e-3, -200e6),
        server_oscillator_laser=laser(rng, 1e-3, 3e-3, -200e6),
        weight_modulator=modulator(rng),
        data_modulator=modulator(rng),
        monitor_tap=0.01 * (1 + 0.005 * float(rng.standard_normal())),
        launch_attenuator=AttenuatorSettings(error_db=0.03 * float(rng.standard_normal())),
        forward_fibre=fibre(rng),
        return_fibre=fibre(rng),
        tap=tap,
        client_detector=detector(rng),
        server_detector=detector(rng),
        weight_dac=weight_dac,
        data_dac=data_dac,
        client_adc=client_adc,
        server_adc=server_adc,
    )
    forward = settings.forward_fibre
    loss_db = forward.loss_db_per_km * forward.length_m / 1000 + forward.connector_loss_db + 0.8
    client_match = settings.client_detector.mode_match + 0.005 * float(rng.standard_normal())
    known: dict[str, Setting] = {
        "server_laser_w": settings.server_laser.power_w,
        "client_oscillator_w": settings.client_oscillator_laser.power_w,
        "server_oscillator_w": settings.server_oscillator_laser.power_w,
        "tap_fraction": tap + 0.005 * float(rng.standard_normal()),
        "forward_loss_db": loss_db + 0.2 * float(rng.standard_normal()),
        "mode_match": client_match,
        "client_mode_match": client_match,
        "server_mode_match": settings.server_detector.mode_match
        + 0.005 * float(rng.standard_normal()),
    }
    head = PowerHeadSettings(relative_error=0.01 * float(rng.standard_normal()))
    return Drawn(settings=settings, head=head, known=known)


def low_passed(scene_settings: ReferenceSettings, party: Party) -> float:
    """Power response of a detector's discrete low-pass at a quarter of the sample rate."""
    chosen = detector_of(scene_settings, party)
    pole = math.exp(-2 * math.pi * chosen.bandwidth_hz / RATE_HZ)
    return (1 - pole) ** 2 / (1 + pole**2) if pole >= 1e-4 else 1.0


def detector_of(settings: ReferenceSettings, party: Party) -> BalancedDetectorSettings:
    return settings.client_detector if party == "client" else settings.server_detector


def shot_v2(bench: CalibrationBench, party: Party) -> float:
    settings = bench.scene.settings
    if party == "client":
        kept = 10 ** (-settings.data_modulator.insertion_loss_db / 10)
        power_w = settings.client_oscillator_laser.power_w * kept
    else:
        power_w = settings.server_oscillator_laser.power_w
    found = truth.shot_variance_v2(
        bench.scene, party, oscillator_power_w=power_w, rate_hz=RATE_HZ
    )
    return found * low_passed(settings, party)


def electronic_v2(bench: CalibrationBench, party: Party) -> float:
    settings = bench.scene.settings
    adc = settings.client_adc if party == "client" else settings.server_adc
    converter = (2 / 2 ** (adc.effective_bits or adc.bits)) ** 2 / 12
    noise = truth.electronic_variance_v2(bench.scene, party, rate_hz=RATE_HZ)
    return noise * low_passed(settings, party) + converter


def known_result(
    bench: CalibrationBench, name: str, values: dict[str, tuple[float, float]], seed: int
) -> Result:
    """A result whose values lie off the truth as far as their uncertainties say."""
    rng = np.random.default_rng(seed)
    quantities: list[Quantity] = []
    for quantity, (value, relative) in values.items():
        error = value * relative
        off = value + error * float(rng.standard_normal())
        quantities.append(normal(off, error).quantity(quantity, "1"))
    return Result(
        routine=name,
        version=1,
        quantities=tuple(quantities),
        identities={},
        temperature_c=None,
        temperature_window_c=None,
        moment=bench.access.now(),
        validity_s=1e6,
        bench="simulated",
        backend="sim",
        simulated=True,
        seed=seed,
    )


def open_drawn(drawn: Drawn, seed: int) -> CalibrationBench:
    """A bench on which other routines have found what these ones need."""
    bench = open_calibration_bench(
        drawn.settings, seed=seed, heads={"server.launch_power_meter": drawn.head}
    )
    settings = bench.scene.settings
    inputs: dict[str, dict[str, tuple[float, float]]] = {
        "modulators": {
            "weight_v_pi_v": (settings.weight_modulator.half_wave_v, V_PI_ERROR),
            "data_v_pi_v": (settings.data_modulator.half_wave_v, V_PI_ERROR),
        },
        "electronic_noise": {
            f"{p}_electronic_v2": (electronic_v2(bench, p), 1e-3) for p in PARTIES
        },
        "shot_noise": {f"{p}_shot_v2": (shot_v2(bench, p), SHOT_ERROR) for p in PARTIES},
        "detector": {
            f"{p}_efficiency": (detector_of(settings, p).efficiency, EFFICIENCY_ERROR)
            for p in PARTIES
        },
    }
    for index, (name, values) in enumerate(inputs.items()):
        bench.results[name] = known_result(bench, name, values, 10 * seed + index)
    return bench


def full_photons(bench: CalibrationBench) -> float:
    """Photons per slot at launch with the modulator open, at the attenuation that was chosen."""
    scene = bench.scene
    settings = scene.settings
    power_w = settings.server_laser.power_w
    power_w *= 10 ** (-settings.weight_modulator.insertion_loss_db / 10)
    power_w *= 1 - settings.monitor_tap
    attenuator = settings.launch_attenuator
    loss_db = bench.results["photons"]["attenuation_db"].value
    loss_db += attenuator.error_db + attenuator.insertion_loss_db
    return power_w * 10 ** (-loss_db / 10) / PHOTON_ENERGY_J / BURST.symbol_rate_hz


def bare_gain(bench: CalibrationBench, party: Party) -> float:
    """Recorded per launched mean if the phase were known."""
    efficiency = truth.detection_efficiency(bench.scene, party) / 2
    return math.sqrt(truth.transmittance(bench.scene, party) * efficiency)


def combined_linewidth_hz(settings: ReferenceSettings, party: Party) -> float:
    own = settings.client_oscillator_laser if party == "client" else settings.server_oscillator_laser
    return settings.server_laser.linewidth_hz + own.linewidth_hz


def phase_variance(bench: CalibrationBench, party: Party) -> float:
    """What an ideal smoother leaves between the pilots, on average over data slots."""
    walk = 2 * math.pi * combined_linewidth_hz(bench.scene.settings, party) / BURST.symbol_rate_hz
    photons = photons_of_level(OPENING, full_photons(bench), BURST)
    amplitude = 2 * math.sqrt(photons) * bare_gain(bench, party)
    noise = 1 + electronic_v2(bench, party) / shot_v2(bench, party)
    between = smoothed_variance(walk, noise / amplitude**2, BURST.pilot_spacing)[1:]
    return float(between.mean())


def gain(bench: CalibrationBench, party: Party) -> float:
    return bare_gain(bench, party) * math.exp(-phase_variance(bench, party) / 2)


def cubic(bench: CalibrationBench, name: str) -> float:
    """Cubic share of a modulator's amplitude, noise-free, with V_pi as the routine believes it."""
    believed_v = bench.results["modulators"][f"{name}_v_pi_v"].value
    settings = bench.scene.settings
    true_v = (
        settings.weight_modulator if name == "weight" else settings.data_modulator
    ).half_wave_v
    levels = np.linspace(-1, 1, 2001)
    pulse = BURST.pulse.taps.astype(np.float64)
    if name == "weight":
        wanted = OPENING * levels[:, None] * pulse / pulse.max()
    else:
        wanted = levels[:, None] * np.ones(pulse.size)
    volts = volts_from_amplitude(wanted.astype(np.float32), believed_v)
    amplitude = np.sin(np.pi * volts.astype(np.float64) / (2 * true_v))
    weights = pulse if name == "weight" else pulse**2
    recorded = amplitude @ weights
    design = np.stack([levels, levels**3], axis=1)
    linear, third = np.linalg.lstsq(design, recorded, rcond=None)[0]
    return float(third / linear)


def truths(bench: CalibrationBench, name: str, noted: dict[str, float]) -> dict[str, float]:
    """The truth of every quantity of a routine that has one."""
    scene = bench.scene
    settings = scene.settings
    # The routine has left the bench in its safe state: the path is asked for as it was.
    for switch in (scene.client_switch, scene.server_switch):
        switch.select("light")
    scene.clock.advance(1.0)
    clocks = {
        "client": 1 + settings.client_adc.clock_offset_ppm * 1e-6,
        "server": 1 + settings.server_adc.clock_offset_ppm * 1e-6,
    }
    drive = 1 + settings.weight_dac.clock_offset_ppm * 1e-6
    forward = truth.transmittance(scene, "client") / settings.tap
    match name:
        case "polarisation":
            return {f"{p}_unaligned_share": noted[p] for p in PARTIES}
        case "delay":
            delays = {p: truth.signal_delay_s(scene, p) * clocks[p] for p in PARTIES}
            set_s = bench.results["delay"]["forward_delay_s"].value
            return {
                "forward_delay_s": delays["client"],
                "round_trip_delay_s": delays["server"],
                # The scene's generator counts its delay in true seconds.
                "oscillator_delay_s": set_s * (clocks["client"] - 1),
                "client_clock_offset": clocks["client"] / drive - 1,
                "server_clock_offset": clocks["server"] / drive - 1,
            }
        case "photons":
            full = full_photons(bench)
            return {
                "full_photons": full,
                "full_photons_by_shot_noise": full,
                "photons_ratio": 1.0,
            }
        case "loss":
            back = truth.transmittance(scene, "server") / forward / (1 - settings.tap)
            return {
                "client_gain": gain(bench, "client"),
                "return_gain": gain(bench, "server"),
                "tap_fraction": settings.tap,
                "forward_transmittance": forward,
                "return_transmittance": back,
            }
        case "beat":
            hertz = {p: noted[p] / clocks[p] for p in PARTIES}
            return {f"{p}_beat_hz": hertz[p] for p in PARTIES} | {
                f"{p}_beat_error_hz": hertz[p] - 200e6 for p in PARTIES
            }
        case "linewidth":
            return {
                f"{p}_linewidth_hz": combined_linewidth_hz(settings, p) for p in PARTIES
            } | {f"{p}_phase_variance_rad2": phase_variance(bench, p) for p in PARTIES}
        case "predistortion":
            return {f"{kind}_nonlinearity": cubic(bench, kind) for kind in ("weight", "data")}
    return {f"{p}_{what}": 0.0 for p in PARTIES for what in ("imbalance", "quadrature_error_rad")}


def measure(bench: CalibrationBench, drawn: Drawn, name: str, seed: int) -> dict[str, bool]:
    """Run a routine; whether the interval of each quantity holds its truth."""
    routine = all_routines().get(name)
    settings = {key: value for key, value in drawn.known.items() if key in routine.defaults}
    context = bench.context(routine, settings | SHORT[name], seed=seed)
    noted: dict[str, float] = {}

    def note(done: int, total: int, text: str) -> None:
        """Beats drift and polarisations are changed: their truth is that of the moment."""
        for party in PARTIES:
            if text == f"beat of the {party}":
                noted[party] = truth.beat_frequency_hz(bench.scene, party)

    starts = start_angles(bench, routine, seed) if name == "polarisation" else {}
    try:
        result = routine.run(replace(context, progress=note))
    finally:
        bench.access.switch_off()
    bench.results[name] = result
    if name == "polarisation":
        noted = unaligned(bench, starts)
    expected = truths(bench, name, noted)
    compared = [
        one for one in result.quantities if not any(part in one.name for part in SETTING_NAMES)
    ]
    assert {one.name for one in compared} == set(expected)
    return {
        f"{name}.{one.name}": one.interval95[0] <= expected[one.name] <= one.interval95[1]
        for one in compared
    }


def start_angles(
    bench: CalibrationBench, routine: Routine, seed: int
) -> dict[Party, np.ndarray]:
    """The random angles that the search of the polarisation begins from."""
    rng = bench.context(routine, seed=seed).rng
    return {party: rng.uniform(0, 2 * math.pi, 4) for party in CONTROLLERS}


def unaligned(
    bench: CalibrationBench, starts: dict[Party, np.ndarray]
) -> dict[str, float]:
    """Squared overlap at the start over that at the end, the client aligned for the server."""
    shares = {}
    for party in ("server", "client"):
        controller = bench.access.instruments[CONTROLLERS[party]]
        assert isinstance(controller, PolarisationController)
        found = controller.angles()
        aligned = truth.visibility(bench.scene, party)
        assert aligned > 0.999 * detector_of(bench.scene.settings, party).mode_match
        controller.set_angles(starts[party])
        shares[party] = (truth.visibility(bench.scene, party) / aligned) ** 2
        controller.set_angles(found)
    return shares


def count(scenes: int) -> dict[str, list[bool]]:
    """Whether the truth was held, by quantity, scene by scene."""
    held: dict[str, list[bool]] = {}
    for scene in range(scenes):
        drawn = draw(np.random.default_rng([SEED, scene]))
        bench = open_drawn(drawn, scene)
        for name in ROUTINES:
            for quantity, inside in measure(bench, drawn, name, scene).items():
                held.setdefault(quantity, []).append(inside)
    return held


def test_routines_with_light_hold_the_truth_when_a_few_scenes_are_drawn() -> None:
    """A quick look: of 8 intervals of 95 % at least 4 hold, but for 4e-4 per quantity.

    The seed is fixed; with every quantity of the slow test the chance was 1 %.
    """
    held = count(8)
    assert len(held) == 30
    for quantity, inside in held.items():
        assert sum(inside) >= 4, quantity


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_routines_with_light_hold_the_truth_when_scenes_are_drawn() -> None:
    held = count(SCENES)
    for quantity, inside in held.items():
        fraction = sum(inside) / len(inside)
        tail = binom.cdf(sum(inside), len(inside), 0.95)
        print(f"{quantity:40s} {100 * fraction:5.1f} %  (tail {tail:.2g})")
    for quantity, inside in held.items():
        assert 0.90 <= sum(inside) / len(inside) <= 0.99, quantity

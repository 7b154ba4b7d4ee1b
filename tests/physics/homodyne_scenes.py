"""Homodyne benches drawn at random, and what their owners know of them.

The results that routines with light in the fibre rest on are drawn around the scene's truth, as in
`light_scenes`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from calibration.result import Setting
from calibration.routines._stage import PARTIES, Party
from drivers.optics.burst import BurstFormat
from sim_backend.scene import truth
from sim_backend.scene.converters import AdcSettings
from sim_backend.scene.detectors import BalancedDetectorSettings, PowerHeadSettings
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.lasers import LaserSettings
from sim_backend.scene.light import PHOTON_ENERGY_J
from sim_backend.scene.path import AttenuatorSettings, FrequencyShifterSettings
from sim_backend.scene.phase_shifter import PhaseShifterSettings
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.physics.light_scenes import (
    EFFICIENCY_ERROR,
    SHOT_ERROR,
    V_PI_ERROR,
    converters,
    detector_of,
    known_result,
    modulator,
)
from tests.waveform_calibration import CalibrationBench, open_calibration_bench

__all__ = [
    "BURST",
    "DrawnHomodyne",
    "draw_homodyne",
    "electronic_v2",
    "full_photons",
    "install_known",
    "open_homodyne",
    "oscillator_w",
    "response",
    "shot_v2",
]

BURST = BurstFormat(if_cycles_per_symbol=0.0)
METER_ERROR = 0.01
TRANSIMPEDANCE_ERROR = 0.02
_ON_THE_GRID_M = 5.0
"""Below this length the scene rounds a fibre's delay to a sample: none is drawn there."""
_STILL = FrequencyShifterSettings(shift_hz=0.0, loss_db=0.0)
_HEADS = ("server.launch_power_meter", "server.oscillator_power_meter")
_CLIENT_HEAD = "client.oscillator_power_meter"


@dataclass(frozen=True, kw_only=True)
class DrawnHomodyne:
    """A scene and what its owners know of it.

    Attributes:
        settings: of the scene.
        heads: errors of the power meters, by "party.role".
        known: settings of routines that data sheets tell, each with an error of its own.
    """

    settings: ReferenceSettings
    heads: dict[str, PowerHeadSettings]
    known: dict[str, Setting]


def draw_homodyne(rng: np.random.Generator) -> DrawnHomodyne:
    """A homodyne bench that nobody has seen before."""
    settings = _draw_settings(rng)
    match_error = 0.005
    known: dict[str, Setting] = {
        "if_cycles_per_symbol": 0.0,
        "server_laser_w": settings.server_laser.power_w,
        "tap_fraction": settings.tap + 0.005 * float(rng.standard_normal()),
        "forward_loss_db": _forward_loss_db(settings) + 0.2 * float(rng.standard_normal()),
        "transimpedance_uncertainty": TRANSIMPEDANCE_ERROR,
        "meter_uncertainty": METER_ERROR,
    }
    for party in PARTIES:
        unit = detector_of(settings, party)
        error = TRANSIMPEDANCE_ERROR * float(rng.standard_normal())
        known[f"{party}_transimpedance_v_per_a"] = unit.transimpedance_v_per_a * (1 + error)
        known[f"{party}_response"] = response(unit.bandwidth_hz)
        match = unit.mode_match + match_error * float(rng.standard_normal())
        known[f"{party}_mode_match"] = match
    known["mode_match"] = known["client_mode_match"]
    heads = {
        name: PowerHeadSettings(
            relative_error=METER_ERROR * float(rng.standard_normal()),
            offset_w=1e-11 * float(rng.standard_normal()),
            noise_w_per_sqrt_hz=float(10 ** rng.uniform(-13, -12)),
        )
        for name in (*_HEADS, _CLIENT_HEAD)
    }
    return DrawnHomodyne(settings=settings, heads=heads, known=known)


def _draw_settings(rng: np.random.Generator) -> ReferenceSettings:
    weight_dac, server_adc = converters(rng)
    data_dac, client_adc = converters(rng)
    forward, back = _fibre(rng), _fibre(rng)
    return ReferenceSettings(
        oscillators="shared",
        detection="homodyne",
        client_oscillator_share=float(rng.uniform(0.4, 0.65)),
        server_oscillator_share=float(rng.uniform(0.15, 0.25)),
        server_laser=_laser(rng),
        client_shifter=_STILL,
        server_shifter=_STILL,
        client_phase_shifter=_phase_shifter(rng),
        server_phase_shifter=_phase_shifter(rng),
        weight_modulator=modulator(rng),
        data_modulator=modulator(rng),
        monitor_tap=0.01 * (1 + 0.005 * float(rng.standard_normal())),
        launch_attenuator=AttenuatorSettings(error_db=0.03 * float(rng.standard_normal())),
        forward_fibre=forward,
        return_fibre=back,
        client_oscillator_fibre=_matching(rng, forward.length_m),
        server_oscillator_fibre=_matching(rng, forward.length_m + back.length_m),
        tap=float(rng.uniform(0.2, 0.6)),
        client_detector=_detector(rng),
        server_detector=_detector(rng),
        weight_dac=weight_dac,
        data_dac=data_dac,
        client_adc=_digitiser(client_adc, rng),
        server_adc=_digitiser(server_adc, rng),
    )


def _laser(rng: np.random.Generator) -> LaserSettings:
    return LaserSettings(
        power_w=float(rng.uniform(5e-3, 15e-3)),
        linewidth_hz=float(10 ** rng.uniform(1, 3)),
        frequency_drift_hz=float(10 ** rng.uniform(4, 5)),
        intensity_noise_db_per_hz=float(rng.uniform(-160, -140)),
    )


def _fibre(rng: np.random.Generator) -> FibreSettings:
    """A spool of 5 m to 500 m, every order of magnitude as likely, that lies more or less still."""
    return FibreSettings(
        length_m=float(10 ** rng.uniform(math.log10(_ON_THE_GRID_M), math.log10(500.0))),
        connector_loss_db=float(rng.uniform(0.2, 1.0)),
        thermal_phase_rad_per_sqrt_s=float(10 ** rng.uniform(-1.7, -0.7)),
    )


def _matching(rng: np.random.Generator, way_m: float) -> FibreSettings:
    """The oscillator's fibre, which a bench cuts to the signal's way but for 1 m to 200 m."""
    length_m = way_m - float(10 ** rng.uniform(0, math.log10(200.0)))
    return FibreSettings(
        length_m=length_m if length_m >= _ON_THE_GRID_M else 0.0,
        connector_loss_db=float(rng.uniform(0.2, 1.0)),
        thermal_phase_rad_per_sqrt_s=float(10 ** rng.uniform(-2, -1)),
        polarisation_rad_per_sqrt_s=0.0,
        polarisation_scrambled=False,
    )


def _phase_shifter(rng: np.random.Generator) -> PhaseShifterSettings:
    return PhaseShifterSettings(
        half_wave_v=float(rng.uniform(2.5, 5.8)),
        insertion_loss_db=float(rng.uniform(0.5, 3.0)),
        error_rad=float(10 ** rng.uniform(-3.3, -2)),
        settling_s=float(10 ** rng.uniform(-6, -5)),
    )


def _detector(rng: np.random.Generator) -> BalancedDetectorSettings:
    return BalancedDetectorSettings(
        efficiency=float(rng.uniform(0.6, 0.9)),
        mode_match=float(rng.uniform(0.93, 0.99)),
        common_mode_rejection_db=float(rng.uniform(45, 65)),
        transimpedance_v_per_a=float(rng.uniform(5e3, 1.5e4)),
        electronic_noise_v_per_sqrt_hz=float(rng.uniform(1e-8, 3e-8)),
        dark_current_a=float(rng.uniform(1e-9, 1e-8)),
        bandwidth_hz=float(rng.uniform(0.8e9, 3e9)),
    )


def _digitiser(clocked: AdcSettings, rng: np.random.Generator) -> AdcSettings:
    bits = int(rng.integers(10, 13))
    return replace(
        clocked,
        bits=bits,
        effective_bits=bits - float(rng.uniform(1.2, 2.0)),
        offset_v=2e-3 * float(rng.standard_normal()),
    )


def _forward_loss_db(settings: ReferenceSettings) -> float:
    fibre = settings.forward_fibre
    return fibre.loss_db_per_km * fibre.length_m / 1000 + fibre.connector_loss_db + 0.8


def response(bandwidth_hz: float) -> float:
    """Matched-filter variance of white noise behind the detector's low-pass, over that before.

    y[k] = p y[k-1] + (1 - p) x[k] has the autocovariance (1-p)^2/(1-p^2) p^|k|; the matched filter
    with real taps c sums it to c R c, summed here term by term.
    """
    pole = math.exp(-2 * math.pi * bandwidth_hz / BURST.sample_rate_hz)
    taps = BURST.pulse.taps.astype(np.float64)
    total = 0.0
    for first in range(taps.size):
        for second in range(taps.size):
            total += taps[first] * taps[second] * pole ** abs(first - second)
    return float(total) * (1 - pole) ** 2 / (1 - pole**2)


def oscillator_w(settings: ReferenceSettings, party: Party) -> float:
    """Power of an oscillator on its detector."""
    client = party == "client"
    fibre = settings.client_oscillator_fibre if client else settings.server_oscillator_fibre
    shifter = settings.client_phase_shifter if client else settings.server_phase_shifter
    share = settings.client_oscillator_share if client else settings.server_oscillator_share
    loss_db = fibre.loss_db_per_km * fibre.length_m / 1000 + fibre.connector_loss_db
    loss_db += shifter.insertion_loss_db
    if client:
        loss_db += settings.data_modulator.insertion_loss_db
    return settings.server_laser.power_w * share * 10 ** (-loss_db / 10)


def shot_v2(bench: CalibrationBench, party: Party) -> float:
    """Variance that vacuum gives behind the matched filter."""
    settings = bench.scene.settings
    found = truth.shot_variance_v2(
        bench.scene,
        party,
        oscillator_power_w=oscillator_w(settings, party),
        rate_hz=BURST.sample_rate_hz,
    )
    return found * response(detector_of(settings, party).bandwidth_hz)


def electronic_v2(bench: CalibrationBench, party: Party) -> float:
    """Variance behind the matched filter in the dark, the digitiser's included."""
    settings = bench.scene.settings
    adc = settings.client_adc if party == "client" else settings.server_adc
    converter = (2 / 2 ** (adc.effective_bits or adc.bits)) ** 2 / 12
    noise = truth.electronic_variance_v2(bench.scene, party, rate_hz=BURST.sample_rate_hz)
    return noise * response(detector_of(settings, party).bandwidth_hz) + converter


def full_photons(bench: CalibrationBench, attenuation_db: float) -> float:
    """Photons per slot at launch with the modulator open."""
    settings = bench.scene.settings
    signal = 1 - settings.client_oscillator_share - settings.server_oscillator_share
    power_w = settings.server_laser.power_w * signal * (1 - settings.monitor_tap)
    attenuator = settings.launch_attenuator
    loss_db = settings.weight_modulator.insertion_loss_db + attenuation_db
    loss_db += attenuator.error_db + attenuator.insertion_loss_db
    return power_w * 10 ** (-loss_db / 10) / PHOTON_ENERGY_J / BURST.symbol_rate_hz


def open_homodyne(drawn: DrawnHomodyne, seed: int) -> CalibrationBench:
    """The bench, with V_pi of its modulators known about as well as their routine finds it."""
    bench = open_calibration_bench(drawn.settings, seed=seed, heads=drawn.heads)
    settings = bench.scene.settings
    values = {
        "weight_v_pi_v": (settings.weight_modulator.half_wave_v, V_PI_ERROR),
        "data_v_pi_v": (settings.data_modulator.half_wave_v, V_PI_ERROR),
    }
    bench.results["modulators"] = known_result(bench, "modulators", values, 10 * seed)
    return bench


def install_known(bench: CalibrationBench, seed: int) -> None:
    """Results of the routines without signal, as precise as their usual records make them."""
    inputs = {
        "electronic_noise": {
            f"{p}_electronic_v2": (electronic_v2(bench, p), 1e-3) for p in PARTIES
        },
        "shot_noise": {f"{p}_shot_v2": (shot_v2(bench, p), SHOT_ERROR) for p in PARTIES},
        "detector": {
            f"{p}_efficiency": (detector_of(bench.scene.settings, p).efficiency, EFFICIENCY_ERROR)
            for p in PARTIES
        },
    }
    for index, (name, values) in enumerate(inputs.items(), start=1):
        bench.results[name] = known_result(bench, name, values, 10 * seed + index)

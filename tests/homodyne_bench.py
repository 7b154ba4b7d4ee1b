"""A simulated homodyne bench with both parties' optics on it, calibrated by the scene."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drivers.instruments import BiasPoint, Digitiser, Instrument, Trigger
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.burst import BurstFormat
from drivers.optics.homodyne_choice import Coins
from drivers.optics.homodyne_client import HomodyneClientInstruments
from drivers.optics.homodyne_link import HomodyneLink
from drivers.optics.homodyne_lock import LockLimits
from drivers.optics.homodyne_server import HomodyneServerInstruments
from drivers.optics.homodyne_values import HomodyneSettings
from drivers.optics.link_values import ClientValues, ServerValues
from drivers.optics.slot_filter import SlotTiming, filter_all_slots
from drivers.receivers import PassiveTap
from sim_backend.instruments.simulated_bench import SimulatedBench
from sim_backend.scene import truth
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.lasers import LaserSettings
from sim_backend.scene.light import PHOTON_ENERGY_J
from sim_backend.scene.path import FrequencyShifterSettings
from sim_backend.scene.reference_settings import ReferenceSettings

__all__ = ["FORMAT", "QUIET", "HomodyneBench", "homodyne_scene", "open_homodyne_bench"]

QUIET = FibreSettings(
    length_m=200.0, thermal_phase_rad_per_sqrt_s=0.1, polarisation_scrambled=False
)
FORMAT = BurstFormat(if_cycles_per_symbol=0.0, least_vacuum_slots=512)
_STILL = FrequencyShifterSettings(shift_hz=0.0, loss_db=0.0)
_HEADROOM = 0.95


def homodyne_scene(
    *,
    tap: float = 0.5,
    fibre: FibreSettings = QUIET,
    linewidth_hz: float = 100.0,
    frequency_drift_hz: float = 1e5,
    matched: bool = False,
) -> ReferenceSettings:
    """The reference scene with one narrow laser and a phase shifter in each oscillator.

    Args:
        tap: of the client.
        fibre: of each way.
        linewidth_hz: of the laser.
        frequency_drift_hz: of the laser.
        matched: the oscillators' fibres are as long as the light's way to each detector.
    """
    usual = ReferenceSettings()
    lengths_m = (fibre.length_m, 2 * fibre.length_m) if matched else (0.0, 0.0)
    return ReferenceSettings(
        tap=tap,
        oscillators="shared",
        detection="homodyne",
        server_laser=LaserSettings(
            linewidth_hz=linewidth_hz, frequency_drift_hz=frequency_drift_hz
        ),
        client_shifter=_STILL,
        server_shifter=_STILL,
        forward_fibre=fibre,
        return_fibre=fibre,
        client_oscillator_fibre=replace(usual.client_oscillator_fibre, length_m=lengths_m[0]),
        server_oscillator_fibre=replace(usual.server_oscillator_fibre, length_m=lengths_m[1]),
    )


@dataclass(frozen=True, kw_only=True)
class HomodyneBench:
    """An open homodyne bench and the link over it; its light is on.

    Args:
        bench: makes the instruments.
        instruments: all of them, open, by role.
        link: over them.
    """

    bench: SimulatedBench
    instruments: dict[str, Instrument]
    link: HomodyneLink


def open_homodyne_bench(
    settings: ReferenceSettings | None = None,
    *,
    seed: int = 1,
    burst: BurstFormat = FORMAT,
    pilot_photons: float = 2000.0,
    modes_per_frame: int = 4096,
    calibration_samples: int = 1 << 21,
    phase_noise_rad: float = 0.03,
    limits: LockLimits | None = None,
    coins: Coins | None = None,
    on_failure: Callable[[str], None] | None = None,
) -> HomodyneBench:
    """Open all instruments, switch the light on and take calibrated values from the scene.

    Args:
        settings: of the scene.
        seed: of the bench.
        burst: format of bursts.
        pilot_photons: of pilots at launch.
        modes_per_frame: largest frame.
        calibration_samples: length of the records without signal.
        phase_noise_rad: calibrated for both receivers.
        limits: of the phase locks.
        coins: choose the quadratures.
        on_failure: see `HomodyneLink`.
    """
    bench = SimulatedBench(settings or homodyne_scene(), seed=seed)
    scene, clock = bench.scene, bench.clock
    laser = bench.laser("server", "laser")
    generators = [
        bench.waveform_generator("server", "weight_generator"),
        bench.waveform_generator("client", "data_generator"),
    ]
    biases = [
        bench.bias_controller("server", "weight_bias"),
        bench.bias_controller("client", "data_bias"),
    ]
    attenuator = bench.attenuator("server", "attenuator")
    switches = [bench.switch("client", "signal_switch"), bench.switch("server", "return_switch")]
    digitisers = [
        bench.digitiser("client", "tap_digitiser"),
        bench.digitiser("server", "return_digitiser"),
    ]
    phases = [
        bench.oscillator_phase("client", "tap_phase"),
        bench.oscillator_phase("server", "return_phase"),
    ]
    everything: list[Instrument] = [
        laser,
        *generators,
        *biases,
        attenuator,
        *switches,
        *digitisers,
        *phases,
    ]
    for instrument in everything:
        instrument.open()
    frames = BenchFrames(
        format=burst,
        pilot_photons=pilot_photons,
        modes_per_frame=modes_per_frame,
        transfer_time_s=1.0,
        backend="homodyne",
        simulated=True,
        seed=seed,
    )
    for generator in generators:
        generator.set_sample_rate(burst.sample_rate_hz)
    dark = [_slot_variance(one, frames, calibration_samples) for one in digitisers]
    laser.set_emission(True)
    clock.advance(60.0)
    for generator in generators:
        generator.set_output(0, True)
    for bias in biases:
        bias.lock(0, BiasPoint.NULL)
    clock.advance(5.0)
    generators[1].set_idle(0, scene.settings.data_modulator.half_wave_v)
    clock.advance(1e-3)
    lit = [_slot_variance(one, frames, calibration_samples) for one in digitisers]
    generators[1].set_idle(0, 0.0)
    attenuator.set_attenuation_db(0.0)
    attenuator.set_shutter(True)
    for switch in switches:
        switch.select("light")
    clock.advance(1.0)
    need = _HEADROOM**-2 * pilot_photons * burst.pulse.peak**2 * burst.samples_per_symbol
    attenuator.set_attenuation_db(round(10 * math.log10(_full_photons(bench, frames) / need), 2))
    clock.advance(1.0)
    forward = truth.transmittance(scene, "client") / scene.settings.tap
    shot = [lit[index] - dark[index] for index in range(2)]
    server = ServerValues(
        weight_v_pi_v=scene.settings.weight_modulator.half_wave_v,
        full_photons=_full_photons(bench, frames),
        attenuation_db=attenuator.attenuation_db(),
        round_trip_delay_s=truth.signal_delay_s(scene, "server"),
        forward_transmittance=forward,
        return_transmittance=truth.transmittance(scene, "server")
        / forward
        / (1 - scene.settings.tap),
        detection_efficiency=truth.detection_efficiency(scene, "server"),
        electronic_noise_v2=dark[1],
        shot_noise_v2=shot[1],
        phase_noise_rad=phase_noise_rad,
        gain_uncertainty=0.005,
    )
    delay_s = truth.signal_delay_s(scene, "client")
    clock_offset = scene.settings.client_adc.clock_offset_ppm * 1e-6
    gain = truth.transmittance(scene, "client") * truth.detection_efficiency(scene, "client")
    client = ClientValues(
        data_v_pi_v=scene.settings.data_modulator.half_wave_v,
        forward_delay_s=delay_s * (1 + clock_offset),
        oscillator_delay_s=delay_s * clock_offset,
        clock_offset=clock_offset,
        electronic_noise_v2=dark[0],
        shot_noise_v2=shot[0],
        signal_gain=math.sqrt(gain) * math.exp(-(phase_noise_rad**2) / 2),
        phase_noise_rad=phase_noise_rad,
    )
    link = HomodyneLink(
        HomodyneServerInstruments(
            generator=generators[0],
            attenuator=attenuator,
            digitiser=digitisers[1],
            phase=phases[1],
        ),
        HomodyneClientInstruments(
            generator=generators[1], digitiser=digitisers[0], phase=phases[0]
        ),
        HomodyneSettings(
            receiver=PassiveTap(tap_fraction=scene.settings.tap),
            frames=frames,
            server=server,
            client=client,
            return_phase_v_pi_v=scene.settings.server_phase_shifter.half_wave_v,
            tap_phase_v_pi_v=scene.settings.client_phase_shifter.half_wave_v,
            limits=limits or LockLimits(),
        ),
        on_failure=on_failure,
        coins=coins,
    )
    return HomodyneBench(bench=bench, instruments={one.name: one for one in everything}, link=link)


def _full_photons(bench: SimulatedBench, frames: BenchFrames) -> float:
    """Photons per slot at launch with the modulator fully open."""
    scene = bench.scene
    resting = scene.weight_modulator.transmission(0.0)
    opened = 10 ** (-scene.settings.weight_modulator.insertion_loss_db / 10)
    power = scene.idle_power_w("launch") / resting * opened
    return power / PHOTON_ENERGY_J / frames.format.symbol_rate_hz


def _slot_variance(digitiser: Digitiser, frames: BenchFrames, samples: int) -> float:
    """Variance of the matched filter's outputs around 0 Hz in a record without signal."""
    burst = frames.format
    digitiser.configure(burst.sample_rate_hz, samples, 1.0)
    digitiser.arm(Trigger.IMMEDIATE)
    digitiser.wait(1.0)
    volts = digitiser.fetch().volts[0]
    values: NDArray[np.complex64] = filter_all_slots(
        (volts - volts.mean()).astype(np.complex64),
        SlotTiming(start=0.0, samples_per_slot=burst.samples_per_symbol),
        burst.pulse,
        0.0,
        0,
        samples // burst.samples_per_symbol,
    )
    return float(np.var(values.real, dtype=np.float64))

"""A simulated bench with an amplifier and both parties' optics on it.

Values come from what the scene knows, meshes without errors unless models of them are given.
Tests of the optics and of the engine use it; the calibration routines have tests of their own.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from drivers.instruments import BiasPoint, Digitiser, Instrument, Trigger
from drivers.optics.amplifier_optics import (
    AmplifierBenchLink,
    AmplifierBenchSettings,
    AmplifierClientInstruments,
    AmplifierServerInstruments,
)
from drivers.optics.amplifier_values import (
    AmplifierClientValues,
    AmplifierServerValues,
    PortAgreement,
    port_format,
)
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.mesh_model import MeshModel
from drivers.optics.slot_filter import SlotTiming, filter_all_slots
from drivers.receivers import Amplifier
from sim_backend.instruments.simulated_amplifier_bench import SimulatedAmplifierBench
from sim_backend.scene import amplifier_bench as scenes
from sim_backend.scene import amplifier_truth as truth
from sim_backend.scene.mesh import MeshSettings

__all__ = ["OpenAmplifierBench", "bench_settings", "open_amplifier_bench", "perfect_mesh"]

_HEADROOM = 0.95


def perfect_mesh(ports: int) -> MeshSettings:
    """Meshes that do what they are told."""
    return MeshSettings(ports=ports, coupler_error_rad=0.0, phase_error_rad=0.0)


def bench_settings(
    *, ports: int = 8, gain: float = 2.0, mesh: MeshSettings | None = None
) -> scenes.AmplifierBenchSettings:
    """The scene for a number of ports and an agreed gain."""
    return scenes.AmplifierBenchSettings(mesh=mesh or perfect_mesh(ports), tap=1 - 1 / gain)


@dataclass(frozen=True, kw_only=True)
class OpenAmplifierBench:
    """An open bench, its light on, and the link over it."""

    bench: SimulatedAmplifierBench
    instruments: dict[str, Instrument]
    link: AmplifierBenchLink


def open_amplifier_bench(
    settings: scenes.AmplifierBenchSettings | None = None,
    *,
    seed: int = 1,
    gain: float = 2.0,
    pilot_photons: float = 200.0,
    modes_per_frame: int | None = None,
    models: tuple[MeshModel, MeshModel] | None = None,
    unitary_error_rad: float = 0.0,
    calibration_samples: int = 1 << 17,
) -> OpenAmplifierBench:
    """Open all instruments, switch the light on and take calibrated values from the scene."""
    chosen = settings or bench_settings(gain=gain)
    bench = SimulatedAmplifierBench(chosen, seed=seed)
    scene, clock = bench.scene, bench.clock
    agreement = PortAgreement(
        ports=bench.ports,
        frames=BenchFrames(
            format=port_format(),
            pilot_photons=pilot_photons,
            modes_per_frame=modes_per_frame or bench.ports,
            backend="waveform, amplifier",
            simulated=True,
            seed=seed,
        ),
    )
    lasers = [
        bench.laser("server", "laser"),
        bench.laser("server", "return_oscillator"),
        bench.laser("client", "oscillator"),
        bench.laser("client", "seed_laser"),
    ]
    generator, bias, attenuator = bench.weight_generator(), bench.weight_bias(), bench.attenuator()
    meshes = [bench.mesh_driver("mesh_driver"), bench.mesh_driver("return_mesh_driver")]
    amplifier = bench.optical_amplifier()
    tap, back = bench.tap_digitiser(), bench.return_digitiser()
    everything: list[Instrument] = [
        *lasers,
        generator,
        bias,
        attenuator,
        *meshes,
        amplifier,
        tap,
        back,
    ]
    for instrument in everything:
        instrument.open()
    generator.set_sample_rate(agreement.frames.format.sample_rate_hz)
    for port in range(bench.ports):
        generator.set_output(port, True)
    dark = [_slot_variances(one, agreement, calibration_samples) for one in (tap, back)]
    for laser in lasers:
        laser.set_emission(True)
    clock.advance(60.0)
    for port in range(bench.ports):
        bias.lock(port, BiasPoint.NULL)
    clock.advance(5.0)
    lit = [_slot_variances(one, agreement, calibration_samples) for one in (tap, back)]
    amplifier.set_gain_db(10 * math.log10(gain))
    amplifier.set_pump(True)
    attenuator.set_attenuation_db(0.0)
    attenuation = _attenuation_db(scene, agreement)
    attenuator.set_attenuation_db(attenuation)
    attenuator.set_shutter(True)
    clock.advance(1.0)
    receiver = Amplifier(gain=gain)
    efficiency = truth.detection_efficiency(scene) / 2
    forward, returned = truth.forward_transmittance(scene), truth.return_transmittance(scene)
    perfect = MeshModel.perfect(bench.ports, chosen.mesh.half_wave_v)
    client_shot = float(lit[0][0] - dark[0][0])
    added = efficiency * (receiver.outcome_variance_snu - 1)
    server = AmplifierServerValues(
        weight_v_pi_v=chosen.weight_modulator.half_wave_v,
        full_photons=truth.full_photons(
            scene, slot_rate_hz=agreement.frames.format.symbol_rate_hz
        ),
        attenuation_db=attenuation,
        round_trip_delay_s=0.0,
        forward_transmittance=forward,
        return_transmittance=returned,
        detection_efficiency=efficiency,
        electronic_noise_v2=tuple(dark[1].tolist()),
        shot_noise_v2=tuple((lit[1] - dark[1]).tolist()),
        data_mode_excess_snu=receiver.excess_noise_x_snu,
        unitary_error_rad=unitary_error_rad,
        phase_noise_rad=0.05,
        gain_uncertainty=0.01,
        variance_uncertainty=0.01,
    )
    client = AmplifierClientValues(
        mesh=models[0] if models else perfect,
        return_mesh=models[1] if models else perfect,
        gain_db=10 * math.log10(gain),
        forward_delay_s=0.0,
        shot_noise_v2=client_shot,
        signal_gain=math.sqrt(forward * efficiency) * receiver.signal_gain,
        outcome_variance_snu=1 + added + float(dark[0][0]) / client_shot,
    )
    link = AmplifierBenchLink(
        AmplifierServerInstruments(generator=generator, attenuator=attenuator, digitiser=back),
        AmplifierClientInstruments(
            mesh=meshes[0], return_mesh=meshes[1], amplifier=amplifier, digitiser=tap
        ),
        AmplifierBenchSettings(
            receiver=receiver, agreement=agreement, server=server, client=client
        ),
    )
    return OpenAmplifierBench(
        bench=bench, instruments={one.name: one for one in everything}, link=link
    )


def _attenuation_db(scene: scenes.AmplifierBench, agreement: PortAgreement) -> float:
    """What leaves the pilots' pulses just below what the modulators can make."""
    form = agreement.frames.format
    full = truth.full_photons(scene, slot_rate_hz=form.symbol_rate_hz)[0]
    need = _HEADROOM**-2 * agreement.frames.pilot_photons * form.pulse.peak**2
    return round(max(0.0, 10 * math.log10(full / (need * form.samples_per_symbol))), 2)


def _slot_variances(
    digitiser: Digitiser, agreement: PortAgreement, samples: int
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Per channel, variance of the matched filter's outputs in a record without signal."""
    form = agreement.frames.format
    digitiser.configure(form.sample_rate_hz, samples, 1.0)
    digitiser.arm(Trigger.IMMEDIATE)
    digitiser.wait(1.0)
    values = [
        filter_all_slots(
            volts,
            SlotTiming(start=0.0, samples_per_slot=form.samples_per_symbol),
            form.pulse,
            form.if_cycles_per_symbol / form.samples_per_symbol,
            0,
            samples // form.samples_per_symbol,
        )
        for volts in digitiser.fetch().volts
    ]
    return np.array([float(np.mean(np.abs(one) ** 2, dtype=np.float64)) / 2 for one in values])


def with_errors(settings: scenes.AmplifierBenchSettings) -> scenes.AmplifierBenchSettings:
    """The same scene with meshes as they are made."""
    return replace(settings, mesh=MeshSettings(ports=settings.mesh.ports))

"""A simulated bench with an amplifier and both parties' optics on it.

Values come from what the scene knows, meshes without errors unless models of them are given.
Tests of the optics and of the engine use it; the calibration routines have tests of their own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from drivers.instruments import BiasPoint, Instrument
from drivers.optics.amplifier_client import AmplifierClientInstruments
from drivers.optics.amplifier_optics import AmplifierBenchLink, AmplifierBenchSettings
from drivers.optics.amplifier_server import AmplifierServerInstruments
from drivers.optics.amplifier_values import (
    AmplifierClientValues,
    AmplifierServerValues,
    PortAgreement,
    port_format,
)
from drivers.optics.bench_frames import BenchFrames
from drivers.optics.mesh_model import MeshModel
from drivers.receivers import Amplifier
from sim_backend.instruments.simulated_amplifier_bench import SimulatedAmplifierBench
from sim_backend.scene import amplifier_bench as scenes
from sim_backend.scene import amplifier_truth as truth
from sim_backend.scene.mesh import MeshSettings

__all__ = [
    "OpenAmplifierBench",
    "bench_settings",
    "contract_link",
    "open_amplifier_bench",
    "perfect_mesh",
]

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
    client_range_v: float = 1.0,
    on_failure: Callable[[str], None] | None = None,
) -> OpenAmplifierBench:
    """Open all instruments, switch the light on and take calibrated values from the scene.

    Args:
        settings: of the scene; its tap must be that of the gain.
        seed: of the scene.
        gain: of the agreed receiver.
        pilot_photons: per port and pilot slot.
        modes_per_frame: largest frame; None for as many as there are ports.
        models: of both meshes, where they have errors.
        unitary_error_rad: that the server allows for.
        client_range_v: of the client's digitiser.
        on_failure: told of every lost block.
    """
    bench = SimulatedAmplifierBench(settings or bench_settings(gain=gain), seed=seed)
    agreement = PortAgreement(
        ports=bench.ports,
        frames=BenchFrames(
            format=port_format(),
            pilot_photons=pilot_photons,
            modes_per_frame=modes_per_frame or bench.ports,
            client_range_v=client_range_v,
            backend="waveform, amplifier",
            simulated=True,
            seed=seed,
        ),
    )
    server = AmplifierServerInstruments(
        generator=bench.weight_generator(),
        attenuator=bench.attenuator(),
        digitiser=bench.return_digitiser(),
    )
    client = AmplifierClientInstruments(
        mesh=bench.mesh_driver("mesh_driver"),
        return_mesh=bench.mesh_driver("return_mesh_driver"),
        amplifier=bench.optical_amplifier(),
        digitiser=bench.tap_digitiser(),
    )
    instruments = _light_up(bench, server, client, agreement, gain)
    perfect = MeshModel.perfect(bench.ports, bench.scene.settings.mesh.half_wave_v)
    link = AmplifierBenchLink(
        server,
        client,
        AmplifierBenchSettings(
            receiver=Amplifier(gain=gain),
            agreement=agreement,
            server=_server_values(bench.scene, agreement, gain, unitary_error_rad),
            client=_client_values(bench.scene, agreement, gain, models or (perfect, perfect)),
        ),
        on_failure=on_failure,
    )
    return OpenAmplifierBench(bench=bench, instruments=instruments, link=link)


def contract_link(modes_per_frame: int) -> AmplifierBenchLink:
    """A fresh link with a port for every mode, for the contract suite; it modulates X alone.

    Args:
        modes_per_frame: a power of two.
    """
    return open_amplifier_bench(bench_settings(ports=modes_per_frame)).link


def _light_up(
    bench: SimulatedAmplifierBench,
    server: AmplifierServerInstruments,
    client: AmplifierClientInstruments,
    agreement: PortAgreement,
    gain: float,
) -> dict[str, Instrument]:
    """Everything open and settled, the amplifier pumped, the shutter open."""
    lasers = [
        bench.laser("server", "laser"),
        bench.laser("server", "return_oscillator"),
        bench.laser("client", "oscillator"),
        bench.laser("client", "seed_laser"),
    ]
    bias = bench.weight_bias()
    everything: list[Instrument] = [
        *lasers,
        bias,
        *(server.generator, server.attenuator, server.digitiser),
        *(client.mesh, client.return_mesh, client.amplifier, client.digitiser),
    ]
    for instrument in everything:
        instrument.open()
    server.generator.set_sample_rate(agreement.frames.format.sample_rate_hz)
    for laser in lasers:
        laser.set_emission(True)
    bench.clock.advance(60.0)
    for port in range(bench.ports):
        server.generator.set_output(port, True)
        bias.lock(port, BiasPoint.NULL)
    bench.clock.advance(5.0)
    client.amplifier.set_gain_db(10 * math.log10(gain))
    client.amplifier.set_pump(True)
    server.attenuator.set_attenuation_db(0.0)
    server.attenuator.set_attenuation_db(_attenuation_db(bench.scene, agreement))
    server.attenuator.set_shutter(True)
    bench.clock.advance(1.0)
    return {one.name: one for one in everything}


def _server_values(
    scene: scenes.AmplifierBench, agreement: PortAgreement, gain: float, unitary_error_rad: float
) -> AmplifierServerValues:
    form = agreement.frames.format
    rate_hz = form.sample_rate_hz
    shot = truth.shot_variance_v2(scene, "server", rate_hz=rate_hz)
    dark = truth.electronic_variance_v2(
        scene, "server", rate_hz=rate_hz, range_v=agreement.frames.server_range_v
    )
    return AmplifierServerValues(
        weight_v_pi_v=scene.settings.weight_modulator.half_wave_v,
        full_photons=truth.full_photons(scene, slot_rate_hz=form.symbol_rate_hz),
        attenuation_db=round(scene.launch_attenuator.attenuation_db(), 2),
        round_trip_delay_s=0.0,
        forward_transmittance=truth.forward_transmittance(scene),
        return_transmittance=truth.return_transmittance(scene),
        detection_efficiency=truth.detection_efficiency(scene) / 2,
        electronic_noise_v2=(dark,) * scene.ports,
        shot_noise_v2=(shot,) * scene.ports,
        data_mode_excess_snu=Amplifier(gain=gain).excess_noise_x_snu,
        unitary_error_rad=unitary_error_rad,
        phase_noise_rad=0.05,
        gain_uncertainty=0.01,
        variance_uncertainty=0.01,
    )


def _client_values(
    scene: scenes.AmplifierBench,
    agreement: PortAgreement,
    gain: float,
    models: tuple[MeshModel, MeshModel],
) -> AmplifierClientValues:
    receiver, rate_hz = Amplifier(gain=gain), agreement.frames.format.sample_rate_hz
    efficiency = truth.detection_efficiency(scene) / 2
    shot = truth.shot_variance_v2(scene, "client", rate_hz=rate_hz)
    dark = truth.electronic_variance_v2(
        scene, "client", rate_hz=rate_hz, range_v=agreement.frames.client_range_v
    )
    added = efficiency * (receiver.outcome_variance_snu - 1)
    return AmplifierClientValues(
        mesh=models[0],
        return_mesh=models[1],
        gain_db=10 * math.log10(gain),
        forward_delay_s=0.0,
        shot_noise_v2=shot,
        signal_gain=math.sqrt(truth.forward_transmittance(scene) * efficiency)
        * receiver.signal_gain,
        outcome_variance_snu=1 + added + dark / shot,
    )


def _attenuation_db(scene: scenes.AmplifierBench, agreement: PortAgreement) -> float:
    """What leaves the pilots' pulses just below what the modulators can make."""
    form = agreement.frames.format
    full = truth.full_photons(scene, slot_rate_hz=form.symbol_rate_hz)[0]
    need = _HEADROOM**-2 * agreement.frames.pilot_photons * form.pulse.peak**2
    return round(max(0.0, 10 * math.log10(full / (need * form.samples_per_symbol))), 2)

"""Benches with an amplifier drawn at random, what their owners know, and what is true of them.

Truths are those of another scene of the same specimens with all light on, which no routine saw.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

from calibration.result import Setting
from calibration.routines._mesh_plans import collecting_all, undoing_all
from calibration.routines._roles import PARTIES
from drivers.optics.amplifier_values import port_format
from drivers.optics.mesh_model import MeshModel
from drivers.optics.mesh_programming import error_rad
from sim_backend.scene import amplifier_truth as truth
from sim_backend.scene.amplifier import OpticalAmplifierSettings
from sim_backend.scene.amplifier_bench import AmplifierBench, AmplifierBenchSettings
from sim_backend.scene.converters import AdcSettings
from sim_backend.scene.detectors import BalancedDetectorSettings, PowerHeadSettings
from sim_backend.scene.lasers import LaserSettings
from sim_backend.scene.mesh import MeshSettings
from sim_backend.scene.modulators import MachZehnderSettings
from sim_backend.scene.path import AttenuatorSettings

__all__ = [
    "PORTS",
    "DrawnPorts",
    "draw_ports",
    "lit_scene",
    "loss_truths",
    "mesh_truths",
    "noise_truths",
    "photon_truths",
    "turned_rad",
]

PORTS = 4
BURST = port_format()
PHOTONS = 200.0
METER, TAP, EFFICIENCY = 0.01, 1e-3, 0.01
"""Standard uncertainties of the power meter (relative), the tap and the client's efficiency."""
VECTORS = 2000
"""Data vectors over which the meshes' true errors are averaged."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DrawnPorts:
    """A scene and what its owners know of it."""

    settings: AmplifierBenchSettings
    head: PowerHeadSettings
    gain_db: float
    known: dict[str, Setting]


def detector(rng: np.random.Generator) -> BalancedDetectorSettings:
    return BalancedDetectorSettings(
        efficiency=float(rng.uniform(0.6, 0.9)),
        mode_match=float(rng.uniform(0.93, 0.99)),
        common_mode_rejection_db=float(rng.uniform(45, 60)),
        transimpedance_v_per_a=float(rng.uniform(7e3, 1.2e4)),
        electronic_noise_v_per_sqrt_hz=float(rng.uniform(1.5e-8, 4e-8)),
    )


def laser(rng: np.random.Generator, base: LaserSettings, low_w: float) -> LaserSettings:
    """Of `low_w` to twice that."""
    return replace(
        base,
        power_w=low_w * float(rng.uniform(1, 2)),
        linewidth_hz=float(10 ** rng.uniform(2.7, 3.3)),
    )


def draw_ports(rng: np.random.Generator) -> DrawnPorts:
    """A bench that nobody has seen before."""
    base = AmplifierBenchSettings()
    gain_db = float(rng.uniform(2.0, 6.0))
    client_detector = detector(rng)
    settings = AmplifierBenchSettings(
        server_laser=laser(rng, base.server_laser, 10e-3),
        client_oscillator_laser=laser(rng, base.client_oscillator_laser, 1.5e-3),
        server_oscillator_laser=laser(rng, base.server_oscillator_laser, 8e-3),
        weight_modulator=MachZehnderSettings(
            half_wave_v=float(rng.uniform(2.5, 4.5)),
            extinction_db=float(rng.uniform(30, 45)),
            insertion_loss_db=float(rng.uniform(3, 5)),
        ),
        launch_attenuator=AttenuatorSettings(
            insertion_loss_db=float(rng.uniform(0.5, 1.5)),
            error_db=0.1 * float(rng.standard_normal()),
        ),
        patch=replace(
            base.patch,
            connector_loss_db=float(rng.uniform(0.2, 0.6)),
            thermal_phase_rad_per_sqrt_s=0.0,
        ),
        mesh=MeshSettings(
            ports=PORTS,
            half_wave_v=float(rng.uniform(3, 5)),
            coupler_error_rad=float(rng.uniform(0.005, 0.015)),
            insertion_loss_db=float(rng.uniform(2, 4)),
        ),
        amplifier=OpticalAmplifierSettings(inversion=float(rng.uniform(1.0, 2.0))),
        tap=1 - 10 ** (-gain_db / 10),
        client_detector=client_detector,
        server_detector=detector(rng),
        adc=AdcSettings(
            effective_bits=float(rng.uniform(9.5, 11.0)),
            trigger_jitter_s=float(rng.uniform(1e-12, 1e-11)),
        ),
    )
    head = PowerHeadSettings(relative_error=METER * float(rng.standard_normal()))
    return DrawnPorts(
        settings=settings, head=head, gain_db=gain_db, known=known(rng, settings, gain_db)
    )


def known(
    rng: np.random.Generator, settings: AmplifierBenchSettings, gain_db: float
) -> dict[str, Setting]:
    """Settings of the routines: data sheets are right within their uncertainties, not exactly."""
    unit = settings.client_detector
    return {
        "gain_db": gain_db,
        "server_laser_w": settings.server_laser.power_w,
        "server_oscillator_w": settings.server_oscillator_laser.power_w,
        "client_oscillator_w": settings.client_oscillator_laser.power_w,
        "mesh_half_wave_v": settings.mesh.half_wave_v,
        "weight_v_pi_v": settings.weight_modulator.half_wave_v
        * (1 + 0.01 * float(rng.standard_normal())),
        "pilot_photons": PHOTONS,
        "meter_uncertainty": METER,
        "tap_fraction": settings.tap + TAP * float(rng.standard_normal()),
        "tap_uncertainty": TAP,
        "client_efficiency": unit.efficiency * unit.mode_match**2
        + EFFICIENCY * float(rng.standard_normal()),
        "client_efficiency_uncertainty": EFFICIENCY,
    }


def lit_scene(drawn: DrawnPorts, seed: int, attenuation_db: float) -> AmplifierBench:
    """A scene of the same specimens with all light on."""
    scene = AmplifierBench(drawn.settings, seed=seed)
    for source in (
        scene.server_laser,
        scene.server_oscillator_laser,
        scene.client_oscillator_laser,
        scene.seed_laser,
    ):
        source.set_emission(True)
    scene.launch_attenuator.set_attenuation_db(attenuation_db)
    scene.launch_attenuator.shutter_open = True
    scene.amplifier.set_gain_db(drawn.gain_db)
    scene.amplifier.pump = True
    scene.clock.advance(60.0)
    return scene


def noise_truths(scene: AmplifierBench) -> dict[str, float]:
    found: dict[str, float] = {}
    rate_hz = BURST.sample_rate_hz
    for party in PARTIES:
        dark = truth.electronic_variance_v2(scene, party, rate_hz=rate_hz, range_v=1.0)
        shot = truth.shot_variance_v2(scene, party, rate_hz=rate_hz)
        for channel in range(1 if party == "client" else PORTS):
            found[f"{party}_{channel}_electronic_v2"] = dark
            found[f"{party}_{channel}_shot_v2"] = shot
            found[f"{party}_{channel}_clearance_db"] = 10 * math.log10(1 + shot / dark)
    return found


def photon_truths(scene: AmplifierBench) -> dict[str, float]:
    photons = truth.full_photons(scene, slot_rate_hz=BURST.symbol_rate_hz)
    return {
        "weight_v_pi_v": scene.settings.weight_modulator.half_wave_v,
        **{f"full_photons_{port}": value for port, value in enumerate(photons)},
    }


def mesh_truths(
    scene: AmplifierBench, models: tuple[MeshModel, MeshModel], rng: np.random.Generator
) -> dict[str, float]:
    """The meshes' errors, and what is wrong when they are programmed with calibrated models."""
    specimens = (scene.forward_mesh, scene.return_mesh)
    found = {"returned_amplitude": truth.returned_amplitude(scene)}
    for name, specimen in zip(("mesh", "return_mesh"), specimens, strict=True):
        specimen.set_voltages(np.zeros(specimen.channels))
        for index, phase in enumerate(specimen.phases()):
            found[f"{name}_offset_{index}_rad"] = float(phase)
        for index, error in enumerate(specimen._coupler_errors.reshape(-1)):
            found[f"{name}_coupler_{index}_rad"] = float(error)
    turned = turned_rad(scene, models, directions(rng, VECTORS))
    found["unitary_error_rad"], found["collecting_error_rad"] = np.sqrt((turned**2).mean(axis=0))
    return found


def turned_rad(
    scene: AmplifierBench, models: tuple[MeshModel, MeshModel], vectors: Floats
) -> Floats:
    """Angles by which round trip and collected mode miss each data vector, shape (vectors, 2)."""
    mesh, return_mesh = models
    forward = collecting_all(mesh, vectors)
    back = undoing_all(return_mesh, mesh.slopes(forward).unitary)
    data = vectors.astype(np.complex128)
    found = []
    for vector, first, second in zip(data, forward, back, strict=True):
        scene.forward_mesh.set_voltages(mesh.volts(first))
        scene.return_mesh.set_voltages(return_mesh.volts(second))
        along = abs(complex(scene.forward_mesh.unitary()[0] @ vector))
        turned = error_rad(truth.round_trip(scene), vector)
        found.append((turned, math.acos(min(along, 1.0))))
    return np.array(found)


def loss_truths(scene: AmplifierBench, rng: np.random.Generator) -> dict[str, float]:
    settings = scene.settings
    gain, tap = scene.amplifier.gain(), scene.tap.tap_transmission()
    forward, back = truth.forward_transmittance(scene), truth.return_transmittance(scene)
    unit = settings.client_detector
    client = unit.efficiency * unit.mode_match**2 / 2
    server = truth.detection_efficiency(scene) / 2
    # Photons of the amplifier, 2 n_sp (G - 1) in shot-noise units, behind tap and efficiency.
    added = 2 * settings.amplifier.inversion * (gain - 1)
    vacuum = {
        "client": noise_of(scene, "client") + client * tap * added,
        "server": noise_of(scene, "server") + server * back * (1 - tap) * added / PORTS,
    }
    bare = {
        "client": math.sqrt(forward * gain * tap * client),
        "server": math.sqrt(forward * back * server),
    }
    left = {
        "client": tracking(scene, "client", bare["client"], vacuum["client"], directions(rng, 32)),
        "server": tracking(scene, "server", bare["server"], vacuum["server"], np.eye(PORTS)),
    }
    return {
        "client_gain": bare["client"] * math.exp(-left["client"] / 2),
        "return_gain": bare["server"] * math.exp(-left["server"] / 2),
        "forward_transmittance": forward,
        "client_vacuum_snu": vacuum["client"],
        "forward_delay_s": settings.patch.delay_s,
        "round_trip_delay_s": 2 * settings.patch.delay_s,
        "client_phase_variance_rad2": left["client"],
        "server_phase_variance_rad2": left["server"],
    }


def noise_of(scene: AmplifierBench, party: truth.Party) -> float:
    """Shot and electronic noise in shot-noise units."""
    rate_hz = BURST.sample_rate_hz
    dark = truth.electronic_variance_v2(scene, party, rate_hz=rate_hz, range_v=1.0)
    return 1 + dark / truth.shot_variance_v2(scene, party, rate_hz=rate_hz)


def directions(rng: np.random.Generator, count: int) -> Floats:
    """Random unit vectors, shape (count, ports)."""
    found = rng.standard_normal((count, PORTS))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def tracking(
    scene: AmplifierBench,
    party: truth.Party,
    gain: float,
    noise: float,
    responses: Floats,
) -> float:
    """Mean squared phase error that the best smoother leaves in data slots, per response.

    A round of pilots shows the phase averaged over its slots by the light in each; the smoother
    weighs rounds by powers of 1 - K on both sides and goes straight from one to the next. The mean
    square of sum_i a_i phase_i with sum_i a_i = 0 is -1/2 sum_ij a_i a_j D(i - j), D the mean
    squared difference of two slots' phases: the walk's variance per slot w times the slots between
    less c, the mean distance of two points drawn from the pulse's energy.
    """
    own = "client_oscillator_laser" if party == "client" else "server_oscillator_laser"
    linewidth_hz = scene.server_laser.settings.linewidth_hz
    linewidth_hz += getattr(scene, own).settings.linewidth_hz
    walk = 2 * math.pi * linewidth_hz / BURST.symbol_rate_hz
    reading = noise / (PORTS * (2 * math.sqrt(PHOTONS) * gain) ** 2)
    within = np.arange(PORTS) * BURST.pilot_spacing
    spacing = PORTS * BURST.pilot_spacing
    found = []
    for response in responses:
        shares = (hadamard(PORTS) @ response) ** 2 / PORTS
        spread = float(shares @ np.abs(within[:, None] - within) @ shares)
        ratio = spacing * walk / max(reading - walk * spread / 2, 1e-9)
        predicted = (ratio + math.sqrt(ratio**2 + 4 * ratio)) / 2
        weight = predicted / (predicted + 1)
        found.append(_left(walk, reading, weight, shares, round(float(shares @ within)) % spacing))
    return float(np.mean(found))


def _left(walk: float, reading: float, weight: float, shares: Floats, centre: int) -> float:
    """Of one response whose rounds have their light around the slot `centre`."""
    reach, spacing = 12, PORTS * BURST.pilot_spacing
    rounds = np.arange(-reach, reach + 2)
    slots = np.arange(rounds[0] * spacing, (rounds[-1] + 1) * spacing)
    steps = np.abs(slots[:, None] - slots).astype(np.float64)
    differences = walk * np.where(steps > 0, steps - _spread_in_slot(), 0.0)
    errors = []
    for place in range(spacing):
        if (centre + place) % BURST.pilot_spacing == 0:
            continue  # a pilot
        share = place / spacing
        ends = [weight / (2 - weight) * (1 - weight) ** np.abs(rounds - end) for end in (0, 1)]
        weights = (1 - share) * ends[0] + share * ends[1]
        weights /= weights.sum()
        combined = np.zeros(slots.size)
        for pilot in range(PORTS):
            combined[pilot * BURST.pilot_spacing :: spacing] = weights * shares[pilot]
        combined[slots == centre + place] -= 1
        walked = -combined @ differences @ combined / 2
        errors.append(walked + reading * float(weights @ weights))
    return float(np.mean(errors))


def _spread_in_slot() -> float:
    """Mean distance of two points drawn from the Hann pulse's energy, in slots."""
    places = (np.arange(400) + 0.5) / 400
    energy = np.sin(math.pi * places) ** 4
    energy /= energy.sum()
    return float(energy @ np.abs(places[:, None] - places) @ energy)

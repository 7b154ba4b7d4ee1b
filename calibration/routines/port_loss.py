"""Loss, delay and phase of a bench with an amplifier, as a run over it will find them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from calibration.fits.estimates import Estimate, critical_value, log_normal, normal
from calibration.fits.least_squares import Array
from calibration.result import FitData, Quantity, Result, Series, Setting
from calibration.routine import Context, Routine
from calibration.routines._port_stage import PORT_ROLES, PORT_SETTINGS, PortStage
from calibration.routines._roles import Party
from calibration.routines.mesh import meshes_of
from drivers.errors import CalibrationError
from drivers.instruments import Trace
from drivers.optics.mesh_model import MeshModel
from drivers.optics.mesh_programming import collecting, undoing
from drivers.optics.port_receiver import PortFrames, port_frames

__all__ = ["PortLoss"]

_LEAST_VECTORS: Final = 4


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """Records of one data vector: the client's and those of the server's ports."""

    client: PortFrames
    server: tuple[PortFrames, ...]


class PortLoss(Routine):
    """Gains of both parties' records for launched means, with the meshes set to random data.

    Pilots of known photons go the way of a run: through the calibrated meshes and the pumped
    amplifier. A launched mean q arrives in the client's record as client_gain (q . x) and in the
    server's as return_gain q, shrunk by exp(-v/2) by the phase error v that the tracking leaves.
    The client's gain is sqrt(forward G tau eta / 2) exp(-v/2) for the amplifier's measured gain G,
    the tap tau and a heterodyne record with efficiency eta (two settings, from data sheets), which
    tells forward_transmittance. Also what the client's detector sees in the vacuum slots under the
    pumped amplifier, what the phase tracking leaves, and the delays.

    Intervals hold everything: beside the scatter of data vectors, that launched means are known no
    better than the photons of the routine "port_photons", and records no better than the shot noise
    of "port_noise", which is their unit. return_gain_scatter is the relative scatter alone, which
    is what a run compares: its means and records are in the same photons and shot noise.
    """

    name = "port_loss"
    needs = ("port_noise", "port_photons", "mesh", "amplifier")
    roles = PORT_ROLES
    validity_s = 3600.0
    temperature_tolerance_c = 0.5
    duration_s = 30.0
    defaults: ClassVar[Mapping[str, Setting]] = {
        **PORT_SETTINGS,
        "pilot_photons": 200.0,
        "tap_fraction": 0.5,
        "tap_uncertainty": 1e-3,
        "client_efficiency": 0.816,
        "client_efficiency_uncertainty": 0.01,
        "vectors": 16,
    }

    def run(self, context: Context) -> Result:
        """See `Routine.run`.

        Raises:
            CalibrationError: too few data vectors.
            OpticsError: a record cannot be read.
        """
        stage, vectors = PortStage(context), context.setting("vectors", int)
        if vectors < _LEAST_VECTORS:
            raise CalibrationError(
                f"port_loss: vectors is {vectors}, {_LEAST_VECTORS} are needed for their scatter"
            )
        meshes = meshes_of(context.results["mesh"], stage.number("mesh_half_wave_v"), stage.ports)
        context.progress(0, vectors, "switching on")
        stage.lasers_on()
        stage.pump(stage.number("gain_db"))
        stage.open_shutter(context.results["port_photons"]["attenuation_db"].value)
        seen = []
        for done in range(vectors):
            context.progress(done, vectors, "sending pilots along data vectors")
            seen.append(_see(context, stage, meshes))
        mean_q = 2 * math.sqrt(stage.number("pilot_photons"))
        gains = _by_party(seen, lambda one: one.pilot_amplitude * one.phase.mean_factor / mean_q)
        return context.result(
            quantities=_quantities(context, stage, seen, gains),
            fit_data=[
                _plot("client_gain", gains["client"]),
                _plot("return_gain", gains["server"]),
            ],
        )


def _quantities(
    context: Context, stage: PortStage, seen: Sequence[_Seen], gains: Mapping[Party, Array]
) -> list[Quantity]:
    gain, back = _mean(gains["client"]), _mean(gains["server"])
    scatter = float(gains["server"].std(ddof=1)) / back.value
    spread = scatter / math.sqrt(2 * (len(seen) - 1))
    rate_hz = stage.format.sample_rate_hz
    timing_s = _by_party(seen, lambda one: one.timing_error_samples / rate_hz)
    phase = _phase_variances(stage, seen)
    vacuum = _mean([one.client.vacuum_snu for one in seen])
    launched = _launched_error(context)
    shot = {"client": _shot_error(context, "client", 1)}
    shot["server"] = _shot_error(context, "server", stage.ports)
    client = _widened(gain, math.hypot(launched, shot["client"] / 2))
    server = _widened(back, math.hypot(launched, shot["server"] / 2))
    forward = _forward(context, stage, client, phase["client"].value)
    return [
        client.quantity("client_gain", "1"),
        server.quantity("return_gain", "1"),
        normal(scatter, spread).quantity("return_gain_scatter", "1"),
        forward.quantity("forward_transmittance", "1"),
        _widened(vacuum, shot["client"]).quantity("client_vacuum_snu", "SNU"),
        _mean(timing_s["client"]).quantity("forward_delay_s", "s"),
        _mean(timing_s["server"]).quantity("round_trip_delay_s", "s"),
        phase["client"].quantity("client_phase_variance_rad2", "rad^2"),
        phase["server"].quantity("server_phase_variance_rad2", "rad^2"),
    ]


def _by_party(seen: Sequence[_Seen], read: Callable[[PortFrames], float]) -> dict[Party, Array]:
    """A number of every data vector's records; of the server's, the mean of its ports."""
    return {
        "client": np.array([read(one.client) for one in seen]),
        "server": np.array([np.mean([read(port) for port in one.server]) for one in seen]),
    }


def _see(context: Context, stage: PortStage, meshes: tuple[MeshModel, MeshModel]) -> _Seen:
    """Pilots of a run through meshes that are set to one random data vector."""
    photons = context.results["port_photons"]
    full = np.array([photons[f"full_photons_{port}"].value for port in range(stage.ports)])
    vector = context.rng.standard_normal(stage.ports)
    data = (vector / np.linalg.norm(vector)).astype(np.complex128)
    mesh, return_mesh = meshes
    forward = collecting(mesh, data)
    back = undoing(return_mesh, mesh.transfer(forward))
    stage.set_meshes(mesh.volts(forward), return_mesh.volts(back))
    per_slot = stage.number("pilot_photons") * stage.format.samples_per_symbol
    traces = stage.play(np.sqrt(per_slot / full), photons["weight_v_pi_v"].value)
    noise = context.results["port_noise"]

    def read(trace: Trace, party: str, channel: int, expected: Array) -> PortFrames:
        return port_frames(
            trace.volts[channel],
            stage.burst,
            expected.astype(np.complex128),
            delay_s=0.0,
            shot_noise_v2=noise[f"{party}_{channel}_shot_v2"].value,
            instrument=f"{party} channel {channel}",
        )

    ports = np.eye(stage.ports)
    return _Seen(
        client=read(traces["client"], "client", 0, data.real),
        server=tuple(
            read(traces["server"], "server", port, ports[port]) for port in range(stage.ports)
        ),
    )


def _mean(values: Sequence[float] | Array) -> Estimate:
    """Mean of what several data vectors showed, with Student's interval from their scatter."""
    found = np.asarray(values, dtype=np.float64)
    error = float(found.std(ddof=1)) / math.sqrt(found.size)
    return normal(float(found.mean()), error, degrees_of_freedom=found.size - 1)


def _widened(found: Estimate, relative: float) -> Estimate:
    """An estimate with a known relative standard uncertainty beside that of its scatter."""
    known = abs(found.value) * relative
    half = math.hypot(found.interval95[1] - found.value, critical_value() * known)
    return Estimate(
        value=found.value,
        uncertainty=math.hypot(found.uncertainty, known),
        interval95=(found.value - half, found.value + half),
    )


def _launched_error(context: Context) -> float:
    """Relative standard uncertainty of launched means; the meter's is common to all ports."""
    results = context.results["port_photons"]
    photons, v_pi = results["full_photons_0"], results["weight_v_pi_v"]
    return math.hypot(photons.uncertainty / photons.value / 2, v_pi.uncertainty / v_pi.value)


def _shot_error(context: Context, party: Party, channels: int) -> float:
    """Relative standard uncertainty of a party's unit of variance, its detectors averaged."""
    noise = context.results["port_noise"]
    shots = [noise[f"{party}_{channel}_shot_v2"] for channel in range(channels)]
    return math.hypot(*(shot.uncertainty / shot.value for shot in shots)) / channels


def _phase_variances(stage: PortStage, seen: Sequence[_Seen]) -> dict[Party, Estimate]:
    """What the tracking leaves, by its own prediction.

    The prediction takes a round of pilots for one reading at one moment. It shows the phase
    averaged over the round, whose walk of variance w per slot takes w c/2 from the variance R of a
    reading, c the mean distance of two points drawn from its light. What is left goes with the root
    of R, so that the prediction is off by at most w c/(4 R) of itself, taken as the half width of a
    rectangle (JCGM 100:2008, 4.3.7).
    """
    ports, form = stage.ports, stage.format
    # Of the server's rounds all pilots are alike; along a random unit vector of the client's two
    # different ones have n/(n + 2) of that weight together, by the moments of its entries.
    even = form.pilot_spacing * (ports**2 - 1) / (3 * ports)
    distances: dict[Party, float] = {"client": even * ports / (ports + 2), "server": even}
    found = _by_party(seen, lambda one: one.phase.mean_variance_rad2)
    walks = _by_party(
        seen,
        lambda one: (
            2
            * math.pi
            * one.phase.linewidth_hz
            / form.symbol_rate_hz
            / one.phase.pilot_variance_rad2
        ),
    )
    return {
        party: _widened(_mean(values), float(walks[party].mean()) * distances[party] / 4 / 3**0.5)
        for party, values in found.items()
    }


def _forward(
    context: Context, stage: PortStage, client_gain: Estimate, phase_variance_rad2: float
) -> Estimate:
    """Power transmittance from the launch to the amplifier's input."""
    gain = context.results["amplifier"]["gain"]
    tap, efficiency = stage.number("tap_fraction"), stage.number("client_efficiency")
    power = client_gain.value**2 * math.exp(phase_variance_rad2)
    value = power / (gain.value * tap * efficiency / 2)
    tap_error = stage.number("tap_uncertainty")
    relative = math.hypot(
        2 * client_gain.uncertainty / client_gain.value,
        gain.uncertainty / gain.value,
        tap_error / tap,
        # The gain was told from what the same tap leaves: a larger one errs both the same way.
        tap_error * math.sqrt(2 / (tap * (1 - tap))),
        stage.number("client_efficiency_uncertainty") / efficiency,
    )
    return log_normal(value, value * relative)


def _plot(name: str, gains: Array) -> FitData:
    return FitData(
        name=name,
        x=Series(name="data vector", unit="1", values=np.arange(1.0, gains.size + 1)),
        measured=Series(name=name.replace("_", " "), unit="1", values=gains),
        fitted=Series(name="mean", unit="1", values=np.full(gains.size, gains.mean())),
    )

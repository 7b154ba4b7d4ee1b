"""From what the routines of an amplifier's bench found to what each party's optics must know.

Owns which quantity of which routine becomes which value, and that the values agree with one
another: the product of transmittances and detection that the server claims is the gain that was
measured.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from calibration.checks import Conditions, require_all
from calibration.result import Result, Setting
from calibration.routines import amplifier_routines
from calibration.routines.mesh import meshes_of
from calibration.store import Store
from drivers.errors import CalibrationError, ConfigurationError
from drivers.optics.amplifier_values import AmplifierClientValues, AmplifierServerValues

__all__ = [
    "AMPLIFIER_ROUTINES",
    "AmplifierBenchValues",
    "assemble_amplifier_values",
    "load_amplifier_values",
]

AMPLIFIER_ROUTINES: Final = ("port_noise", "port_photons", "mesh", "amplifier", "port_loss")
"""Routines whose results a run over such a bench needs."""

_EARLIEST_S: Final = 1e-10
"""What the two ends of a burst may differ in by the shape of pulses; a tenth of a sample."""


@dataclass(frozen=True, kw_only=True)
class AmplifierBenchValues:
    """What a run over a bench with an amplifier needs of its calibration.

    Args:
        server: for the server's optics.
        client: for the client's optics.
        power_w: role (`party.role`) -> power of each laser at which the bench was calibrated.
        taints: what stood against a result and was overridden; goes into the record of the run.
    """

    server: AmplifierServerValues
    client: AmplifierClientValues
    power_w: Mapping[str, float]
    taints: tuple[str, ...] = ()


def load_amplifier_values(
    store: Store,
    conditions: Conditions,
    *,
    settings: Mapping[str, Mapping[str, Setting]] | None = None,
    override: bool = False,
) -> AmplifierBenchValues:
    """The values of the newest results in a store, if they may be used.

    Args:
        store: of the bench.
        conditions: where and when they are to be used.
        settings: routine -> what the bench says about its settings, defaults for the rest; results
            made with others are refused. None accepts any.
        override: use results in spite of what stands against them; the taints say what. A missing
            result cannot be overridden.

    Raises:
        CalibrationError: a result is missing, something stands against one and `override` is
            false, or a number cannot be a property of a bench.
        ConfigurationError: a setting is unknown or of another type than its default.
    """
    results, taints = require_all(
        store,
        amplifier_routines(),
        AMPLIFIER_ROUTINES,
        conditions,
        settings=settings,
        override=override,
    )
    return assemble_amplifier_values(results, taints=taints)


def assemble_amplifier_values(
    results: Mapping[str, Result], *, taints: tuple[str, ...] = ()
) -> AmplifierBenchValues:
    """The values of given results, without asking whether they may be used.

    return_gain^2 = forward return detection exp(-phase_noise^2): the server's detection is that of
    the client's data sheet (the settings of the routine "port_loss"), half of it per quadrature of
    a heterodyne record, and the transmittance of the return is what is left. What an honest client
    adds to the data mode is the noise of its amplifier, as measured, behind its tap.

    Args:
        results: routine -> result, for all of `AMPLIFIER_ROUTINES`.
        taints: to be handed on.

    Raises:
        CalibrationError: a result or quantity is missing, or a number cannot be a property of a
            bench.
    """
    missing = [name for name in AMPLIFIER_ROUTINES if name not in results]
    if missing:
        raise CalibrationError(
            f"calibration of the bench lacks {', '.join(missing)}; run `veilight calibrate "
            f"{' '.join(missing)}`"
        )
    loss = results["port_loss"]
    powers = {
        f"{party}.{role}": _setting(loss, name)
        for party, role, name in (
            ("server", "laser", "server_laser_w"),
            ("server", "return_oscillator", "server_oscillator_w"),
            ("client", "oscillator", "client_oscillator_w"),
            ("client", "seed_laser", "seed_laser_w"),
        )
    }
    try:
        return AmplifierBenchValues(
            server=_server(results), client=_client(results), power_w=powers, taints=taints
        )
    except ConfigurationError as error:
        raise CalibrationError(f"the calibration describes no bench: {error}") from error


def _server(results: Mapping[str, Result]) -> AmplifierServerValues:
    loss, photons, noise = results["port_loss"], results["port_photons"], results["port_noise"]
    ports = _ports(results)
    forward = loss["forward_transmittance"].value
    variance = loss["server_phase_variance_rad2"].value
    detection = _setting(loss, "client_efficiency") / 2
    path = loss["return_gain"].value ** 2 * math.exp(variance)
    back = path / (forward * detection)
    if not back <= 1:
        raise CalibrationError(
            f"calibration port_loss: the return would pass {back:.3g} of the light: forward "
            f"{forward:.3g} and an efficiency of {2 * detection:.3g} are too low for the gain that "
            "was measured; check the data sheets' settings, then run `veilight calibrate port_loss`"
        )
    shots = [noise[f"server_{port}_shot_v2"] for port in range(ports)]
    added = results["amplifier"]["added_noise_snu"]
    kept = 1 - _setting(loss, "tap_fraction")
    unsure = back * detection * kept * added.uncertainty / ports
    return AmplifierServerValues(
        weight_v_pi_v=photons["weight_v_pi_v"].value,
        full_photons=tuple(photons[f"full_photons_{port}"].value for port in range(ports)),
        attenuation_db=photons["attenuation_db"].value,
        round_trip_delay_s=_delay_s(loss, "round_trip_delay_s"),
        forward_transmittance=forward,
        return_transmittance=back,
        detection_efficiency=detection,
        electronic_noise_v2=tuple(
            noise[f"server_{port}_electronic_v2"].value for port in range(ports)
        ),
        shot_noise_v2=tuple(shot.value for shot in shots),
        data_mode_excess_snu=added.value * kept,
        unitary_error_rad=results["mesh"]["unitary_error_rad"].interval95[1],
        phase_noise_rad=math.sqrt(variance),
        phase_variance_uncertainty_rad2=loss["server_phase_variance_rad2"].uncertainty,
        gain_uncertainty=loss["return_gain_scatter"].value,
        variance_uncertainty=math.hypot(
            max(shot.uncertainty / shot.value for shot in shots), unsure
        ),
    )


def _client(results: Mapping[str, Result]) -> AmplifierClientValues:
    loss = results["port_loss"]
    mesh, return_mesh = meshes_of(
        results["mesh"], _setting(results["mesh"], "mesh_half_wave_v"), _ports(results)
    )
    return AmplifierClientValues(
        mesh=mesh,
        return_mesh=return_mesh,
        gain_db=_setting(loss, "gain_db"),
        forward_delay_s=_delay_s(loss, "forward_delay_s"),
        shot_noise_v2=results["port_noise"]["client_0_shot_v2"].value,
        signal_gain=loss["client_gain"].value,
        outcome_variance_snu=loss["client_vacuum_snu"].value,
    )


def _ports(results: Mapping[str, Result]) -> int:
    """Modes of the bench, as the routine that opens one after the other has them."""
    stem = "full_photons_"
    return sum(one.name.startswith(stem) for one in results["port_photons"].quantities)


def _delay_s(loss: Result, name: str) -> float:
    """A delay; light that is early by noise alone comes with the trigger."""
    found = loss[name]
    if found.interval95[1] < 0 and not abs(found.value) < _EARLIEST_S:
        raise CalibrationError(
            f"calibration port_loss: {found.text} is before the trigger; check the trigger's "
            "cables, then run `veilight calibrate port_loss`"
        )
    return max(found.value, 0.0)


def _setting(result: Result, name: str) -> float:
    """A setting that a result was made with."""
    value = result.settings.get(name)
    if not isinstance(value, float):
        raise CalibrationError(
            f"calibration {result.routine} has no setting {name}; run `veilight calibrate "
            f"{result.routine}`"
        )
    return value

"""From what the routines found to what each party's optics have to know.

Owns which quantity of which routine becomes which value, and that the values agree with one
another: the product of transmittances and detection that the server claims is the gain that was
measured.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from calibration.checks import Conditions, require_all
from calibration.result import Quantity, Result, Setting
from calibration.routines import all_routines
from calibration.store import Store
from drivers.errors import CalibrationError, ConfigurationError
from drivers.optics.link_values import ClientValues, ServerValues

__all__ = [
    "BENCH_ROUTINES",
    "HOMODYNE_ROUTINES",
    "BenchValues",
    "assemble_bench_values",
    "load_bench_values",
]

Party = Literal["client", "server"]

BENCH_ROUTINES: Final = (
    "modulators",
    "electronic_noise",
    "shot_noise",
    "polarisation",
    "delay",
    "photons",
    "loss",
    "linewidth",
)
"""Routines whose results a run over a bench needs."""

HOMODYNE_ROUTINES: Final = (
    *(name for name in BENCH_ROUTINES if name != "linewidth"),
    "phase_shifters",
    "phase_lock",
)
"""The same for a bench with homodyne detection."""

_FARTHEST: Final = 6.0
_FARTHEST_TAIL: Final = 9.87e-10
"""Of a normal law beyond 6 standard deviations on one side."""


@dataclass(frozen=True, kw_only=True)
class BenchValues:
    """What a run over a bench needs of its calibration.

    Args:
        server: for the server's optics.
        client: for the client's optics.
        tap_fraction: of the client's coupler.
        polarisation_rad: angles of each party's polarisation controller, by channel.
        taints: what stood against a result and was overridden; goes into the record of the run.
        phase_v_pi_v: of the phase shifter in each party's oscillator, with homodyne detection.
    """

    server: ServerValues
    client: ClientValues
    tap_fraction: float
    polarisation_rad: Mapping[Party, tuple[float, ...]]
    taints: tuple[str, ...] = ()
    phase_v_pi_v: Mapping[Party, float] = field(default_factory=dict)


def load_bench_values(
    store: Store,
    conditions: Conditions,
    *,
    settings: Mapping[str, Mapping[str, Setting]] | None = None,
    override: bool = False,
    homodyne: bool = False,
) -> BenchValues:
    """The values of the newest results in a store, if they may be used.

    Args:
        store: of the bench.
        conditions: where and when they are to be used.
        settings: routine -> what the bench says about its settings, defaults for the rest; results
            made with others are refused. None accepts any.
        override: use results in spite of what stands against them; the taints say what. A missing
            result cannot be overridden.
        homodyne: the bench has homodyne detection.

    Raises:
        CalibrationError: a result is missing, something stands against one and `override` is
            false, or a number cannot be a property of a bench.
        ConfigurationError: a setting is unknown or of another type than its default.
    """
    results, taints = require_all(
        store,
        all_routines(homodyne=homodyne),
        HOMODYNE_ROUTINES if homodyne else BENCH_ROUTINES,
        conditions,
        settings=settings,
        override=override,
    )
    return assemble_bench_values(results, taints=taints, homodyne=homodyne)


def assemble_bench_values(
    results: Mapping[str, Result], *, taints: tuple[str, ...] = (), homodyne: bool = False
) -> BenchValues:
    """The values of given results, without asking whether they may be used.

    The server's detection efficiency is what makes the round trip's gain come out as measured:
    return_gain^2 = forward (1 - tap) return detection exp(-phase_noise^2). `gain_uncertainty` is
    that of noise alone, because an error of the photons makes means and gain wrong by factors that
    cancel; the photons have an uncertainty of their own.

    Args:
        results: routine -> result, for all of `BENCH_ROUTINES`, or `HOMODYNE_ROUTINES`.
        taints: to be handed on.
        homodyne: the bench has homodyne detection.

    Raises:
        CalibrationError: a result or quantity is missing, or a number cannot be a property of a
            bench.
    """
    needed = HOMODYNE_ROUTINES if homodyne else BENCH_ROUTINES
    missing = [name for name in needed if name not in results]
    if missing:
        raise CalibrationError(
            f"calibration of the bench lacks {', '.join(missing)}; run `veilight calibrate "
            f"{' '.join(missing)}`"
        )
    held = results["phase_lock" if homodyne else "linewidth"]
    phase_rad = {
        "client": _phase_noise_rad(held["client_phase_variance_rad2"], held.routine),
        "server": _phase_noise_rad(held["server_phase_variance_rad2"], held.routine),
    }
    unsure = _phase_uncertainty_rad2(held, homodyne=homodyne)
    try:
        return BenchValues(
            server=_server(results, phase_rad["server"], unsure),
            client=_client(results, phase_rad["client"]),
            tap_fraction=results["loss"]["tap_fraction"].value,
            polarisation_rad={
                "client": _angles(results["polarisation"], "client"),
                "server": _angles(results["polarisation"], "server"),
            },
            taints=taints,
            phase_v_pi_v=_phase_v_pi_v(results["phase_shifters"]) if homodyne else {},
        )
    except ConfigurationError as error:
        raise CalibrationError(f"the calibration describes no bench: {error}") from error


def _server(
    results: Mapping[str, Result], phase_rad: float, phase_uncertainty_rad2: float
) -> ServerValues:
    loss, photons = results["loss"], results["photons"]
    forward = loss["forward_transmittance"].value
    back = loss["return_transmittance"].value
    path = forward * (1 - loss["tap_fraction"].value) * back
    if not path > 0:
        raise CalibrationError(
            f"calibration loss: no light returns: forward_transmittance {forward:.3g}, "
            f"tap_fraction {loss['tap_fraction'].value:.3g}, return_transmittance {back:.3g}; "
            "run `veilight calibrate loss`"
        )
    shot = results["shot_noise"]["server_shot_v2"]
    return ServerValues(
        weight_v_pi_v=results["modulators"]["weight_v_pi_v"].value,
        full_photons=photons["full_photons"].value,
        attenuation_db=photons["attenuation_db"].value,
        round_trip_delay_s=results["delay"]["round_trip_delay_s"].value,
        forward_transmittance=forward,
        return_transmittance=back,
        detection_efficiency=loss["return_gain"].value ** 2 * math.exp(phase_rad**2) / path,
        electronic_noise_v2=results["electronic_noise"]["server_electronic_v2"].value,
        shot_noise_v2=shot.value,
        phase_noise_rad=phase_rad,
        phase_variance_uncertainty_rad2=phase_uncertainty_rad2,
        gain_uncertainty=loss["return_gain_scatter"].value,
        variance_uncertainty=_relative(shot),
        photons_uncertainty=_relative(photons["full_photons"]),
        clock_offset=results["delay"]["server_clock_offset"].value,
        oscillator_power_w=results["shot_noise"]["server_oscillator_w"].value,
    )


def _client(results: Mapping[str, Result], phase_rad: float) -> ClientValues:
    delay = results["delay"]
    return ClientValues(
        data_v_pi_v=results["modulators"]["data_v_pi_v"].value,
        forward_delay_s=delay["forward_delay_s"].value,
        oscillator_delay_s=delay["oscillator_delay_s"].value,
        clock_offset=delay["client_clock_offset"].value,
        electronic_noise_v2=results["electronic_noise"]["client_electronic_v2"].value,
        shot_noise_v2=results["shot_noise"]["client_shot_v2"].value,
        signal_gain=results["loss"]["client_gain"].value,
        data_leak=10 ** (-results["modulators"]["data_extinction_db"].value / 20),
        phase_noise_rad=phase_rad,
        oscillator_power_w=results["shot_noise"]["client_oscillator_w"].value,
    )


def _angles(polarisation: Result, party: Party) -> tuple[float, ...]:
    """Angles of a party's controller, in the order of its channels."""
    stem = f"{party}_angle_"
    found = [one for one in polarisation.quantities if one.name.startswith(stem)]
    channels = range(len(found))
    return tuple(polarisation[f"{stem}{channel}_rad"].value for channel in channels)


def _phase_v_pi_v(found: Result) -> dict[Party, float]:
    """V_pi of each party's phase shifter."""
    return {
        "client": found["client_phase_v_pi_v"].value,
        "server": found["server_phase_v_pi_v"].value,
    }


def _phase_noise_rad(variance: Quantity, routine: str) -> float:
    """Root of a phase variance that noise may have brought below 0."""
    if variance.interval95[1] < 0:
        raise CalibrationError(
            f"calibration {routine}: {variance.text} is below 0 for sure; look at its data, then "
            f"run `veilight calibrate {routine}`"
        )
    return math.sqrt(max(variance.value, 0.0))


def _phase_uncertainty_rad2(held: Result, *, homodyne: bool) -> float:
    """Standard uncertainty of the server's phase variance, one that its tail bears out.

    A lock errs once per burst: from a few bursts its variance is known with the skewed law of
    chi-square, whose tail reaches much further up than a normal one of the same width. The normal
    law that is returned reaches as far at 6 standard deviations, and further below.
    """
    from scipy.special import gammaincinv

    found = held["server_phase_variance_rad2"]
    if not homodyne:
        return found.uncertainty
    bursts = int(held.settings["repetitions"])
    least = 2 * float(gammaincinv(bursts / 2, _FARTHEST_TAIL))
    most = bursts / least - 1
    return found.uncertainty * math.sqrt(bursts / 2) * most / _FARTHEST


def _relative(quantity: Quantity) -> float:
    return abs(quantity.uncertainty / quantity.value) if quantity.value else math.inf

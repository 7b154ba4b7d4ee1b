"""Calibration of the client's meshes: phase offsets and splitter errors of all interferometers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calibration.fits.estimates import critical_value, normal
from calibration.fits.least_squares import Array
from calibration.fits.mesh import MeshFit, MeshPoint, fit_meshes
from calibration.result import FitData, Quantity, Result, Series, Setting
from calibration.routine import Context, Routine
from calibration.routines._mesh_plans import collecting_all, undoing_all
from calibration.routines._port_stage import PORT_ROLES, PORT_SETTINGS, PortStage
from drivers.errors import CalibrationError
from drivers.optics.mesh_model import Complexes, MeshModel
from drivers.optics.mesh_programming import error_rad

__all__ = ["MeshCalibration", "meshes_of"]

_MESHES = ("mesh", "return_mesh")
_FULL_TURN_HEAT = 2 * math.pi
_LOOKS = 2
"""At every data vector that is checked, each with pilots of either sign."""

_Look = tuple[MeshPoint, MeshPoint]


class MeshCalibration(Routine):
    """Both meshes from what light of every port becomes at random settings of all shifters.

    Known light is the pilots' patterns, which show each detector's whole response in one burst. All
    offsets and splitter errors follow from one fit. Then the meshes are programmed with it for
    random data vectors, and what U_x^dagger U_x is wrong by is measured on the bench. Every vector
    is looked at twice, so that the product of both errors has no noise in its mean, whatever the
    noise is like, and every look takes pilots of either sign, between which the light that leaks
    through the modulators cancels.
    """

    name = "mesh"
    roles = PORT_ROLES
    validity_s = 3600.0
    temperature_tolerance_c = 0.5
    duration_s = 60.0
    defaults: ClassVar[Mapping[str, Setting]] = {
        **PORT_SETTINGS,
        "settings_of_meshes": 32,
        "check_vectors": 24,
        "model_vectors": 2048,
    }

    def run(self, context: Context) -> Result:
        """See `Routine.run`."""
        stage = PortStage(context)
        settings = context.setting("settings_of_meshes", int)
        checks = context.setting("check_vectors", int)
        if checks < 4:
            raise CalibrationError(f"check_vectors is {checks}; give at least 4 for an interval")
        start = MeshModel.perfect(stage.ports, stage.number("mesh_half_wave_v"))
        context.progress(0, settings + checks, "switching on")
        stage.lasers_on()
        stage.pump(stage.number("gain_db"))
        stage.open_shutter()
        points = []
        for done in range(settings):
            context.progress(done, settings + checks, "looking through the meshes at random")
            phases = context.rng.uniform(0, _FULL_TURN_HEAT, (2, start.channels))
            points.append(stage.point(start.volts(phases[0]), start.volts(phases[1])))
        fit = fit_meshes(points, start)
        judged = []
        planned = _plans(fit, _unit_vectors(context, checks, stage.ports))
        for done, plan in enumerate(planned):
            context.progress(settings + done, settings + checks, "checking data vectors")
            volts = fit.mesh.volts(plan.forward), fit.return_mesh.volts(plan.back)
            looks = [
                (stage.point(*volts), stage.point(*volts, inverted=True)) for _ in range(_LOOKS)
            ]
            judged.append(_Judged.of(plan, looks))
        many = context.setting("model_vectors", int)
        pool = _plans(fit, _unit_vectors(context, many, stage.ports))
        return context.result(
            quantities=[
                _root_mean_square(
                    "unitary_error_rad",
                    [one.round_trip for one in judged],
                    [one.planned.round_trip for one in judged],
                    [one.round_trip for one in pool],
                ),
                _root_mean_square(
                    "collecting_error_rad",
                    [one.collected for one in judged],
                    [one.planned.collected for one in judged],
                    [one.collected for one in pool],
                ),
                _returned(fit),
                *_parameters(fit),
            ],
            goodness=fit.goodness,
            fit_data=[_plot(judged)],
        )


def meshes_of(result: Result, half_wave_v: float, ports: int) -> tuple[MeshModel, MeshModel]:
    """Both meshes as the routine found them, the first and the one behind the amplifier.

    Args:
        result: of the routine.
        half_wave_v: V_pi of the shifters, as the routine was told.
        ports: of the bench.

    Raises:
        CalibrationError: the result is of a bench with fewer ports.
    """
    units = ports * (ports - 1) // 2
    return tuple(  # type: ignore[return-value]  # two of them
        MeshModel(
            ports=ports,
            half_wave_v=half_wave_v,
            phase_offsets_rad=np.array(
                [result[f"{mesh}_offset_{index}_rad"].value for index in range(2 * units + ports)]
            ),
            coupler_errors_rad=np.array(
                [result[f"{mesh}_coupler_{index}_rad"].value for index in range(2 * units)]
            ).reshape(-1, 2),
        )
        for mesh in _MESHES
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Planned:
    """A data vector, the phases for it, and the squared errors that the fitted model predicts."""

    vector: Array
    forward: Array
    back: Array
    round_trip: float
    collected: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Judged:
    """A data vector with its squared errors as seen, which noise may make negative."""

    planned: _Planned
    round_trip: float
    collected: float

    @classmethod
    def of(cls, planned: _Planned, looks: Sequence[_Look]) -> "_Judged":
        """From two looks with pilots of either sign."""
        vector = planned.vector
        returned = [np.mean([_returned_error(one, vector) for one in look], 0) for look in looks]
        collected = [np.mean([_collected_error(one, vector) for one in look], 0) for look in looks]
        return cls(
            planned=planned,
            round_trip=_squared_angle(*returned),
            collected=_squared_angle(*collected),
        )


def _returned_error(point: MeshPoint, vector: Array) -> Complexes:
    """What the round trip adds across a data vector, relative to what it leaves along it."""
    diagonal = np.diag(point.returned)
    lengths = np.linalg.norm(point.returned, axis=1)
    image = point.returned @ vector / lengths * (diagonal.conj() / np.abs(diagonal))
    return np.asarray(image / complex(vector @ image) - vector)


def _collected_error(point: MeshPoint, vector: Array) -> Complexes:
    """What the collected mode has across a data vector, relative to what it has along it."""
    return np.asarray(point.collected / complex(vector @ point.collected) - vector)


def _squared_angle(one: Complexes, other: Complexes) -> float:
    """Square of an angle, with its sign, from two looks at its tangent."""
    product = float(np.vdot(one, other).real)
    return math.copysign(math.atan(math.sqrt(abs(product))) ** 2, product)


def _unit_vectors(context: Context, count: int, ports: int) -> Array:
    vectors = context.rng.standard_normal((count, ports))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _plans(fit: MeshFit, vectors: Array) -> list[_Planned]:
    forward = collecting_all(fit.mesh, vectors)
    unitaries = np.stack([fit.mesh.transfer(phases) for phases in forward])
    back = undoing_all(fit.return_mesh, unitaries)
    inside = np.ones(vectors.shape[1])
    inside[0] = fit.returned_amplitude
    found = []
    for index, vector in enumerate(vectors):
        through = inside[:, None] * unitaries[index]
        round_trip = fit.return_mesh.transfer(back[index]) @ through
        found.append(
            _Planned(
                vector=vector,
                forward=forward[index],
                back=back[index],
                round_trip=error_rad(round_trip, vector.astype(np.complex128)) ** 2,
                collected=_missed(unitaries[index][0], vector),
            )
        )
    return found


def _missed(row: NDArray[np.complex128], vector: Array) -> float:
    """Squared angle between the collected mode and the data vector."""
    along = abs(complex(row @ vector)) / float(np.linalg.norm(row))
    return math.acos(min(along, 1.0)) ** 2


def _root_mean_square(
    name: str, seen: list[float], predicted: list[float], pool: list[float]
) -> Quantity:
    """Root of the mean square over all data vectors, with an interval of that mean.

    A few vectors are hard for a worn mesh, and the mean is mostly theirs. The model knows them: its
    mean over many vectors is taken, and the mean difference to what was seen is added (a control
    variate: Ross, Simulation, 5th ed., section 9.2).
    """
    differences = np.array(seen) - np.array(predicted)
    mean = float(np.mean(pool) + differences.mean())
    spread = math.hypot(
        float(differences.std(ddof=1)) / math.sqrt(differences.size),
        float(np.std(pool, ddof=1)) / math.sqrt(len(pool)),
    )
    half = critical_value(differences.size - 1) * spread
    low, middle, high = (math.sqrt(max(end, 0.0)) for end in (mean - half, mean, mean + half))
    return Quantity(
        name=name,
        value=middle,
        uncertainty=0.5 * spread / max(middle, math.sqrt(spread)),
        unit="rad",
        interval95=(low, high),
    )


def _returned(fit: MeshFit) -> Quantity:
    value, spread = fit.returned_amplitude, float(fit.uncertainties[-1])
    return normal(value, spread).quantity("returned_amplitude", "1")


def _parameters(fit: MeshFit) -> list[Quantity]:
    """All offsets and splitter errors, by number."""
    values: list[tuple[str, NDArray[np.float64]]] = []
    for name, mesh in zip(_MESHES, (fit.mesh, fit.return_mesh), strict=True):
        values.append((f"{name}_offset", mesh.phase_offsets_rad))
        values.append((f"{name}_coupler", mesh.coupler_errors_rad.reshape(-1)))
    names = [f"{name}_{index}_rad" for name, array in values for index in range(array.size)]
    numbers = np.concatenate([array for _, array in values])
    quantities = []
    for name, value, spread in zip(names, numbers, fit.uncertainties[:-1], strict=True):
        half = critical_value() * float(spread)
        quantities.append(
            Quantity(
                name=name,
                value=value,
                uncertainty=spread,
                unit="rad",
                interval95=(value - half, value + half),
            )
        )
    return quantities


def _plot(judged: list[_Judged]) -> FitData:
    seen = np.array([one.round_trip for one in judged])
    predicted = np.array([one.planned.round_trip for one in judged])
    spread = np.full(seen.size, float(np.std(seen - predicted, ddof=1)))
    return FitData(
        name="round_trip",
        x=Series(name="data vector", unit="1", values=np.arange(1.0, seen.size + 1)),
        measured=Series(name="squared error", unit="rad^2", values=seen),
        fitted=Series(name="model", unit="rad^2", values=predicted),
        uncertainty=Series(name="one sigma", unit="rad^2", values=spread),
    )

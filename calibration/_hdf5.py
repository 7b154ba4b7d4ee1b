"""How one result lies in an HDF5 group, and how it is read back.

Layout of a group, every dataset with a `units` attribute:

    attributes            routine, version, id, previous, time, bench, backend, seed, ...
    quantities/<name>     scalar; attributes units, uncertainty, interval95, claimed
    fit_data/<name>/x, measured, fitted, uncertainty      one number per point
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from calibration.moment import Moment
from calibration.result import FitData, Goodness, Quantity, Result, Series

__all__ = ["read_result", "write_result"]

Group = Any
"""An `h5py.Group`, which has no types to check against."""


def write_result(group: Group, result: Result) -> None:
    """Fill an empty group with a result.

    Args:
        group: an open, writable `h5py.Group`.
        result: what to write.
    """
    attributes: dict[str, object] = {
        "routine": result.routine,
        "version": result.version,
        "id": result.id,
        "time_utc": result.moment.utc,
        "clock_s": result.moment.clock_s,
        "clock_id": result.moment.clock_id,
        "validity_s": result.validity_s,
        "bench": result.bench,
        "backend": result.backend,
        "simulated": result.simulated,
        # As text, because a seed may have more bits than an HDF5 integer.
        "seed": str(result.seed),
        "identities": _json(result.identities),
        "rests_on": _json(result.rests_on),
        "settings": _json(result.settings),
    }
    if result.temperature_c is not None:
        attributes["temperature_c"] = result.temperature_c
    if result.temperature_window_c is not None:
        attributes["temperature_window_c"] = np.array(result.temperature_window_c)
    if result.goodness is not None:
        attributes["chi_square"] = result.goodness.chi_square
        attributes["degrees_of_freedom"] = result.goodness.degrees_of_freedom
        attributes["reduced_chi_square"] = result.goodness.reduced_chi_square
        attributes["p_value"] = result.goodness.p_value
    for name, value in attributes.items():
        group.attrs[name] = value
    _write_quantities(group.create_group("quantities", track_order=True), result.quantities)
    _write_fit_data(group.create_group("fit_data", track_order=True), result.fit_data)


def read_result(group: Group) -> Result:
    """The result in a group, unchecked against its identifier.

    Args:
        group: an open `h5py.Group`.

    Raises:
        CalibrationError: what is there is no result.
        KeyError, OSError, RuntimeError, TypeError, ValueError: the file is damaged.
    """
    attributes = group.attrs
    window = attributes.get("temperature_window_c")
    temperature = attributes.get("temperature_c")
    goodness = None
    if "chi_square" in attributes:
        goodness = Goodness(
            chi_square=float(attributes["chi_square"]),
            degrees_of_freedom=int(attributes["degrees_of_freedom"]),
        )
    return Result(
        routine=str(attributes["routine"]),
        version=int(attributes["version"]),
        quantities=tuple(_read_quantity(name, part) for name, part in group["quantities"].items()),
        goodness=goodness,
        fit_data=tuple(_read_fit_data(name, part) for name, part in group["fit_data"].items()),
        identities=json.loads(attributes["identities"]),
        rests_on=json.loads(attributes["rests_on"]),
        temperature_c=None if temperature is None else float(temperature),
        temperature_window_c=None if window is None else (float(window[0]), float(window[1])),
        moment=Moment(
            utc=str(attributes["time_utc"]),
            clock_s=float(attributes["clock_s"]),
            clock_id=str(attributes["clock_id"]),
        ),
        validity_s=float(attributes["validity_s"]),
        bench=str(attributes["bench"]),
        backend=str(attributes["backend"]),
        simulated=bool(attributes["simulated"]),
        seed=int(attributes["seed"]),
        settings=json.loads(attributes["settings"]),
    )


def _write_quantities(group: Group, quantities: tuple[Quantity, ...]) -> None:
    for quantity in quantities:
        dataset = group.create_dataset(quantity.name, data=quantity.value)
        dataset.attrs["units"] = quantity.unit
        dataset.attrs["uncertainty"] = quantity.uncertainty
        dataset.attrs["interval95"] = np.array(quantity.interval95)
        if quantity.claimed is not None:
            dataset.attrs["claimed"] = quantity.claimed


def _read_quantity(name: str, dataset: Group) -> Quantity:
    low, high = dataset.attrs["interval95"]
    claimed = dataset.attrs.get("claimed")
    return Quantity(
        name=name,
        value=float(dataset[()]),
        uncertainty=float(dataset.attrs["uncertainty"]),
        unit=str(dataset.attrs["units"]),
        interval95=(float(low), float(high)),
        claimed=None if claimed is None else float(claimed),
    )


def _write_fit_data(group: Group, fit_data: tuple[FitData, ...]) -> None:
    for data in fit_data:
        part = group.create_group(data.name, track_order=True)
        part.attrs["log_x"] = data.log_x
        part.attrs["log_y"] = data.log_y
        for key, series in data.series.items():
            dataset = part.create_dataset(key, data=series.values)
            dataset.attrs["units"] = series.unit
            dataset.attrs["name"] = series.name


def _read_fit_data(name: str, group: Group) -> FitData:
    series = {
        key: Series(
            name=str(dataset.attrs["name"]), unit=str(dataset.attrs["units"]), values=dataset[()]
        )
        for key, dataset in group.items()
    }
    return FitData(
        name=name,
        x=series["x"],
        measured=series["measured"],
        fitted=series.get("fitted"),
        uncertainty=series.get("uncertainty"),
        log_x=bool(group.attrs["log_x"]),
        log_y=bool(group.attrs["log_y"]),
    )


def _json(values: Mapping[str, object]) -> str:
    return json.dumps(dict(values), sort_keys=True)

"""A frontier's report as a file: `frontier.json` in the results folder.

It is the whole report; tables and plots are made from there.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from drivers.errors import ConfigurationError, DataError, OutputError
from drivers.files import replace_files
from veilight._version import __version__
from veilight.frontier.figures import LinkAssumptions, Privacy
from veilight.frontier.networks import FailedNetwork, NetworkSpec
from veilight.frontier.optimise import FrontierPoint
from veilight.frontier.report import Frontier, FrontierReport, ReportedNetwork, TargetVerdict

__all__ = ["REPORT_FILE", "read_report", "report_to_dict", "write_report"]

FORMAT = "veilight-frontier"
VERSION = 2
REPORT_FILE = "frontier.json"
LARGEST_REPORT = 1 << 28


def report_to_dict(report: FrontierReport) -> dict[str, object]:
    """The report as plain data for JSON."""
    return {"format": FORMAT, "version": VERSION, "veilight": __version__, **asdict(report)}


def write_report(report: FrontierReport, folder: Path) -> Path:
    """Write `frontier.json`, whole or not at all; an older one is replaced.

    Returns:
        Its path.

    Raises:
        OutputError: the system refuses.
    """
    path = folder / REPORT_FILE
    text = json.dumps(report_to_dict(report), indent=1, allow_nan=False) + "\n"
    try:
        replace_files([(path, text.encode())])
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error}; choose a folder that may be written to and has "
            "room"
        ) from error
    return path


def read_report(folder: Path) -> FrontierReport:
    """Read what `write_report` wrote.

    Raises:
        DataError: there is none, or it cannot be used.
    """
    path = folder / REPORT_FILE
    try:
        if path.stat().st_size > LARGEST_REPORT:
            raise DataError(f"{path}: larger than any report of a frontier; give another folder")
        content = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file; give the results folder of `veilight frontier run`"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}; run the frontier again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path}: not the report of a frontier; give another folder")
    if content.get("version") != VERSION:
        raise DataError(f"{path}: of another version of veilight; run the frontier again")
    try:
        return _report(content)
    except (KeyError, TypeError, ValueError, ConfigurationError) as error:
        raise DataError(f"{path}: cannot be used: {error!r}; run the frontier again") from error


def _report(content: Mapping[str, Any]) -> FrontierReport:
    return FrontierReport(
        data=content["data"],
        data_sha256=content["data_sha256"],
        budget_bits_per_weight=content["budget_bits_per_weight"],
        networks=tuple(
            ReportedNetwork(**entry | {"spec": _spec(entry["spec"])})
            for entry in content["networks"]
        ),
        failed=tuple(
            FailedNetwork(**entry | {"spec": _spec(entry["spec"])}) for entry in content["failed"]
        ),
        frontiers=tuple(
            Frontier(
                name=entry["name"],
                link=LinkAssumptions(**entry["link"]),
                points=tuple(map(_point, entry["points"])),
            )
            for entry in content["frontiers"]
        ),
        targets=tuple(
            TargetVerdict(
                **entry | {"point": None if entry["point"] is None else _point(entry["point"])}
            )
            for entry in content["targets"]
        ),
    )


def _refuse_constant(name: str) -> float:
    """NaN and infinities, which no report has.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"a figure is {name}")


def _spec(values: Mapping[str, Any]) -> NetworkSpec:
    return NetworkSpec.from_dict(values)


def _point(values: Mapping[str, Any]) -> FrontierPoint:
    privacy: dict[str, Any] = {
        field.name: tuple(value)
        if isinstance(value := values["privacy"][field.name], list)
        else value
        for field in fields(Privacy)
    }
    return FrontierPoint(**{**values, "privacy": Privacy(**privacy)})

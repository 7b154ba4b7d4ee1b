"""The command `veilight bench discover`: what is connected, and which drivers fit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from veilight.cli._exit_codes import ExitCode
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    from drivers.bench.discovery import Candidate, Found

__all__ = ["run_discover"]


def run_discover(
    screen: Screen,
    *,
    hosts: Sequence[str],
    addresses: Sequence[str],
    library: str,
    timeout_s: float,
) -> int:
    """Ask everywhere who is there.

    Args:
        screen: where to.
        hosts: on the network, with or without a port.
        addresses: VISA resources and serial ports that are asked alone; none for all that the
            system lists.
        library: VISA library; empty for pyvisa-py.
        timeout_s: for each question.

    Returns:
        The exit status: instrument when nothing was found.
    """
    from drivers.bench.discovery import discover

    places, problems = _candidates(hosts, addresses, library)
    found: list[Found] = []
    with screen.progress("Asking", max(1, len(places))) as advance:
        look = discover(
            places,
            timeout_s=timeout_s,
            library=library,
            asking=lambda place: advance(len(found), place.address),
        )
        for one in look:
            found.append(one)
            advance(len(found))
    _tell(screen, found, problems)
    screen.result({"found": [_record(one) for one in found], "problems": problems})
    known = any(one.identity is not None for one in found)
    return ExitCode.OK if known else ExitCode.INSTRUMENT


def _candidates(
    hosts: Sequence[str], addresses: Sequence[str], library: str
) -> "tuple[list[Candidate], list[str]]":
    from drivers.bench.discovery import (
        Candidate,
        host_candidates,
        serial_candidates,
        visa_candidates,
    )
    from drivers.errors import LinkError
    from drivers.transports.visa_stream import PURE_PYTHON

    problems: list[str] = []
    if addresses:
        backends = ["visa" if "::" in address else "serial" for address in addresses]
        named = [
            Candidate(backend=backend, address=address)
            for backend, address in zip(backends, addresses, strict=True)
        ]
        return [*named, *host_candidates(hosts)], problems
    places = list(host_candidates(hosts))
    try:
        places += visa_candidates(library or PURE_PYTHON)
    except LinkError as error:
        problems.append(str(error))
    places += serial_candidates()
    return places, problems


def _tell(screen: Screen, found: "Sequence[Found]", problems: Sequence[str]) -> None:
    rows = []
    for one in found:
        who = one.note if one.identity is None else one.identity.text
        fits = ", ".join(one.models) or ("-" if one.identity is None else one.note)
        rows.append((one.candidate.address, who, fits))
    if rows:
        screen.table("Connected", ("address", "who answers", "model for the bench file"), rows)
    else:
        screen.tell(
            "Nothing is connected that the system lists. Name hosts with --host, or addresses."
        )
    for problem in problems:
        screen.tell(problem)


def _record(one: "Found") -> dict[str, object]:
    identity = one.identity
    return {
        "backend": one.candidate.backend,
        "address": one.candidate.address,
        "hint": one.candidate.hint,
        "maker": None if identity is None else identity.maker,
        "model": None if identity is None else identity.model,
        "serial": None if identity is None else identity.serial,
        "firmware": None if identity is None else identity.firmware,
        "drivers": list(one.models),
        "note": one.note,
    }

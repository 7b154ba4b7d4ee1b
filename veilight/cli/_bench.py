"""The commands `veilight bench`: what a bench is, whether it is well, and making it safe."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from veilight.cli._exit_codes import ExitCode
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    from drivers.bench import Bench, BenchFile
    from drivers.bench.check import Finding
    from drivers.bench.registry import ModelRegistry

__all__ = ["run_bench_check", "run_bench_safe", "run_bench_show"]


def run_bench_show(screen: Screen, paths: Sequence[Path]) -> int:
    """Show what bench files name and what they leave out; opens nothing.

    Returns:
        The exit status: usage when something is missing.
    """
    from veilight.benches import load_benches, registry_for

    files = load_benches(paths, complete=False)
    registry = registry_for(files)
    shown = [_shown(file, registry) for file in files]
    for file in files:
        _show_table(screen, file, registry)
    screen.result({"benches": shown})
    return ExitCode.USAGE if any(_missing(file) for file in files) else ExitCode.OK


def run_bench_check(screen: Screen, paths: Sequence[Path]) -> int:
    """Open every instrument, look at it without light, and say what to do.

    Returns:
        The exit status: instrument when a check failed, unsafe when a safe state was not reached.
    """
    from drivers.bench.check import check_bench

    benches = _benches(paths)
    found = []
    for bench in benches:
        with screen.progress(f"{bench.file.name}") as advance:
            advance(0.0, "opening every instrument")
            findings = check_bench(bench)
        found.append((bench.file, findings))
    for file, findings in found:
        _check_table(screen, file, findings)
    failed = [f for _, findings in found for f in findings if not f.passed]
    status = ExitCode.OK
    if failed:
        unsafe = any(finding.check == "safe state" for finding in failed)
        status = ExitCode.UNSAFE if unsafe else ExitCode.INSTRUMENT
    screen.tell(_verdict(failed))
    screen.result({"benches": [_findings(*pair) for pair in found], "passed": not failed})
    return status


def run_bench_safe(screen: Screen, paths: Sequence[Path]) -> int:
    """Drive benches to their safe state and read it back.

    Every bench is tried, and every instrument of each, whatever the others answer.

    Returns:
        The exit status: unsafe when an instrument cannot be opened or is not safe.
    """
    from veilight.benches import make_safe_one_by_one

    results = [(bench.file, make_safe_one_by_one(bench)) for bench in _benches(paths)]
    for file, failures in results:
        if failures:
            rows = list(failures.items())
            screen.table(f"{file.name}: NOT SAFE", ("role", "what happened"), rows)
        else:
            screen.tell(f"{file.name}: safe, read back from {len(file.entries())} instruments")
    unsafe = any(failures for _, failures in results)
    if unsafe:
        screen.tell("Use the key switch or the interlock: the software could not make it safe.")
    screen.result(
        {
            "benches": [
                {"name": file.name, "party": file.party, "safe": not failures, "failures": failures}
                for file, failures in results
            ],
            "safe": not unsafe,
        }
    )
    return ExitCode.UNSAFE if unsafe else ExitCode.OK


def _benches(paths: Sequence[Path]) -> "tuple[Bench, ...]":
    from veilight.benches import build_benches, load_benches

    return build_benches(load_benches(paths))


def _shown(file: "BenchFile", registry: "ModelRegistry") -> dict[str, object]:
    """What `bench show --json` says about a file."""
    from drivers.bench import resolve_models
    from drivers.bench.limits import limits_table

    contexts = resolve_models(file, registry)
    return {
        "name": file.name,
        "party": file.party,
        "receiver": file.content.bench.receiver,
        "simulated": file.simulated,
        "missing": _missing(file),
        "instruments": [
            {
                "role": role,
                "kind": file.roles[role].kind.kind,
                "model": entry.model,
                "backend": entry.backend,
                "address": entry.address,
                "serial": entry.serial,
                "limits": limits_table(contexts[role].limits),
            }
            for role, entry in file.entries().items()
        ],
    }


def _missing(file: "BenchFile") -> list[str]:
    """Dotted paths of what the file must still say."""
    return [
        *(f"instruments.{role}" for role in file.missing()),
        *(f"safety.detectors.{role}" for role in file.unprotected()),
    ]


def _show_table(screen: Screen, file: "BenchFile", registry: "ModelRegistry") -> None:
    from drivers.bench import resolve_models
    from drivers.bench.limits import limits_text

    contexts, entries = resolve_models(file, registry), file.entries()
    rows = []
    for role, place in file.roles.items():
        entry = entries.get(role)
        if entry is None:
            needed = "MISSING" if place.required else "not used"
            rows.append((role, needed, "", "", f"{place.kind.kind}: {place.purpose}"))
        else:
            limits = limits_text(contexts[role].limits)
            rows.append((role, entry.model, entry.backend, entry.address, limits))
    screen.table(
        f"{file.name} ({file.party}, {file.content.bench.receiver})",
        ("role", "model", "backend", "address", "limits"),
        rows,
    )
    for path in _missing(file):
        screen.tell(f"missing: {path}")


def _check_table(screen: Screen, file: "BenchFile", findings: "Sequence[Finding]") -> None:
    """One row for an instrument that is well, one for each failure of another."""
    rows: list[tuple[str, ...]] = []
    for role in dict.fromkeys(finding.role for finding in findings):
        mine = [finding for finding in findings if finding.role == role]
        failed = [finding for finding in mine if not finding.passed]
        rows += [(role, f"{f.check}: FAILED", f.found, f.remedy) for f in failed]
        if not failed:
            # That it answers and is safe says the word ok.
            shown = [f.found for f in mine if f.check not in ("reachable", "safe state")]
            rows.append((role, "ok", "; ".join(shown), ""))
    columns = ("role", "", "found", "what to do")
    screen.table(f"{file.name} ({file.party})", columns, rows)


def _verdict(failed: "Sequence[Finding]") -> str:
    if not failed:
        return "The bench is well; no light was emitted."
    roles = ", ".join(dict.fromkeys(finding.role for finding in failed))
    return f"Not well: {roles}. Every instrument was tried; see above what to do."


def _findings(file: "BenchFile", findings: "Sequence[Finding]") -> dict[str, object]:
    from dataclasses import asdict

    return {
        "name": file.name,
        "party": file.party,
        "findings": [asdict(finding) for finding in findings],
    }

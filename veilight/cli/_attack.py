"""`veilight attack`: every attack of the catalogue against the tests, simulated and in theory."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import OutputError, VerificationError
from veilight.cli._exit_codes import ExitCode
from veilight.cli._screen import Screen
from veilight.cli._tables import bits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from veilight.attacks import AttackResult, Case, HonestSessions

__all__ = ["run_attack_list", "run_attacks"]


def run_attack_list(screen: Screen) -> int:
    """Show every attack that there is, and what shows or is charged for it."""
    from veilight.attacks import CASES

    first = {case.adversary.name: case for case in reversed(CASES)}
    cases = [first[name] for name in dict.fromkeys(case.adversary.name for case in CASES)]
    screen.result({"attacks": [_description(case) for case in cases]})
    screen.table(
        "Attacks",
        ("name", "who", "what", "changes", "or charged"),
        [
            (
                case.adversary.name,
                case.adversary.party,
                case.adversary.idea,
                ", ".join(case.adversary.changes) or "nothing",
                case.adversary.undetectable,
            )
            for case in cases
        ],
    )
    return ExitCode.OK


def run_attacks(screen: Screen, name: str, *, trials: int, seed: int, plots: Path | None) -> int:
    """Run the cases of an attack, or of all.

    Args:
        screen: where to write.
        name: of the attack, or "all".
        trials: repetitions per point of a curve.
        seed: of the draws.
        plots: folder for one picture per case; None draws none.

    Returns:
        0 if every attack was caught and honest sessions passed as promised.

    Raises:
        ConfigurationError: no such attack, or too few repetitions.
        OutputError: the folder cannot be written.
        VerificationError: a test missed its attack, or raised more false alarms than promised.
    """
    import numpy as np

    from veilight.attacks import SPREAD, find_cases, honest_sessions, run_attack

    cases = find_cases(name)
    folder = _prepared(plots)
    screen.say(
        "Each attack plays against the tests on the simulated light's sums, and honest light plays "
        "beside it. Numbers are for the power 0.999 at a false-alarm rate of 1e-6 per test."
    )
    results, done = [], 0
    with screen.progress("attacks", total=len(cases) * len(SPREAD)) as advance:

        def on_point() -> None:
            nonlocal done
            done += 1
            advance(done, case.adversary.name)

        for index, case in enumerate(cases):
            results.append(run_attack(case, trials=trials, seed=seed, on_point=on_point))
            done = (index + 1) * len(SPREAD)
            advance(done, case.adversary.name)
        sessions = None
        if any(case.test for case in cases):
            sessions = honest_sessions(cases[0], np.random.Generator(np.random.SFC64(seed)))
    pictures = _draw(results, folder)
    screen.result(
        {
            "attacks": [_result(result) for result in results],
            "honest_sessions": None if sessions is None else _sessions(sessions),
            "seed": seed,
            "plots": pictures,
        }
    )
    _show(screen, results, sessions)
    if pictures:
        screen.tell(f"Pictures: {len(pictures)} in {folder}")
    _judge(results, sessions)
    return ExitCode.OK


def _sessions(sessions: "HonestSessions") -> dict[str, object]:
    """Honest sessions for machines."""
    return {
        "promised_rate": sessions.alpha,
        "sessions": sessions.sessions,
        "blocks_per_session": sessions.blocks,
        "aborted": sessions.aborted,
    }


def _prepared(plots: Path | None) -> Path | None:
    if plots is None:
        return None
    try:
        plots.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{plots} cannot be made: {error}; choose another folder") from error
    return plots


def _draw(results: "Sequence[AttackResult]", folder: Path | None) -> list[str]:
    """Pictures of the results that have a curve; numbered where an attack has several."""
    if folder is None:
        return []
    from veilight.attacks.plots import write_curve

    paths: list[str] = []
    counts: dict[str, int] = {}
    for result in results:
        if result.curve is None:
            continue
        name = result.case.adversary.name
        counts[name] = counts.get(name, 0) + 1
        path = folder / f"{name}-{counts[name]}.png"
        write_curve(result, path)
        paths.append(str(path))
    return paths


def _description(case: "Case") -> dict[str, object]:
    adversary = case.adversary
    return {
        "name": adversary.name,
        "party": adversary.party,
        "idea": adversary.idea,
        "changes": list(adversary.changes),
        "undetectable": adversary.undetectable,
    }


def _result(result: "AttackResult") -> dict[str, object]:
    """One case for machines."""
    case, curve, honest, delay = result.case, result.curve, result.honest, result.delay
    values: dict[str, object] = {
        **_description(case),
        "setting": case.adversary.setting,
        "photons_per_symbol": case.photons_per_symbol,
        "gains": {
            "bits": result.gain.bits,
            "per": result.gain.per,
            "formula": result.gain.formula,
        },
        "test": case.test,
        "unit": case.unit,
        "stated": case.stated,
        "alpha": result.alpha,
        "power": result.power,
    }
    if curve is not None:
        values |= {
            "theory": curve.theory_number,
            "simulated": curve.simulated_number,
            "simulated_error": curve.simulated_error,
            "caught_by": list(result.caught_by),
            "detected_by_test": curve.others,
            "trials": curve.trials,
            "curve": [
                {
                    "number": point.number,
                    "detected": point.detected,
                    "low": point.low,
                    "high": point.high,
                    "theory": point.theory,
                }
                for point in curve.points
            ],
        }
    if honest is not None:
        values["honest"] = {
            "exact_rate": honest.exact_rate,
            "alpha": honest.alpha,
            "counted": honest.counted,
            "counted_alpha": 1e-3,
            "trials": honest.trials,
            "kept": honest.kept,
        }
    if delay is not None:
        values["cusum_delay"] = {
            "theory": delay.theory,
            "simulated": delay.simulated,
            "error": delay.error,
            "missed": delay.missed,
        }
    return values


def _show(
    screen: Screen, results: "Sequence[AttackResult]", sessions: "HonestSessions | None"
) -> None:
    """Tables for people."""
    seen = [result for result in results if result.curve is not None]
    if seen:
        _show_caught(screen, seen)
    charged = [result for result in results if result.curve is None]
    if charged:
        screen.table(
            "No light shows these: what is charged instead",
            ("attack", "learns [bit]", "of a", "charged"),
            [
                (
                    f"{r.case.adversary.name} {r.case.adversary.idea}",
                    bits(r.gain.bits),
                    r.gain.per,
                    r.case.adversary.undetectable,
                )
                for r in charged
            ],
            numbers=(1,),
        )
    if sessions is None:
        return
    screen.tell(
        f"Honest sessions at a promised rate of {sessions.alpha:g}: {sessions.aborted} of "
        f"{sessions.sessions:,} aborted, {sessions.alpha * sessions.sessions:g} allowed on average."
    )


def _show_caught(screen: Screen, results: "Sequence[AttackResult]") -> None:
    screen.table(
        "What it learns, and which tests see it",
        ("attack", "setting", "mu", "learns [bit]", "of a", "caught by"),
        [
            (
                f"{result.case.adversary.name} {result.case.adversary.idea}",
                _words(result.case),
                f"{result.case.photons_per_symbol:g}",
                bits(result.gain.bits),
                result.gain.per,
                ", ".join(result.caught_by),
            )
            for result in results
        ],
        numbers=(2, 3),
    )
    screen.table(
        "After how many: power 0.999 at a false-alarm rate of 1e-6",
        ("attack", "setting", "counts", "stated", "theory", "simulated", "CUSUM", "honest"),
        [_row(result) for result in results],
        numbers=(3, 4, 5, 6, 7),
    )
    screen.tell(
        "CUSUM: symbols of one quadrature until the session's chart speaks, on average.\n"
        "Honest: false alarms counted / allowed at a rate of 1e-3.\n"
    )


def _words(case: "Case") -> str:
    """The setting but for the photons, which have a column."""
    words = case.adversary.setting.split(", ")
    return ", ".join(word for word in words if "photons_per_symbol" not in word) or "-"


def _row(result: "AttackResult") -> tuple[str, ...]:
    case, curve, honest, delay = result.case, result.curve, result.honest, result.delay
    if curve is None or honest is None:
        return ()
    return (
        case.adversary.name,
        f"{_words(case)}, mu {case.photons_per_symbol:g}",
        case.unit,
        "-" if case.stated is None else f"{case.stated:.3g}",
        f"{curve.theory_number:.3g}",
        f"{curve.simulated_number:.3g}",
        "-" if delay is None else f"{delay.simulated:.3g}",
        f"{honest.counted}/{honest.trials * 1e-3:.0f}",
    )


def _judge(results: "Sequence[AttackResult]", sessions: "HonestSessions | None") -> None:
    """Refuse to call it a day where a test failed.

    Raises:
        VerificationError: names the case.
    """
    for result in results:
        name = result.case.adversary.name
        if result.curve is not None and not math.isfinite(result.curve.simulated_number):
            raise VerificationError(f"attack {name} ({result.case.test}) was not caught")
        if result.honest is not None and not result.honest.kept:
            raise VerificationError(
                f"test of {result.case.test} against {name}: {result.honest.counted} false alarms "
                f"in {result.honest.trials} honest blocks, exact rate "
                f"{result.honest.exact_rate:.3g} against {result.honest.alpha:g}"
            )
    if sessions is not None and not sessions.kept:
        raise VerificationError(
            f"{sessions.aborted} of {sessions.sessions} honest sessions were aborted at a promised "
            f"rate of {sessions.alpha:g}"
        )

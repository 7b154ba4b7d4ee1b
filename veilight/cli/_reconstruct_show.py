"""Tables of `veilight reconstruct`: gains beside what is stated."""

from typing import TYPE_CHECKING

from veilight.cli._screen import Screen
from veilight.cli._tables import bits

if TYPE_CHECKING:
    from veilight.reconstruct import DictionaryAttack, InputPoint
    from veilight.reconstruct_counting import CountingPoint
    from veilight.reconstruct_model import ModelPoint
    from veilight.reconstruct_probing import ProbingPoint
    from veilight.reconstruct_weights import WeightPoint

__all__ = [
    "show_counting",
    "show_dictionary",
    "show_end",
    "show_inputs",
    "show_model",
    "show_probing",
    "show_weights",
]


def show_dictionary(
    screen: Screen, attacks: "list[DictionaryAttack]", candidates: int, cosine: float
) -> None:
    """Rows to single out one input, and the first receiver's curve."""
    screen.table(
        f"Rows to single out one input in {candidates:,}, cosine {cosine:g}",
        ("receiver", "noise [SNU]", "50 %", "99 %", "stated least", "50 % impossible below"),
        [
            (
                f"{attack.receiver.kind} at {attack.receiver.setting:.4g}",
                f"{attack.excess_noise_snu:.4g}",
                _rows(attack.rows_half),
                _rows(attack.rows_sure),
                _rows(attack.stated_rows),
                _rows(attack.fano_rows_half),
            )
            for attack in attacks
        ],
        numbers=(1, 2, 3, 4, 5),
    )
    if not attacks[0].curve:
        return
    screen.table(
        f"Success against rows, {attacks[0].receiver.kind}",
        ("rows", "success", "at least", "at most", "gain [bit]", "stated [bit]"),
        [
            (
                str(point.rows),
                f"{point.success:.1%}",
                f"{point.at_least:.1%}",
                f"{point.bound:.1%}",
                bits(point.bits),
                bits(point.bits_bound),
            )
            for point in attacks[0].curve
        ],
        numbers=(0, 1, 2, 3, 4, 5),
    )


def show_inputs(screen: Screen, points: "list[InputPoint]", title: str) -> None:
    """The attacks on homodyned rows that were played."""
    columns = (
        "rows",
        "found",
        "at most",
        "overlap² X",
        "P",
        "theory",
        "gain [bit/value]",
        "stated, at most",
        "estimate",
    )
    screen.table(
        f"Played: {title}",
        columns,
        [
            (
                str(point.rows),
                f"{point.found:.0%}",
                f"{point.found_bound:.0%}",
                f"{point.overlap_x:.3f}",
                f"{point.overlap_p:.3f}",
                f"{point.overlap_theory:.3f}",
                bits(point.bits),
                bits(point.bits_cap),
                bits(point.bits_estimate),
            )
            for point in points
        ],
        numbers=tuple(range(len(columns))),
    )


def show_weights(screen: Screen, points: "list[WeightPoint]", title: str) -> None:
    """Queries and light kept."""
    screen.table(
        f"Weights: {title}",
        ("way", "copies", "SNR", "stated", "gain [bit]", "stated [bit]", "any measurement"),
        [
            (
                point.way,
                str(point.copies),
                bits(point.gain.signal_to_noise),
                bits(point.snr_stated),
                f"{bits(point.gain.bits)} ± {point.gain.bits_error:.1g}",
                bits(point.bits_bound),
                bits(point.bits_holevo),
            )
            for point in points
        ],
        numbers=(1, 2, 3, 4, 5, 6),
    )


def show_counting(screen: Screen, points: "list[CountingPoint]", title: str) -> None:
    """Photons counted: the dictionary, and the local estimate."""
    columns = (
        "rows",
        "photons",
        "found",
        "at most",
        "gain [bit]",
        "stated [bit]",
        "error² / least",
        "local gain [bit/value]",
        "stated",
    )
    screen.table(
        f"Photons counted: {title}",
        columns,
        [
            (
                str(point.rows),
                f"{point.photons:.3g}",
                f"{point.found:.0%}",
                f"{point.found_bound:.0%}",
                bits(point.bits),
                bits(point.bits_cap),
                f"{point.variance_ratio:.3f}",
                f"{bits(point.local_bits)} ± {point.local_bits_error:.1g}",
                bits(point.local_bits_bound),
            )
            for point in points
        ],
        numbers=tuple(range(len(columns))),
    )


def show_probing(screen: Screen, points: "list[ProbingPoint]", title: str) -> None:
    """Probes in P at the client's limit."""
    columns = (
        "rows",
        "found",
        "at most",
        "gain [bit]",
        "stated [bit]",
        "overlap²",
        "gain [bit/value]",
        "stated, at most",
        "without a probe",
    )
    screen.table(
        f"P probed: {title}",
        columns,
        [
            (
                str(point.rows),
                f"{point.found:.0%}",
                f"{point.found_bound:.0%}",
                bits(point.found_bits),
                bits(point.found_bits_cap),
                f"{point.overlap:.3f}",
                bits(point.bits),
                bits(point.bits_stated),
                bits(point.bits_without),
            )
            for point in points
        ],
        numbers=tuple(range(len(columns))),
    )


def show_model(screen: Screen, points: "list[ModelPoint]", title: str) -> None:
    """A small network extracted: decisions, and bits per weight of its first layer."""
    columns = (
        "queries",
        "decides alike",
        "accuracy",
        "teacher's",
        "read [bit/weight]",
        "stated",
        "student",
        "stated",
        "any measurement",
    )
    screen.table(
        f"Network extracted: {title}",
        columns,
        [
            (
                str(point.queries),
                f"{point.agreement:.1%}",
                f"{point.student_accuracy:.1%}",
                f"{point.teacher_accuracy:.1%}",
                f"{bits(point.read.bits)} ± {point.read.bits_error:.1g}",
                bits(point.bits_bound),
                f"{bits(point.student.bits)} - {point.student_allowance:.2g}",
                bits(point.student_bits_bound),
                bits(point.bits_holevo),
            )
            for point in points
        ],
        numbers=tuple(range(len(columns))),
    )


def show_end(
    screen: Screen, files: list[str], claim: str = "Every gain is within what is stated."
) -> None:
    """That the bounds held, and where the pictures are."""
    screen.tell(claim)
    if files:
        screen.say("Written: " + ", ".join(files))


def _rows(value: float) -> str:
    return "never" if value == float("inf") else f"{value:,.0f}"

"""A certificate's statement for people."""

from typing import TYPE_CHECKING

from veilight.cli._screen import Screen
from veilight.cli._tables import bits, tests_table

if TYPE_CHECKING:
    from protocol.certificates import LayerBits, Statement

__all__ = ["show_statement"]


def show_statement(screen: Screen, statement: "Statement") -> None:
    """The statement as tables: who, what is trusted, what was estimated, how many bits.

    Args:
        screen: where to write.
        statement: of either side.
    """
    screen.tell(f"{statement.side.upper()}: what can have leaked of the {statement.secret}")
    screen.tell(f"  {statement.light}")
    screen.tell(
        f"  {statement.title}, {statement.started}, {statement.receiver}, "
        f"{'accepted' if statement.accepted else 'REFUSED'}"
    )
    for taint in statement.taints:
        screen.tell(f"  TAINTED: {taint}")
    for line in statement.adversary:
        screen.say(f"  - {line}")
    screen.table(
        "Trusted and not",
        ("what", "value", "charged at", "given to"),
        [
            (
                item.what,
                "" if item.value is None else f"{item.value:.4g} {item.unit}".strip(),
                "" if item.deviations is None else f"{item.deviations:.2f} deviations",
                "own device" if item.trusted else "the adversary",
            )
            for item in statement.trust
        ],
        numbers=(1,),
    )
    _show_estimates(screen, statement)
    tests_table(screen, statement.tests)
    _show_bits(screen, statement)


def _show_estimates(screen: Screen, statement: "Statement") -> None:
    if not statement.estimates:
        return
    screen.table(
        "Estimated, and the worst value inside the confidence region",
        ("layer", "quantity", "estimate", "worst", "tested symbols"),
        [
            (
                entry.layer,
                f"{entry.what} [{entry.unit}]" if entry.unit else entry.what,
                f"{entry.value:.5g}",
                f"{entry.bound:.5g}",
                f"{entry.symbols:,}",
            )
            for entry in statement.estimates
        ],
        numbers=(2, 3, 4),
    )


def _show_bits(screen: Screen, statement: "Statement") -> None:
    weights = statement.secret == "weights"
    title = "Bits per weight" if weights else "Bits per data value of one input"
    title += ", at most" if all(entry.upper_bound for entry in statement.layers) else ""
    if statement.confidence is not None:
        title += f", all at once with confidence 1 - {1 - statement.confidence:.2g}"
    columns = ["layer", "to whom", "copies", "bits", "with memory", "untested", "total [bit]"]
    screen.table(
        title,
        (*columns, "kind"),
        [
            (
                entry.layer,
                entry.adversary,
                f"{entry.copies_verified:,} + {entry.copies_unverified:,}" if weights else "",
                bits(entry.bits_per_value),
                "" if entry.bits_with_memory is None else bits(entry.bits_with_memory),
                bits(entry.bits_untested),
                bits(entry.total_bits),
                _kind(entry, weights=weights),
            )
            for entry in statement.layers
        ],
        numbers=(2, 3, 4, 5, 6),
    )
    _tell_totals(screen, statement)
    if statement.ledger is None:
        screen.tell("No ledger file: nothing is known of other sessions.")
    else:
        ledger = statement.ledger
        screen.tell(
            f"Ledger: entry {ledger.entries}, {ledger.hash[:16]}..., charged "
            f"{bits(ledger.charged_bits)} bit at the design value"
            + (f", {ledger.charge_rule}" if ledger.charge_rule else "")
        )
    where = "in no ledger file"
    if statement.ledger is not None and statement.ledger.thresholds_entry is not None:
        where = f"in entry {statement.ledger.thresholds_entry} of the ledger"
    fingerprint = f"{statement.thresholds_sha256[:16]}..."
    screen.tell(f"Thresholds fixed beforehand: {fingerprint}, {where}\n")


def _kind(entry: "LayerBits", *, weights: bool) -> str:
    if not entry.upper_bound:
        return "local estimate"
    return "certified" if entry.certified else ("untested" if weights else "design value")


def _tell_totals(screen: Screen, statement: "Statement") -> None:
    total = statement.total
    screen.tell(
        f"Worst {total.worst_layer}: {bits(total.worst_bits_per_value)} bit; mean "
        f"{bits(total.mean_bits_per_value)} bit; total {bits(total.total_bits)} bit"
    )
    remembered = total.worst_bits_with_memory
    if remembered is not None and remembered > total.worst_bits_per_value:
        screen.tell(
            f"With a memory over copies, which no test looks for: at most {bits(remembered)} bit"
        )
    as_one = total.mean_certified_as_one
    if as_one is not None and as_one < total.mean_bits_per_value:
        screen.tell(
            f"Mean certified as one number, at the same confidence by itself: {bits(as_one)} bit"
        )
    everything = total.all_sessions_worst_bits
    if everything is None:
        return
    share = total.all_sessions_tested_share
    tested = "" if share is None else f", {100 * share:.3g} % of their light tested"
    words = f"All sessions of the ledger{tested}, the rest as kept: {bits(everything)} bit"
    remembered = total.all_sessions_worst_bits_with_memory
    if remembered is not None and remembered > everything:
        words += f"; with a memory over copies at most {bits(remembered)} bit"
    screen.tell(words)

"""What a run came to, in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from protocol.leakage import LeakageSummary
from veilight.report._numbers import (
    binomial_interval,
    bits,
    confidence_text,
    count,
    duration,
    human,
    plain,
    rate,
    share,
)
from veilight.run_values import LayerResult, RunResult

__all__ = [
    "Fact",
    "Verdict",
    "aborted_plainly",
    "accuracy_facts",
    "data_fact",
    "figure_kind",
    "ledger_words",
    "moment",
    "queries_sent",
    "queries_words",
    "receiver_words",
    "time_fact",
    "verdict",
    "weights_fact",
]

Tone = Literal["good", "bad", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict of a session.

    Args:
        tone: accepted, aborted, or nothing could be tested.
        word: one or two words.
        sentences: what happened, one paragraph each.
    """

    tone: Tone
    word: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One of the figures at the top of a section: name, value, what to know about it."""

    name: str
    value: str
    note: str


def verdict(result: RunResult) -> Verdict:
    """Accepted, aborted and why, or nothing verified and why."""
    found = _verdict(result)
    return replace(found, sentences=tuple(text for text in found.sentences if text))


def _verdict(result: RunResult) -> Verdict:
    blocks, planned = len(result.blocks), result.thresholds.blocks
    tested = sum(record.verdict is not None for record in result.blocks)
    done = f"{count(blocks)} of {count(planned)} planned blocks of light were sent."
    if not result.accepted:
        reason = result.abort_reason or "A block of returned light failed its tests."
        return Verdict(
            tone="bad",
            word="Aborted",
            sentences=(
                reason[0].upper() + reason[1:],
                f"{done} No classification was given out.",
                _behaviour_words(result, "aborted"),
            ),
        )
    if not tested:
        return Verdict(
            tone="unknown",
            word="Nothing verified",
            sentences=(
                "The session ran to its end, but there was nothing to verify: an honest client "
                f"with this receiver ({receiver_words(result)}) gives no light back, so that the "
                "server cannot tell an honest client from one that keeps all the light. The "
                "leakage below is stated for a client that does.",
                done,
                _behaviour_words(result, "untested"),
            ),
        )
    untested = blocks - tested
    part = f" {count(untested)} blocks could not be tested." if untested else ""
    return Verdict(
        tone="good",
        word="Accepted",
        sentences=(
            f"The light that came back passed the server's tests in all {count(tested)} tested "
            f"blocks of {count(planned)} planned.{part} The chance that an honest client is "
            f"refused was set to {plain(result.request.false_alarm)} for the whole session.",
            _behaviour_words(result, "accepted"),
        ),
    )


def aborted_plainly(result: RunResult) -> str:
    """Short outcome for the overview."""
    if result.accepted:
        return ""
    for number, record in enumerate(result.blocks, start=1):
        if not record.accepted:
            return f"block {number}: {record.failed}"
    failed = [f"{test.party}: {test.name}" for test in result.tests if not test.passed]
    return ", ".join(failed) or "see its section"


def _behaviour_words(result: RunResult, outcome: str) -> str:
    """What the simulated client really did, beside what the server concluded; and taints."""
    if result.request.optics is not None:
        return tainted_words(result)
    behaviour = result.request.behaviour
    honest = behaviour.transmittance == 1 and not (
        behaviour.added_noise_x_snu or behaviour.added_noise_p_snu
    )
    what = f"What really happened, which the server cannot see: “{behaviour.name}”."
    comments = {
        (True, "accepted"): "The verdict is right.",
        (False, "aborted"): "The verdict is right: the tampering was caught.",
        (True, "aborted"): "The client did not tamper: a false alarm, or a link that is worse than "
        "its calibration says.",
        (False, "accepted"): "The tampering was NOT noticed; the finite-test figures below state "
        "how much could have been learned in spite of the tests.",
    }
    return " ".join([what, comments.get((honest, outcome), "")]).strip()


def tainted_words(result: RunResult) -> str:
    """What was overridden to allow the run; empty if nothing was."""
    if not result.request.taints:
        return ""
    return f"TAINTED: {'; '.join(result.request.taints)}. Do not rely on the figures below."


def moment(started: str) -> str:
    """An ISO 8601 time with its zone written out, without the T."""
    try:
        when = datetime.fromisoformat(started)
    except ValueError:
        return started
    return when.strftime("%Y-%m-%d %H:%M:%S %Z").strip()


def receiver_words(result: RunResult) -> str:
    """Kind and setting of the receiver."""
    setting = result.receiver.setting_name.replace("_", " ")
    kind = result.receiver.kind.replace("-", " ")
    return f"{kind}, {setting} {plain(result.receiver.setting)}"


def accuracy_facts(result: RunResult) -> tuple[Fact, Fact]:
    """Accuracy over light and without it, each with its 95 % interval."""
    return (
        _accuracy("Accuracy over light", result, result.accuracy),
        _accuracy("Same network, no light", result, result.noise_free_accuracy),
    )


def _accuracy(name: str, result: RunResult, accuracy: float | None) -> Fact:
    samples = len(result.request.inputs)
    if accuracy is None:
        if result.request.labels is None:
            note = f"{count(samples)} samples without true classes to compare with"
        else:
            note = "the session was aborted before a classification was given out"
        return Fact(name=name, value="unknown", note=note)
    hits = round(accuracy * samples)
    low, high = binomial_interval(hits, samples)
    return Fact(
        name=name,
        value=share(accuracy),
        note=f"{count(hits)} of {count(samples)} right; 95 % interval {share(low)} to "
        f"{share(high)}",
    )


def figure_kind(figure: LeakageSummary) -> str:
    """Whether a figure is an upper bound, and with what confidence."""
    bound = "Upper bound" if figure.upper_bound else "Not an upper bound: others may get more"
    if figure.confidence is None:
        return f"{bound}; asymptotic, no statistical confidence"
    return f"{bound} with confidence {confidence_text(figure.confidence)}"


def weights_fact(result: RunResult) -> Fact:
    """The certified figure beside the largest upper bound, or that bound alone."""
    bounds = [figure for figure in result.weights_leaked if figure.upper_bound]
    certified = [figure for figure in bounds if figure.confidence is not None]
    if not certified:
        return _leakage_fact("Weights, at most", bounds, "weight")
    most = max(bounds, key=lambda figure: figure.worst_bits_per_symbol)
    fact = _leakage_fact("Weights, client under test", certified, "weight")
    note = f"{fact.note}. Largest bound of all: {bits(most.worst_bits_per_symbol, up=True)}"
    return replace(fact, note=f"{note}, {most.adversary}")


def data_fact(result: RunResult) -> Fact:
    """The largest upper bound on what the server can have learned of a sample."""
    bounds = [figure for figure in result.data_leaked if figure.upper_bound]
    return _leakage_fact("Data, at most", bounds, "data value")


def _leakage_fact(name: str, figures: Sequence[LeakageSummary], symbol: str) -> Fact:
    if not figures:
        return Fact(name=name, value="unknown", note="no upper bound is known for this setting")
    worst = max(figures, key=lambda figure: figure.worst_bits_per_symbol)
    kind = "asymptotic"
    if worst.confidence is not None:
        kind = f"confidence {confidence_text(worst.confidence)}"
    if worst.worst_bits_per_symbol == 0:
        note = f"the light tells nothing to anyone listed below; {kind}"
        return Fact(name=name, value=f"{bits(0.0)} per {symbol}", note=note)
    return Fact(
        name=name,
        value=f"≤ {bits(worst.worst_bits_per_symbol, up=True)} per {symbol}",
        note=f"worst layer; mean {bits(worst.mean_bits_per_symbol, up=True)}, in all "
        f"{bits(worst.total_bits, up=True)}; {kind}; {worst.adversary}",
    )


def time_fact(result: RunResult) -> Fact:
    """How long the light was on."""
    return Fact(
        name="Light on for",
        value=duration(result.light_time_s),
        note=f"{count(result.symbols_sent)} symbols at {rate(result.server_info.symbol_rate_hz)}; "
        f"the computer took {duration(result.wall_time_s)}",
    )


def queries_sent(result: RunResult) -> int:
    """Samples for which at least one layer was sent; the leakage figures count at least 1."""
    sent: dict[int, int] = {}
    for record in result.blocks:
        block = record.block
        if block.tile == 0 and block.first_row == 0:
            sent[block.layer] = sent.get(block.layer, 0) + block.inputs
    return max((-(-sent.get(e.layer, 0) // e.positions) for e in result.plan.layers), default=0)


def ledger_words(result: RunResult) -> str:
    """What the budget was and whether it was in force."""
    budget = result.budget_bits_per_weight
    if result.budget_lifted:
        set_to = "none was set" if budget is None else f"set to {bits(budget)} per weight"
        return (
            f"The budget ({set_to}) was LIFTED for this evaluation, which is possible in "
            "simulation only. With the budget in force, light beyond it is refused. What 10,000 "
            "real queries would have leaked is in the table above." + _rule_words(result)
        )
    if budget is None:
        return (
            "No budget was set: the ledger counted the light and refused nothing. What 10,000 "
            "queries would have leaked is in the table above." + _rule_words(result)
        )
    worst = max(layer.bits_charged for layer in result.layers)
    return (
        f"The budget is {bits(budget)} per weight. The ledger is debited before light is sent and "
        f"refuses what exceeds the budget; after this run the worst row stands at "
        f"{bits(worst, up=True)} ({share(worst / budget)} of the budget)."
        + _rule_words(result)
        + _untold_words(max(layer.untold_photons for layer in result.layers))
    )


def _rule_words(result: RunResult) -> str:
    """Whom the ledger charges for."""
    if result.charge_rule == "with memory":
        return (
            " The ledger charges any client, one memory over all copies of a weight included. The "
            "table above has bits without such a memory."
        )
    return " The ledger charges clients without a memory that meets several copies of a weight."


def _untold_words(photons: float) -> str:
    """What is assumed of light in a ledger of an older version."""
    if not photons:
        return ""
    return (
        f" Of its light {human(photons)} photons per weight were written down by an older version, "
        "which did not say how they came back: they are charged as if they did like those of the "
        "first session since."
    )


def queries_words(layer: LayerResult) -> str:
    """How many verified queries the budget allows, from an empty ledger."""
    if layer.queries_left is None:
        return "no budget"
    if layer.queries_left >= 1 << 49:
        return "more than 10¹⁴"
    return count(layer.queries_left)

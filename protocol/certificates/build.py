"""From a session's record to the statement of each side."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from drivers.errors import ConfigurationError, DataError
from drivers.receivers import receiver
from protocol.certificates.layer_bits import LightBits, certified_layer, mean_as_one
from protocol.certificates.record import (
    LayerRecord,
    LayerThresholds,
    LedgerRecord,
    SessionRecord,
    Thresholds,
)
from protocol.certificates.statement import (
    REAL,
    SIMULATED,
    DeviceTrust,
    LayerBits,
    LedgerState,
    Statement,
    TotalBits,
)
from protocol.leakage.certified import calibration_multiplier
from protocol.leakage.data_layer import PROBING_SERVER

__all__ = ["RunFacts", "client_statement", "server_statement"]

_WEIGHT_ADVERSARY = (
    "a client, or a thief on either fibre, who holds everything outside the server's own boxes, "
    "made the channel and has a perfect quantum memory: any receiver, any collective measurement",
    "Holevo's bound from the measured second moments, direct reconciliation, correlations that no "
    "test sees at their worst; covers what the honest receiver reads as well",
    "K copies of the same weights are one of K times the photons; copies that did not pass are a "
    "part of it that was kept; what comes back, comes through a channel without memory from copy "
    "to copy",
    "with a memory over copies: the same counts, but one memory meets all copies of a weight in "
    "turn, so that the noise of their returns is correlated and K symbols may be worth one; at "
    "most, for any such attack. No test looks for it",
    "over all sessions of a ledger: the tests of all of them taken together, each with its own "
    "detector taken out; light of which the ledger has no tests counts as kept",
    "not covered: such a memory, but in the figure that names it; attacks that treat symbols "
    "unlike each other and escape the tests' sums; hardware side channels; a composable "
    "finite-size proof; a client that ends the session by what it knows; other versions of the "
    "weights (rounded, fine-tuned) and weights that occur in several rows, which count as "
    "different secrets. Weights are taken as Gaussian, and the bits are an average over a layer's "
    "weights",
)
_PROBES = (
    "displacements of P tell of the data with this receiver: for a server that probes P there is a "
    "local estimate (Fisher information), which is no upper bound and is labelled as what it is"
)
_DATA_ADVERSARY = (
    "a server that keeps whole rows of the returned light and measures them in any way",
    "from the noise that the agreed receiver puts on the data's mode, as designed: the client "
    "estimates nothing of the light, so there is no confidence region",
    "not covered: squeezed, entangled or bright probes that stay within the limits of the client's "
    "own tests, hardware side channels",
)


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a statement repeats of its run.

    Attributes:
        simulated: whether the light was.
        title: of the run.
        started: UTC, ISO 8601.
        accepted: the server's verdict.
        backend: what the light was made by.
        taints: what was overridden.
        result_sha256: of the record's file.
    """

    simulated: bool
    title: str
    started: str
    accepted: bool
    backend: str
    taints: tuple[str, ...]
    result_sha256: str


def server_statement(
    facts: RunFacts, record: SessionRecord, confidence: float | None = None
) -> Statement:
    """The statement on the server's weights.

    Args:
        facts: of the run.
        record: what the session counted.
        confidence: joint, over the layers; None for the one that was fixed beforehand.

    Raises:
        ConfigurationError: the confidence is out of range.
        DataError: the record contradicts itself.
    """
    thresholds = record.thresholds
    _check_fingerprint(record)
    level = thresholds.confidence if confidence is None else confidence
    if not 0 < level < 1:
        raise ConfigurationError(
            f"certificate: the confidence is {level}, it must lie between 0 and 1, such as 0.999999"
        )
    sent = [
        (plan, counted)
        for plan, counted in _pairs(record)
        if counted.copies_verified + counted.copies_unverified > 0
    ]
    if not sent:
        raise DataError(
            f"certificate: no light was sent in {facts.title!r}, so there is nothing to certify"
        )
    failure = (1 - level) / len(sent)
    found = [certified_layer(plan, counted, thresholds.trust, failure) for plan, counted in sent]
    estimates = tuple(estimate for layer in found for estimate in layer.estimates)
    layers = tuple(layer.bits for layer in found)
    return Statement(
        side="server",
        secret="weights",
        **_common(facts),
        receiver=f"{thresholds.receiver} at {thresholds.receiver_setting:g}",
        adversary=_WEIGHT_ADVERSARY,
        trust=_server_trust(thresholds, calibration_multiplier(failure)),
        confidence=level if estimates else None,
        confidence_fixed_beforehand=level == thresholds.confidence,
        estimates=estimates,
        layers=layers,
        total=replace(
            _total(layers, [layer.everything for layer in found]),
            mean_certified_as_one=mean_as_one(sent, thresholds.trust, 1 - level),
        ),
        ledger=_ledger_state(
            record.ledger, max((counted.bits_charged for counted in record.layers), default=0.0)
        ),
        tests=tuple(test for test in record.tests if test.party == "server"),
        audited_batches=record.audited_batches,
        thresholds_sha256=record.thresholds_sha256,
    )


def client_statement(
    facts: RunFacts, record: SessionRecord, data_leaked: Sequence[Mapping[str, Any]]
) -> Statement:
    """The statement on the client's data: what one input can have told the server.

    Args:
        facts: of the run.
        record: what the session counted.
        data_leaked: the run's figures, as `LeakageSummary` in plain data; those that are upper
            bounds count, and where the server probes P by its displacements what it gets by that,
            which is an estimate.

    Raises:
        DataError: the record contradicts itself, or there is no upper bound among the figures.
    """
    _check_fingerprint(record)
    probed = _probed(record)
    bounds = [
        figure
        for figure in data_leaked
        if figure.get("upper_bound") or (probed and figure.get("adversary") == PROBING_SERVER)
    ]
    assumed = sorted({str(figure.get("assumptions", "nothing stated")) for figure in bounds})
    layers = [_data_bits(figure) for figure in bounds]
    if not layers:
        raise DataError("certificate: the run lists no upper bound on the data's leakage")
    thresholds = record.thresholds
    worst = max(layers, key=lambda entry: entry.total_bits)
    spent = None if record.data_ledger is None else record.data_ledger.most_bits
    return Statement(
        side="client",
        secret="data",
        **_common(facts),
        receiver=f"{thresholds.receiver} at {thresholds.receiver_setting:g}",
        adversary=(
            _DATA_ADVERSARY
            if all(layer.upper_bound for layer in layers)
            else (*_DATA_ADVERSARY, _PROBES)
        ),
        trust=(
            DeviceTrust(what="the client's own receiver, as calibrated", trusted=True),
            *(DeviceTrust(what=words, trusted=True) for words in assumed),
            DeviceTrust(what="loss on the way back (it could only lower the bits)", trusted=False),
        ),
        confidence=None,
        confidence_fixed_beforehand=True,
        estimates=(),
        layers=tuple(layers),
        total=TotalBits(
            worst_layer=worst.layer,
            worst_bits_per_value=worst.bits_per_value,
            mean_bits_per_value=worst.total_bits / worst.secret_values,
            total_bits=worst.total_bits,
            all_sessions_worst_bits=spent,
        ),
        ledger=_ledger_state(record.data_ledger, spent or 0.0),
        tests=tuple(test for test in record.tests if test.party == "client"),
        audited_batches=record.audited_batches,
        thresholds_sha256=record.thresholds_sha256,
    )


def _common(facts: RunFacts) -> dict[str, Any]:
    return {
        "simulated": facts.simulated,
        "light": SIMULATED if facts.simulated else REAL,
        "title": facts.title,
        "started": facts.started,
        "accepted": facts.accepted,
        "backend": facts.backend,
        "taints": facts.taints,
        "result_sha256": facts.result_sha256,
    }


def _check_fingerprint(record: SessionRecord) -> None:
    if record.thresholds.sha256 != record.thresholds_sha256:
        raise DataError(
            f"certificate: the thresholds of the record have the fingerprint "
            f"{record.thresholds.sha256[:12]}, recorded was {record.thresholds_sha256[:12]}: they "
            "are not the ones that were fixed beforehand"
        )
    ledger = record.ledger
    if ledger is not None and ledger.thresholds_sha256 != record.thresholds_sha256:
        raise DataError(
            f"certificate: the ledger's entry {ledger.thresholds_entry} has thresholds of the "
            f"fingerprint {str(ledger.thresholds_sha256)[:12]}, the session's is "
            f"{record.thresholds_sha256[:12]}: nothing shows that they were fixed beforehand"
        )


def _pairs(record: SessionRecord) -> list[tuple[LayerThresholds, LayerRecord]]:
    counted = {layer.layer: layer for layer in record.layers}
    if set(counted) != {plan.layer for plan in record.thresholds.layers}:
        raise DataError("certificate: the record counts other layers than were planned")
    return [(plan, counted[plan.layer]) for plan in record.thresholds.layers]


def _server_trust(thresholds: Thresholds, deviations: float) -> tuple[DeviceTrust, ...]:
    trust, dither = thresholds.trust, max(layer.dither_p_snu for layer in thresholds.layers)
    displaced = DeviceTrust(
        what="random displacements of P, secret until the light is back, of mean square",
        trusted=True,
        value=dither,
        unit="SNU",
    )
    return (
        DeviceTrust(
            what="quadratures of the return, secret until the light is back, share of X",
            trusted=True,
            value=thresholds.x_share,
        ),
        *((displaced,) if dither else ()),
        DeviceTrust(
            what="efficiency of the server's detector", trusted=True, value=trust.efficiency
        ),
        DeviceTrust(
            what="electronic noise and quantisation of the server's detector",
            trusted=True,
            value=trust.electronic_noise_snu,
            unit="SNU",
        ),
        DeviceTrust(
            what="sent amplitudes, to a relative standard uncertainty of",
            trusted=True,
            value=trust.gain_uncertainty,
            deviations=deviations,
        ),
        DeviceTrust(
            what="shot-noise unit, to a relative standard uncertainty of",
            trusted=True,
            value=trust.variance_uncertainty,
            deviations=deviations,
        ),
        DeviceTrust(what="every other loss, both fibres included", trusted=False),
        DeviceTrust(what="every other noise, the honest receiver's included", trusted=False),
    )


def _total(layers: Sequence[LayerBits], everything: Sequence[LightBits | None]) -> TotalBits:
    worst = max(layers, key=lambda layer: layer.bits_per_value)
    total = math.fsum(layer.total_bits for layer in layers)
    known = [bits for bits in everything if bits is not None]
    in_ledger = len(known) == len(everything)
    return TotalBits(
        worst_layer=worst.layer,
        worst_bits_per_value=worst.bits_per_value,
        mean_bits_per_value=total / sum(layer.secret_values for layer in layers),
        total_bits=total,
        all_sessions_worst_bits=max(bits.without_memory for bits in known) if in_ledger else None,
        worst_bits_with_memory=max(layer.bits_with_memory or 0.0 for layer in layers),
        all_sessions_worst_bits_with_memory=(
            max(bits.with_memory for bits in known) if in_ledger else None
        ),
        all_sessions_tested_share=min(bits.tested_share for bits in known) if in_ledger else None,
    )


def _ledger_state(ledger: LedgerRecord | None, charged: float) -> LedgerState | None:
    if ledger is None:
        return None
    return LedgerState(
        session=ledger.session,
        entries=ledger.entries,
        hash=ledger.hash,
        charged_bits=charged,
        budget_bits=ledger.budget_bits,
        lifted=ledger.lifted,
        thresholds_entry=ledger.thresholds_entry,
        charge_rule=ledger.charge_rule,
    )


def _probed(record: SessionRecord) -> bool:
    """Whether the server sent light in P that tells of the data; what is random nobody can see."""
    thresholds = record.thresholds
    keeps_p = receiver(thresholds.receiver, thresholds.receiver_setting).preserves_p
    return not keeps_p and any(layer.dither_p_snu > 0 for layer in thresholds.layers)


def _data_bits(figure: Mapping[str, Any]) -> LayerBits:
    try:
        total, symbols = float(figure["total_bits"]), int(figure["symbols"])
        return LayerBits(
            layer=f"all layers, worst {figure['worst_layer']}",
            adversary=str(figure["adversary"]),
            secret_values=symbols,
            copies_verified=0,
            copies_unverified=0,
            bits_per_value=total / symbols,
            bits_untested=total / symbols,
            total_bits=total,
            certified=False,
            upper_bound=bool(figure.get("upper_bound")),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DataError(
            f"certificate: a figure of the data's leakage cannot be read: {error!r}; the run's "
            "record is of another version or damaged"
        ) from error

"""What `result.json` holds for certificates: sufficient statistics and what was fixed before."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.certificates.ledger_pool import pooled_lights
from protocol.certificates.pooled import NoiseShape
from protocol.certificates.record import LayerRecord, LedgerRecord, SessionRecord
from protocol.encoding import encode_weights
from protocol.leakage.certified import NoiseDependence, TestedQuadrature
from protocol.plan import LayerPlan
from protocol.verification import Evidence, ReturnExpectation
from protocol.verification.expected import largest_alignment
from veilight.run_values import LayerResult, RunResult

__all__ = ["certificate_record"]

Array = NDArray[np.float64]


def certificate_record(result: RunResult) -> dict[str, Any]:
    """The record of a run that `protocol.certificates` makes statements from, as plain data.

    Args:
        result: of a run.
    """
    record = SessionRecord(
        thresholds=result.thresholds,
        thresholds_sha256=result.thresholds_told,
        layers=tuple(_layer_record(result, layer) for layer in result.layers),
        ledger=_ledger(result),
        data_ledger=_data_ledger(result),
        tests=result.tests,
        audited_batches=result.audited_batches,
        audit_symbols=result.audit_symbols,
    )
    return asdict(record)


def _layer_record(result: RunResult, layer: LayerResult) -> LayerRecord:
    verified, unverified = _copies(result, layer.plan)
    evidence = layer.evidence
    photons = None if result.ledger_head is None else layer.photons_in_ledger
    return LayerRecord(
        layer=layer.plan.layer,
        copies_verified=verified,
        copies_unverified=unverified,
        tested_x=_tested(evidence, 0, layer.expectation),
        tested_p=_tested(evidence, 1, layer.expectation),
        dependence=_dependence(result, layer, evidence),
        bits_charged=float(layer.bits_charged),
        ledger_photons=photons,
        pooled=() if photons is None else pooled_lights(layer.tested, layer.plan.encoding),
    )


def _copies(result: RunResult, plan: LayerPlan) -> tuple[int, int]:
    """Most copies of a row that passed, and most that did not; all tiles of a row go together."""
    passed, refused = np.zeros(plan.rows, dtype=np.int64), np.zeros(plan.rows, dtype=np.int64)
    verifiable = next(x for x in result.layers if x.plan is plan).expectation.verifiable
    last = len(plan.tiles) - 1
    for record in result.blocks:
        block = record.block
        if block.layer != plan.layer:
            continue
        rows = slice(block.first_row, block.first_row + block.rows)
        if not (record.verified and verifiable):
            if block.tile == last or not record.accepted:
                refused[rows] += block.inputs
        elif block.tile == last:
            passed[rows] += block.inputs
    return int(passed.max()), int(refused.max())


def _tested(
    evidence: Evidence | None, quadrature: int, law: ReturnExpectation
) -> TestedQuadrature | None:
    if evidence is None or not law.verifiable or evidence.symbols[quadrature] < 2:
        return None
    return TestedQuadrature(
        symbols=int(evidence.symbols[quadrature]),
        sent_energy_snu=float(evidence.mean_energy_snu[quadrature]),
        projection_snu=float(evidence.projection_snu[quadrature]),
        residual_energy_snu=float(evidence.residual_energy_snu[quadrature]),
        reference_gain=float(law.gain),
    )


def _dependence(
    result: RunResult, layer: LayerResult, evidence: Evidence | None
) -> NoiseDependence:
    """Correlations of an honest return's noise; none where nothing is tested."""
    plan, law = layer.plan, layer.expectation
    if evidence is None or not law.verifiable:
        return NoiseDependence()
    aligned, uneven = _means_shape(result, layer)
    shape = NoiseShape.of(
        law, rows=plan.rows, modes=min(plan.tiles), alignment=aligned, unevenness=uneven
    )
    frames, energy = evidence.frames, evidence.mean_energy_snu
    return shape.dependence(
        (float(frames[0]), float(frames[1])), (float(energy[0]), float(energy[1]))
    )


def _means_shape(result: RunResult, layer: LayerResult) -> tuple[float, float]:
    """Largest share of the launched energy in one mode, and how unlike the rows' energies are."""
    if layer.disguised is not None:
        return layer.disguised.alignment, layer.disguised.unevenness
    tiles = encode_weights(result.request.model.matrix(layer.plan.layer), layer.plan)
    energies = np.array([(tile.abs() ** 2).sum(1).double().numpy() for tile in tiles])
    uneven = float((energies**2).mean() / energies.mean() ** 2) if energies.any() else 1.0
    return max(largest_alignment(tile) for tile in tiles), uneven


def _ledger(result: RunResult) -> LedgerRecord | None:
    head = result.ledger_head
    if head is None:
        return None
    fixed = result.thresholds_in_ledger
    return LedgerRecord(
        session=result.session,
        entries=head.entries,
        hash=head.hash,
        budget_bits=result.budget_bits_per_weight,
        lifted=result.budget_lifted,
        thresholds_entry=None if fixed is None else fixed.entry,
        thresholds_sha256=None if fixed is None else fixed.thresholds_sha256,
        charge_rule=result.charge_rule,
    )


def _data_ledger(result: RunResult) -> LedgerRecord | None:
    ledger = result.request.data_ledger
    if ledger is None or result.data_ledger_head is None:
        return None
    return LedgerRecord(
        session=result.session,
        entries=result.data_ledger_head.entries,
        hash=result.data_ledger_head.hash,
        budget_bits=ledger.budget_bits_per_input,
        lifted=ledger.unlimited,
        most_bits=result.data_ledger_most_bits,
    )

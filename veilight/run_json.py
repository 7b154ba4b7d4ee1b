"""A run's result as plain data, for `--json` and for files."""

from dataclasses import asdict
from typing import Any

from protocol.server import BlockRecord
from veilight.certificate_record import certificate_record
from veilight.defences import defences_to_dict
from veilight.run_values import LayerResult, RunResult

__all__ = ["result_to_dict"]


def result_to_dict(result: RunResult) -> dict[str, Any]:
    """Plain data for `--json`: everything but weights, inputs and single predictions."""
    return {
        "title": result.request.title,
        "started": result.started,
        "simulated": result.simulated,
        "seed": result.seed,
        "accepted": result.accepted,
        "abort_reason": result.abort_reason,
        "samples": len(result.request.inputs),
        "data": result.request.data_name,
        "client_behaviour": result.request.behaviour.name,
        "accuracy": result.accuracy,
        "noise_free_accuracy": result.noise_free_accuracy,
        "confusion": None if result.confusion is None else result.confusion.tolist(),
        "inputs_per_block": result.plan.inputs_per_block,
        "x_share": result.request.x_share,
        "dither_snu": result.request.dither_snu,
        "receiver": {"kind": result.receiver.kind, "setting": result.receiver.setting},
        "symbols_sent": result.symbols_sent,
        "light_time_s": result.light_time_s,
        "wall_time_s": result.wall_time_s,
        "layers": [_layer_dict(layer) for layer in result.layers],
        "blocks": [_block_dict(record) for record in result.blocks],
        "session_tests": [asdict(test) for test in result.tests],
        "audited_batches": result.audited_batches,
        "audit_symbols": result.audit_symbols,
        "weights_leaked": [asdict(figure) for figure in result.weights_leaked],
        "weights_leaked_at_10000": [asdict(f) for f in result.weights_leaked_at_10000],
        "data_leaked": [asdict(figure) for figure in result.data_leaked],
        "budget_bits_per_weight": result.budget_bits_per_weight,
        "budget_lifted": result.budget_lifted,
        "charge_rule": result.charge_rule,
        "backend": result.server_info.backend,
        "taints": list(result.request.taints),
        "defences": defences_to_dict(result),
        "versions": result.versions,
        "certificate": certificate_record(result),
    }


def _layer_dict(layer: LayerResult) -> dict[str, Any]:
    evidence = layer.evidence
    return {
        "name": layer.name,
        "rows": layer.plan.rows,
        "modes": layer.plan.modes,
        "encoding": layer.plan.encoding,
        "photons_per_symbol": layer.plan.photons_per_symbol,
        "launched_photons_per_symbol": layer.launched_photons_per_symbol,
        "signal_to_noise": layer.signal_to_noise,
        "symbols": layer.symbols,
        "expected_gain": layer.expectation.gain,
        "measured_gain": None if evidence is None else evidence.gain,
        "measured_gain_p": None
        if evidence is None or not layer.expectation.dither_snu
        else evidence.gain_of(1),
        "tested_symbols_x": layer.channel.tested_symbols_x,
        "tested_symbols_p": layer.channel.tested_symbols_p,
        "excess_noise_x_snu": layer.channel.excess_noise_x_snu,
        "excess_noise_p_snu": layer.channel.excess_noise_p_snu,
        "transmittance": layer.channel.transmittance,
        "outcome_variance_over_theory": None
        if layer.histogram is None
        else layer.histogram.variance,
        "bits_charged": layer.bits_charged,
        "photons_in_ledger": layer.photons_in_ledger,
        "untold_photons_in_ledger": layer.untold_photons,
        "queries_within_budget": layer.queries_left,
    }


def _block_dict(record: BlockRecord) -> dict[str, Any]:
    return {
        "name": record.block.name,
        "symbols": record.block.symbols,
        "accepted": record.accepted,
        "tests": [] if record.verdict is None else [asdict(s) for s in record.verdict.scores],
    }

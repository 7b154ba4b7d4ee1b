"""What a short session of a small layer records, sums without luck, for tests of certificates."""

import json
from typing import Any

from protocol.certificates import (
    LayerRecord,
    LayerThresholds,
    LedgerRecord,
    SessionRecord,
    TestRecord,
    Thresholds,
)
from protocol.leakage.certified import NoiseDependence, ServerTrust, TestedQuadrature
from protocol.leakage.general_bound import ReturnedChannel
from protocol.verification.session_limits import AlarmShares, SessionLimits

__all__ = [
    "COPIES",
    "EXCESS",
    "FIGURES",
    "LIMITS",
    "MODES",
    "MU",
    "ROWS",
    "counted_layer",
    "planned_layer",
    "read_back",
    "session_record",
]

LIMITS = SessionLimits(
    false_alarm=1e-6,
    shares=AlarmShares(),
    blocks=4,
    running_limit=20.0,
    running_shifts=(4.0, 2.0),
    running_references=(0.01, 0.02, 0.02),
    calibration_score=5.0,
    moment_looks=(1, 2, 4),
    moment_limits=(6.0, 5.5, 5.0),
    moment_allowance=0.01,
    rail_rate=1e-8,
    audits=0,
    audit_rates=(1e-8,),
    audit_slack=0.0,
    opening_rate=1e-8,
    record_rate=1e-9,
    record_look_rates=(1e-9, 1e-9, 1e-9),
    vacuum_reference_values=80_000,
    shift_allowance=0.05,
)
MU, COPIES, ROWS, MODES = 0.1, 50, 40, 100
EXCESS = 0.4 / MODES
FIGURES = [
    {
        "adversary": "server with any measurement, cap",
        "upper_bound": True,
        "assumptions": "no light in P",
        "total_bits": 12.0,
        "symbols": 100,
        "worst_layer": "layer 0",
    },
    {"adversary": "an estimate", "upper_bound": False, "total_bits": 99.0, "symbols": 100},
]


def planned_layer(name: str = "layer 0", index: int = 0) -> LayerThresholds:
    symbols = COPIES * ROWS * MODES // 2
    return LayerThresholds(
        layer=index,
        name=name,
        rows=ROWS,
        modes=MODES,
        weights=ROWS * MODES,
        encoding="real",
        photons_per_symbol=MU,
        copies=COPIES,
        symbols_x=symbols,
        symbols_p=symbols,
        dither_p_snu=0.0,
        verifiable=True,
        expected=ReturnedChannel(
            gain_x=1.0, gain_p=1.0, excess_noise_x_snu=EXCESS, excess_noise_p_snu=EXCESS
        ),
    )


def counted_layer(verified: int = COPIES, unverified: int = 0, index: int = 0) -> LayerRecord:
    """Sums that come out as expected, from so many copies."""
    symbols = verified * ROWS * MODES // 2

    def tested(modulation: float) -> TestedQuadrature | None:
        if not symbols:
            return None
        return TestedQuadrature(
            symbols=symbols,
            sent_energy_snu=symbols * modulation,
            projection_snu=symbols * modulation,
            residual_energy_snu=symbols * (1 + EXCESS),
            reference_gain=1.0,
        )

    return LayerRecord(
        layer=index,
        copies_verified=verified,
        copies_unverified=unverified,
        tested_x=tested(4 * MU),
        tested_p=tested(0.0),
        dependence=NoiseDependence(),
        bits_charged=0.3,
        ledger_photons=(verified + unverified) * MU,
    )


def session_record(*counted: LayerRecord) -> SessionRecord:
    layers = counted or (counted_layer(),)
    thresholds = Thresholds(
        confidence=1 - 1e-6,
        false_alarm=1e-6,
        blocks=4,
        x_share=0.5,
        receiver="amplifier",
        receiver_setting=1.25,
        trust=ServerTrust(),
        layers=tuple(planned_layer(f"layer {entry.layer}", entry.layer) for entry in layers),
        session=LIMITS,
    )
    return SessionRecord(
        thresholds=thresholds,
        thresholds_sha256=thresholds.sha256,
        layers=layers,
        ledger=LedgerRecord(
            session="s",
            entries=7,
            hash="cd" * 32,
            budget_bits=1.0,
            lifted=False,
            thresholds_entry=2,
            thresholds_sha256=thresholds.sha256,
        ),
        data_ledger=None,
        tests=(
            TestRecord(
                party="server",
                name="running gain",
                score=1.5,
                limit=20.0,
                symbols=100,
                passed=True,
            ),
        ),
    )


def read_back(value: object) -> Any:
    return json.loads(json.dumps(value))

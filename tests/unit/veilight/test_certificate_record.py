"""What a run records for its certificates, on whole sessions over the symbol link."""

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from drivers.receivers import Amplifier, PassiveTap, Receiver
from protocol.certificates import SessionRecord, session_record_from
from protocol.ledger import DataLedger, WeightLedger
from protocol.models.graph import Graph, InputScaling, Linear, Relu
from protocol.models.model import LayerWeights, Model
from sim_backend.adversaries import keeps_fraction
from sim_backend.settings import DetectorSettings, LinkSettings
from veilight.certificate_record import certificate_record
from veilight.runs import InferenceRequest, RunResult, run_inference

_SAMPLES, _PHOTONS = 5, 0.5


@lru_cache(maxsize=1)
def _model() -> Model:
    generator = torch.Generator().manual_seed(0)
    return Model(
        graph=Graph(
            input_shape=(30,),
            layers=(
                Linear(inputs=30, outputs=12, bias=False),
                Relu(),
                Linear(inputs=12, outputs=3, bias=False),
            ),
            scaling=InputScaling(offset=0.0, factor=1.0),
        ),
        weights={
            0: LayerWeights(weight=torch.randn(12, 30, generator=generator), bias=None),
            2: LayerWeights(weight=torch.randn(3, 12, generator=generator), bias=None),
        },
    )


def _run(receiver: Receiver | None = None, modes: int = 4096, **changes: Any) -> RunResult:
    link = LinkSettings(
        receiver=receiver or Amplifier(gain=2.0),
        device="cpu",
        seed=1,
        modes_per_frame=modes,
        server=DetectorSettings(efficiency=0.8, electronic_noise_snu=0.05),
    )
    generator = torch.Generator().manual_seed(1)
    settings: dict[str, Any] = {
        "model": _model(),
        "inputs": torch.randn(_SAMPLES, 30, generator=generator),
        "link": link,
        "photons_per_symbol": (_PHOTONS, _PHOTONS),
        "samples_per_block": 2,
    }
    return run_inference(InferenceRequest(**{**settings, **changes}))


def _record(result: RunResult) -> SessionRecord:
    return session_record_from(json.loads(json.dumps(certificate_record(result), allow_nan=False)))


@pytest.mark.parametrize("modes", [4096, 7], ids=["whole-rows", "tiles"])
@pytest.mark.parametrize("rows_per_block", [0, 5])
@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_record_counts_every_copy_and_symbol_once_when_all_passed(
    modes: int, rows_per_block: int, encoding: str
) -> None:
    result = _run(modes=modes, rows_per_block=rows_per_block, encoding=encoding)
    assert result.accepted
    record = _record(result)
    for plan, counted in zip(record.thresholds.layers, record.layers, strict=True):
        assert (counted.copies_verified, counted.copies_unverified) == (_SAMPLES, 0)
        assert counted.tested_x is not None
        assert counted.tested_p is not None
        symbols = counted.tested_x.symbols + counted.tested_p.symbols
        assert symbols == _SAMPLES * plan.rows * plan.modes == plan.symbols_x + plan.symbols_p
        share = 4 * _PHOTONS if encoding == "real" else 2 * _PHOTONS
        # The weights of the rows whose X was drawn, so only about the layer's mean.
        mean = counted.tested_x.sent_energy_snu / counted.tested_x.symbols
        assert mean == pytest.approx(share, rel=0.5)
        assert (counted.tested_p.sent_energy_snu > 0) == (encoding == "complex")
    assert record.ledger is None
    assert record.data_ledger is None


def test_record_expects_the_receivers_noise_when_the_detector_is_taken_out() -> None:
    record = _record(_run())
    (first, second) = record.thresholds.layers
    assert record.thresholds.trust.efficiency == 0.8
    assert record.thresholds.trust.electronic_noise_snu == pytest.approx(0.05)
    for layer in (first, second):
        assert layer.expected.gain_x == pytest.approx(1.0)
        assert layer.expected.excess_noise_x_snu == pytest.approx(1.0 / layer.modes, rel=1e-9)
        assert layer.expected.excess_noise_p_snu == pytest.approx(1.0 / layer.modes, rel=1e-9)


def test_record_states_the_correlation_of_the_noise_when_a_row_shares_it() -> None:
    """The variance's error on N = 30 modes with ell = 0.8 on one of them, in a record of 1.05."""
    law = _record(_run()).layers[0].dependence
    white, excess, modes = 1.05, 0.8 * 1.0, 30
    squares = ((modes - 1) * white**2 + (white + excess) ** 2) / modes
    assert law.variance_inflation == pytest.approx(squares / (white + excess / modes) ** 2)
    assert 1 < law.gain_inflation < (white + excess) / (white + excess / modes)
    assert law.gain_wobble == 0
    quiet = _record(_run(PassiveTap(tap_fraction=0.1))).layers[0].dependence
    assert (quiet.variance_inflation, quiet.gain_inflation) == (1.0, 1.0)


def test_record_counts_what_was_refused_as_unverified_when_the_session_is_aborted() -> None:
    result = _run(
        behaviour=keeps_fraction(0.9), photons_per_symbol=(50.0, 50.0), samples_per_block=5
    )
    assert not result.accepted
    first, second = _record(result).layers
    assert (first.copies_verified, first.copies_unverified) == (0, 5)
    assert first.tested_x is None
    assert (second.copies_verified, second.copies_unverified) == (0, 0)


def test_record_verifies_nothing_when_an_honest_client_returns_no_light() -> None:
    record = _record(_run(PassiveTap(tap_fraction=1.0)))
    assert not any(layer.verifiable for layer in record.thresholds.layers)
    for counted in record.layers:
        assert (counted.copies_verified, counted.copies_unverified) == (0, _SAMPLES)
        assert counted.tested_x is None


def test_record_names_the_ledgers_heads_when_they_are_on_disk(tmp_path: Path) -> None:
    rows = {0: 12, 2: 3}
    with (
        WeightLedger.create(tmp_path / "w", _model().digest, rows, None) as ledger,
        DataLedger.create(tmp_path / "d", 1e6) as inputs,
    ):
        records = [_record(_run(ledger=ledger, data_ledger=inputs)) for _ in range(2)]
        for record in records:
            assert record.ledger is not None
            assert record.data_ledger is not None
            assert record.data_ledger.budget_bits == 1e6
        last = records[-1]
        assert last.ledger is not None
        assert (last.ledger.entries, last.ledger.hash) == (ledger.head.entries, ledger.head.hash)
        assert last.data_ledger is not None
        assert last.data_ledger.most_bits == inputs.totals().most_bits
    photons = [record.layers[0].ledger_photons for record in records]
    assert photons == pytest.approx([_SAMPLES * _PHOTONS, 2 * _SAMPLES * _PHOTONS])
    assert all(math.isfinite(layer.bits_charged) for layer in last.layers)

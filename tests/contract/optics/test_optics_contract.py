"""What every pair of `ServerOptics` and `ClientOptics` must do, whatever is behind it."""

import math

import pytest
import torch
from torch import Tensor

from drivers.backend import ClientOptics, ReturnSummary, ServerOptics
from drivers.errors import LimitError
from tests.contract.optics.pairs import (
    BLOCK,
    MODES_PER_FRAME,
    Pair,
    means_of,
    quadratures_of,
    transmit,
    unit_data,
)


def test_optics_implement_the_protocols(pair: Pair) -> None:
    assert isinstance(pair.server, ServerOptics)
    assert isinstance(pair.client, ClientOptics)
    # Neither end can do what the other does.
    assert not any(hasattr(pair.server, name) for name in ("load", "measure"))
    assert not any(hasattr(pair.client, name) for name in ("send", "collect_full"))


def test_descriptions_agree_between_the_parties(pair: Pair) -> None:
    server, client = pair.server.describe(), pair.client.describe()
    assert server.backend == client.backend != ""
    assert server.simulated == client.simulated
    assert server.seed == client.seed
    assert server.modes_per_frame == client.modes_per_frame == MODES_PER_FRAME
    assert server.symbol_rate_hz == client.symbol_rate_hz > 0


def test_client_description_is_no_better_than_the_ideal_receiver(pair: Pair) -> None:
    info = pair.client.describe()
    assert 0 < info.signal_gain <= info.receiver.signal_gain
    assert info.outcome_variance_snu > 0
    assert info.snr_factor == pytest.approx(info.signal_gain**2 / info.outcome_variance_snu)
    assert 0 < info.snr_factor <= info.receiver.snr_factor * (1 + 1e-12)


def test_server_digitiser_has_a_step_when_it_has_a_range(pair: Pair) -> None:
    info = pair.server.describe()
    assert math.isinf(info.converter_range_snu) == (info.converter_step_snu == 0)
    assert info.converter_range_snu > info.converter_step_snu


def test_descriptions_do_not_change_when_light_has_passed(pair: Pair) -> None:
    before = pair.server.describe(), pair.client.describe()
    transmit(pair)
    assert (pair.server.describe(), pair.client.describe()) == before


def test_measure_gives_one_finite_float32_per_frame(pair: Pair) -> None:
    outcome = transmit(pair)
    assert outcome.shape == (BLOCK.inputs, BLOCK.rows)
    assert outcome.dtype == torch.float32
    assert bool(outcome.isfinite().all())
    assert float(outcome.std()) > 0


def test_outcome_follows_the_described_gain_when_light_is_bright(pair: Pair) -> None:
    # 600 SNU along the data against noise of about 1 and a phase error of 0.1 rad.
    info = pair.client.describe()
    if not math.isinf(pair.server.describe().converter_range_snu):
        pytest.skip("bright light is beyond the digitiser")
    data = unit_data()[:1].expand(BLOCK.inputs, -1)
    pair.client.load(BLOCK, data)
    pair.server.send(BLOCK, 600 * data[:, None].expand(-1, BLOCK.rows, -1))
    # The largest noise is 1.9 SNU: 12 values within 20 standard deviations.
    torch.testing.assert_close(
        pair.client.measure(BLOCK),
        torch.full((BLOCK.inputs, BLOCK.rows), 600 * info.signal_gain),
        rtol=0,
        atol=40.0,
    )


def test_collect_full_gives_every_mode(pair: Pair) -> None:
    transmit(pair)
    values = pair.server.collect_full(BLOCK, quadratures_of(pair))
    assert values.shape == (BLOCK.inputs, BLOCK.rows, BLOCK.modes)
    assert values.dtype == torch.float32
    assert bool(values.isfinite().all())


def test_collect_summary_gives_sums_per_quadrature_and_row(pair: Pair) -> None:
    transmit(pair)
    summary = pair.server.collect_summary(BLOCK, quadratures_of(pair), 0.9)
    on_p = quadratures_of(pair).sum(0)
    assert torch.equal(summary.frames, torch.stack([BLOCK.inputs - on_p, on_p]).double())
    assert (summary.modes, summary.reference_gain) == (BLOCK.modes, 0.9)
    for name in ReturnSummary.__annotations__:
        value = getattr(summary, name)
        if isinstance(value, Tensor):
            assert (value.shape, value.dtype) == ((2, BLOCK.rows), torch.float64), name
            assert bool(value.isfinite().all()), name
    energy = means_of()[0].double().square().sum(-1)
    torch.testing.assert_close(summary.mean_energy_snu[0], summary.frames[0] * energy)
    assert not summary.mean_energy_snu[1].any()  # real light: nothing was put on P
    assert bool((summary.residual_energy_snu[summary.frames > 0] > 0).all())


def test_means_may_differ_between_inputs(pair: Pair) -> None:
    pair.client.load(BLOCK, unit_data())
    pair.server.send(BLOCK, means_of(inputs=BLOCK.inputs))
    assert pair.client.measure(BLOCK).shape == (BLOCK.inputs, BLOCK.rows)
    assert pair.server.collect_full(BLOCK, quadratures_of(pair)).shape[-1] == BLOCK.modes


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_may_have_either_precision(pair: Pair, dtype: torch.dtype) -> None:
    pair.client.load(BLOCK, unit_data().to(dtype))
    pair.server.send(BLOCK, means_of().double())
    assert pair.client.measure(BLOCK).dtype == torch.float32
    assert pair.server.collect_full(BLOCK, quadratures_of(pair)).dtype == torch.float32


def test_complex_means_are_taken_when_the_light_has_a_p(pair: Pair) -> None:
    means = torch.complex(means_of(), means_of().flip(-1))
    pair.client.load(BLOCK, unit_data())
    assert pair.server.describe().modulates_p is pair.modulates_p
    if not pair.modulates_p:
        with pytest.raises(LimitError, match="real encoding"):
            pair.server.send(BLOCK, means)
        return
    pair.server.send(BLOCK, means)
    assert pair.client.measure(BLOCK).dtype == torch.float32
    summary = pair.server.collect_summary(BLOCK, quadratures_of(pair), 1.0)
    energy = torch.stack([means.real, means.imag])[:, 0].double().square().sum(-1)
    torch.testing.assert_close(summary.mean_energy_snu, summary.frames * energy)


def test_complex_data_are_taken_when_the_receiver_keeps_p(pair: Pair) -> None:
    if not pair.takes_complex:
        pytest.skip("real encoding only")
    data = torch.complex(unit_data(), unit_data().flip(-1)) / math.sqrt(2)
    pair.client.load(BLOCK, data)
    pair.server.send(BLOCK, means_of())
    assert pair.client.measure(BLOCK).dtype == torch.float32
    assert pair.server.collect_full(BLOCK, quadratures_of(pair)).dtype == torch.float32


def test_optics_leave_the_caller_its_tensors(pair: Pair) -> None:
    data, means, on_p = unit_data(), means_of(), quadratures_of(pair)
    pair.client.load(BLOCK, data)
    pair.server.send(BLOCK, means)
    pair.client.measure(BLOCK)
    pair.server.collect_full(BLOCK, on_p)
    assert torch.equal(data, unit_data())
    assert torch.equal(means, means_of())
    assert torch.equal(on_p, quadratures_of(pair))


def test_light_in_flight_does_not_follow_when_the_caller_reuses_its_tensors(pair: Pair) -> None:
    # 1000 SNU per mode, put into the tensors once they are handed over: 350 standard deviations.
    data, means = unit_data(), means_of()
    pair.client.load(BLOCK, data)
    data.fill_(1000.0)
    pair.server.send(BLOCK, means)
    means.fill_(1000.0)
    outcome = pair.client.measure(BLOCK)
    data.fill_(1000.0)
    means.fill_(1000.0)
    record = pair.server.collect_full(BLOCK, quadratures_of(pair))
    assert float(outcome.abs().max()) < 50
    assert float(record.abs().max()) < 50

"""The symbol link: repeatability on any batch size, digitiser, drifts, device and memory.

Statistical limits are 8 standard errors or more, fewer than 20 of them: below 1e-13 in all.
"""

import gc
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from drivers.backend import Block, ReturnSummary
from drivers.errors import LimitError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from drivers.return_summary import summarise
from sim_backend import symbol_link
from sim_backend.returned_modes import Quantiser
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink

DRIFTING = DetectorSettings(
    efficiency=0.9,
    electronic_noise_snu=0.1,
    phase_error_rad=0.4,
    phase_memory_frames=30,
    oscillator_drift=0.1,
    oscillator_memory_inputs=20,
)
INPUTS, ROWS, MODES = 100, 6, 9


def block_of(first: int, inputs: int, **changes: int) -> Block:
    block = Block(
        run=0,
        layer=0,
        tile=0,
        first_input=first,
        inputs=inputs,
        first_row=0,
        rows=ROWS,
        modes=MODES,
    )
    return replace(block, **changes)


def light(*, complex_values: bool) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(41)
    means = torch.randn(1, ROWS, MODES, generator=generator)
    data = torch.randn(INPUTS, MODES, generator=generator)
    if complex_values:
        means = torch.complex(means, torch.randn(means.shape, generator=generator))
        data = torch.complex(data, torch.randn(data.shape, generator=generator))
    norms: Tensor = torch.linalg.vector_norm(data, dim=-1, keepdim=True)
    return means, data / norms, torch.rand(INPUTS, ROWS, generator=generator) < 0.5


def run_in_parts(
    settings: LinkSettings, per_block: int, *, complex_values: bool, run: int = 0
) -> tuple[Tensor, Tensor]:
    """Outcomes and full returns of 100 inputs, sent in blocks of `per_block`."""
    means, data, on_p = light(complex_values=complex_values)
    link = SymbolLink(settings)
    outcomes, returns = [], []
    for first in range(0, INPUTS, per_block):
        some = slice(first, min(first + per_block, INPUTS))
        block = block_of(first, some.stop - first, run=run)
        link.client.load(block, data[some])
        link.server.send(block, means)
        outcomes.append(link.client.measure(block))
        returns.append(link.server.collect_full(block, on_p[some]))
    return torch.cat(outcomes), torch.cat(returns)


def worn(receiver: Receiver, seed: int | None = 8) -> LinkSettings:
    return LinkSettings(
        receiver=receiver,
        forward_transmittance=0.8,
        return_transmittance=0.7,
        excess_noise_snu=0.5,
        unitary_error_rad=0.7,
        client=DRIFTING,
        server=DRIFTING,
        seed=seed,
        device="cpu",
    )


LIGHTS: list[tuple[Receiver, bool]] = [
    (Amplifier(gain=2.0), False),
    (Amplifier(gain=2.0), True),
    (FeedForwardTap(tap_fraction=0.5), False),
    (PassiveTap(tap_fraction=0.3), False),
    (PassiveTap(tap_fraction=0.3), True),
]


@pytest.mark.parametrize("drifts", [False, True], ids=["ideal", "worn"])
@pytest.mark.parametrize(("receiver", "complex_values"), LIGHTS)
def test_link_repeats_when_the_block_size_changes(
    receiver: Receiver, complex_values: bool, drifts: bool
) -> None:
    settings = worn(receiver) if drifts else LinkSettings(receiver=receiver, seed=8, device="cpu")
    outcome, record = run_in_parts(settings, 100, complex_values=complex_values)
    for per_block in (1, 7, 33):
        again = run_in_parts(settings, per_block, complex_values=complex_values)
        # The random numbers are the same; matrix products of other sizes round differently.
        torch.testing.assert_close(again[0], outcome, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(again[1], record, rtol=1e-5, atol=1e-5)


def test_link_repeats_bit_by_bit_when_nothing_changes() -> None:
    settings = worn(Amplifier(gain=2.0))
    one, two = (run_in_parts(settings, 7, complex_values=True) for _ in range(2))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])


@pytest.mark.parametrize(
    ("seed", "run"), [(9, 0), (None, 0), (8, 1)], ids=["other seed", "no seed", "other run"]
)
def test_link_draws_anew_when_seed_or_run_changes(seed: int | None, run: int) -> None:
    outcome, record = run_in_parts(worn(LIGHTS[0][0]), 100, complex_values=False)
    other = run_in_parts(worn(LIGHTS[0][0], seed), 100, complex_values=False, run=run)
    # Two float32 normals coincide once in ten million times.
    assert float((other[0] == outcome).float().mean()) < 0.01
    assert float((other[1] == record).float().mean()) < 0.01


def pass_block(link: SymbolLink, block: Block, means: Tensor, data: Tensor) -> Tensor:
    link.client.load(block, data)
    link.server.send(block, means)
    return link.client.measure(block)


def test_quantiser_rounds_to_codes_and_stops_at_its_rails() -> None:
    quantiser = Quantiser(2.0, 0.25)
    values = torch.tensor([0.1, 0.13, -0.4, 1.8, 1.9, 50.0, -1.9, -2.0, -50.0])
    recorded = torch.tensor([0.0, 0.25, -0.5, 1.75, 1.75, 1.75, -2.0, -2.0, -2.0])
    assert torch.equal(quantiser(values), recorded)
    assert quantiser(torch.linspace(-3, 3, 1000)).unique(sorted=True).numel() == 16  # type: ignore[no-untyped-call]


def test_quantiser_lets_everything_through_when_it_has_no_step() -> None:
    values = torch.tensor([0.123456, 1e9, -1e9])
    assert torch.equal(Quantiser(2.0, 0.0)(values), values)


def test_quantiser_error_is_a_twelfth_of_the_squared_step() -> None:
    values = torch.linspace(-1.5, 1.5, 300_001)  # even over twelve codes
    error = (Quantiser(2.0, 0.25)(values) - values).double()
    assert float(error.square().mean()) == pytest.approx(0.25**2 / 12, rel=1e-3)


COARSE = DetectorSettings(converter_bits=5, converter_range_snu=2.0)


def test_link_records_codes_at_either_end_when_it_has_digitisers() -> None:
    means, data, on_p = light(complex_values=False)
    link = SymbolLink(LinkSettings(client=COARSE, server=COARSE, seed=8, device="cpu"))
    block = block_of(0, INPUTS)
    outcome = pass_block(link, block, means, data)
    record = link.server.collect_full(block, on_p)
    for values in (outcome, record):
        codes = values / COARSE.converter_step_snu
        assert torch.equal(codes, codes.round())
        assert float(values.min()) == -2.0
        assert float(values.max()) == 2.0 - COARSE.converter_step_snu


def test_summary_counts_the_rails_per_quadrature_and_row() -> None:
    means, data, on_p = light(complex_values=False)
    settings = LinkSettings(server=COARSE, seed=8, device="cpu")
    link = SymbolLink(settings)
    block = block_of(0, INPUTS)
    pass_block(link, block, means, data)
    record = link.server.collect_full(block, on_p)
    twin = SymbolLink(settings)
    pass_block(twin, block, means, data)
    summary = twin.server.collect_summary(block, on_p, 1.0)
    hits = ((record == 1.875) | (record == -2.0)).sum(-1)
    wanted = torch.stack([(hits * ~on_p).sum(0), (hits * on_p).sum(0)]).double()
    assert bool((wanted > 0).all())
    assert torch.equal(summary.rails, wanted)


def test_summary_has_no_rails_when_the_digitiser_is_off_or_wide() -> None:
    means, data, on_p = light(complex_values=False)
    wide = DetectorSettings(converter_bits=16, converter_range_snu=100.0)
    for server in (DetectorSettings(), wide):
        link = SymbolLink(LinkSettings(server=server, seed=8, device="cpu"))
        pass_block(link, block_of(0, INPUTS), means, data)
        assert not link.server.collect_summary(block_of(0, INPUTS), on_p, 1.0).rails.any()


def test_summarise_gives_the_sums_of_its_definition() -> None:
    values = torch.tensor([[[1.0, 2.0], [3.0, -2.0]], [[0.5, 1.5], [1.0, 1.0]]])
    on_p = torch.tensor([[False, True], [True, True]])
    means = torch.tensor([[[1.0 + 2.0j, 0.0 + 1.0j], [2.0 - 1.0j, 1.0 + 3.0j]]])
    summary = summarise(values, on_p, means, 0.5, 2.0, 0.5)

    def table(row_x: list[float], row_p: list[float]) -> Tensor:
        return torch.tensor([row_x, row_p], dtype=torch.float64)

    assert isinstance(summary, ReturnSummary)
    assert torch.equal(summary.frames, table([1, 0], [1, 2]))
    assert torch.equal(summary.mean_energy_snu, table([1, 0], [5, 20]))
    assert torch.equal(summary.projection_snu, table([1, 0], [2.5, -9 + 2]))
    # X: (1 - .5)^2 + 2^2; P: (.5 - 1)^2 + (1.5 - .5)^2 | 3.5^2 + 3.5^2 + 1.5^2 + .5^2
    assert torch.equal(summary.residual_energy_snu, table([4.25, 0], [1.25, 27]))
    # Codes run from -2 to 1.5: 1.5 and more is the upper rail, -2 the lower, 1 is no rail.
    assert torch.equal(summary.rails, table([1, 0], [1, 2]))


@pytest.mark.parametrize("memory", [0.0, 40.0])
def test_phase_error_is_remembered_from_frame_to_frame(memory: float) -> None:
    # Bright light: the outcome is a cos(phase) times 1e5, noise 1e-5 of it.
    drift = DetectorSettings(phase_error_rad=0.2, phase_memory_frames=memory)
    settings = LinkSettings(receiver=PassiveTap(tap_fraction=1.0), client=drift, seed=8)
    settings = replace(settings, device="cpu")
    link = SymbolLink(settings)
    inputs = 4000
    block = block_of(0, inputs, rows=5, modes=1)
    means = torch.full((1, 5, 1), 1e5)
    cosines = pass_block(link, block, means, torch.ones(inputs, 1)).double() / 1e5
    square = (2 - 2 * cosines).clamp_min(0).flatten()  # about phase^2, frames in order of sending
    assert float(square.mean()) == pytest.approx(0.2**2, rel=0.5 if memory else 0.1)
    deviation = square - square.mean()
    correlation = float((deviation[1:] * deviation[:-1]).mean() / deviation.square().mean())
    # Of phase^2: rho^2 = exp(-2/40) = 0.951; without memory 0 +- 0.007.
    assert abs(correlation - (math.exp(-2 / memory) if memory else 0)) < 0.06


def test_oscillator_is_shared_by_the_rows_of_an_input() -> None:
    drift = DetectorSettings(oscillator_drift=0.1, oscillator_memory_inputs=0)
    settings = LinkSettings(receiver=PassiveTap(tap_fraction=1.0), client=drift, seed=8)
    link = SymbolLink(replace(settings, device="cpu"))
    block = block_of(0, 200, modes=1)
    outcome = pass_block(link, block, torch.full((1, ROWS, 1), 1e5), torch.ones(200, 1)) / 1e5
    # Noise is 1e-5 of the mean, the drift 0.1.
    assert float((outcome - outcome[:, :1]).abs().max()) < 1e-3
    assert 0.05 < float(outcome[:, 0].std()) < 0.2


@pytest.mark.parametrize("collects", [True, False])
def test_memory_does_not_grow_when_runs_follow_each_other(collects: bool) -> None:
    means, data, on_p = light(complex_values=False)
    link = SymbolLink(worn(Amplifier(gain=2.0)))

    def tensors_after(runs: range) -> int:
        for run in runs:
            block = block_of(0, INPUTS, run=run)
            pass_block(link, block, means, data)
            if collects:
                link.server.collect_full(block, on_p)
        gc.collect()
        return sum(1 for thing in gc.get_objects() if type(thing) is Tensor)

    before = tensors_after(range(3))
    assert tensors_after(range(3, 40)) <= before + 5


def test_memory_does_not_grow_when_runs_stop_half_way() -> None:
    means, data, _ = light(complex_values=False)
    link = SymbolLink(LinkSettings(seed=8, device="cpu"))
    for run in range(20):
        block = block_of(0, INPUTS, run=run)
        link.client.load(block, data)
        if run % 2:
            link.server.send(block, means)
    held = [len(store) for store in (link._loaded, link._sent, link._flying)]
    assert max(held) <= 1


def test_full_return_is_refused_and_light_kept_when_it_is_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(symbol_link, "MAX_RETURN_VALUES", INPUTS * ROWS * MODES - 1)
    means, data, on_p = light(complex_values=False)
    link = SymbolLink(LinkSettings(seed=8, device="cpu"))
    block = block_of(0, INPUTS)
    pass_block(link, block, means, data)
    with pytest.raises(LimitError, match="use smaller blocks or summaries"):
        link.server.collect_full(block, on_p)
    assert link.server.collect_summary(block, on_p, 1.0).modes == MODES


def test_link_refuses_cuda_when_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LimitError, match="torch finds none; use cpu or auto"):
        SymbolLink(LinkSettings(device="cuda"))
    means, data, _ = light(complex_values=False)
    link = SymbolLink(LinkSettings(device="auto"))
    assert pass_block(link, block_of(0, INPUTS), means, data).device.type == "cpu"


@pytest.mark.parametrize("receiver", [r for r, c in LIGHTS if not c])
def test_client_description_matches_what_it_measures(receiver: Receiver) -> None:
    detector = DetectorSettings(
        efficiency=0.8, visibility=0.9, electronic_noise_snu=0.2, converter_bits=6
    )
    settings = LinkSettings(
        receiver=receiver,
        forward_transmittance=0.7,
        excess_noise_snu=0.6,
        client=detector,
        seed=8,
        device="cpu",
    )
    link = SymbolLink(settings)
    info = link.client.describe()
    inputs = 100_000
    block = block_of(0, inputs, rows=1, modes=2)
    data = torch.tensor([[0.6, 0.8]]).expand(inputs, -1)
    outcome = pass_block(link, block, torch.tensor([[[2.0, 1.0]]]), data).double()
    error = 7.8 / math.sqrt(inputs)
    std = math.sqrt(info.outcome_variance_snu)
    assert abs(float(outcome.mean()) - 2.0 * info.signal_gain) < error * std
    assert abs(float(outcome.var()) / std**2 - 1) < error * math.sqrt(2)

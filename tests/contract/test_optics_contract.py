"""What every pair of `ServerOptics` and `ClientOptics` must do, whatever is behind it.

An implementation joins by an entry in `PAIRS`: a function that makes a fresh pair of optics.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block, ClientOptics, ReturnSummary, ServerOptics
from drivers.errors import LimitError, OpticsError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap
from sim_backend.adversaries import keeps_fraction
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.amplifier_bench import contract_link
from tests.homodyne_bench import open_homodyne_bench
from tests.waveform_bench import open_bench

MODES_PER_FRAME = 16


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Both ends of one link. Frames may have up to 16 modes."""

    server: ServerOptics
    client: ClientOptics
    modulates_p: bool = True
    by_input: bool = False

    @property
    def takes_complex(self) -> bool:
        return self.modulates_p and self.client.describe().receiver.preserves_p


def symbol(settings: LinkSettings) -> Pair:
    link = SymbolLink(replace(settings, modes_per_frame=MODES_PER_FRAME, seed=7, device="cpu"))
    return Pair(server=link.server, client=link.client)


def symbol_with_thief() -> Pair:
    link = SymbolLink(
        LinkSettings(modes_per_frame=MODES_PER_FRAME, seed=7, device="cpu"), keeps_fraction(0.5)
    )
    return Pair(server=link.server, client=link.client)


def waveform() -> Pair:
    link = open_bench(modes_per_frame=MODES_PER_FRAME, calibration_samples=1 << 16).link
    return Pair(server=link.server, client=link.client, modulates_p=False)


def amplifier() -> Pair:
    link = contract_link(MODES_PER_FRAME)
    return Pair(server=link.server, client=link.client, modulates_p=False)


class AlternatingCoins:
    """Choose P and X in turns."""

    seed: int | None = 7

    def toss(self, count: int, p_share: float = 0.5) -> NDArray[np.bool_]:
        return np.resize(np.array([True, False]), count)


def homodyne() -> Pair:
    link = open_homodyne_bench(
        modes_per_frame=MODES_PER_FRAME, calibration_samples=1 << 16, coins=AlternatingCoins()
    ).link
    return Pair(server=link.server, client=link.client, modulates_p=False, by_input=True)


DETECTOR = DetectorSettings(
    efficiency=0.8,
    electronic_noise_snu=0.1,
    phase_error_rad=0.1,
    oscillator_drift=0.01,
    converter_bits=12,
)
PAIRS: dict[str, Callable[[], Pair]] = {
    "symbol, amplifier": lambda: symbol(LinkSettings(receiver=Amplifier(gain=2.0))),
    "symbol, feed-forward tap": lambda: symbol(
        LinkSettings(receiver=FeedForwardTap(tap_fraction=0.5))
    ),
    "symbol, passive tap": lambda: symbol(LinkSettings(receiver=PassiveTap(tap_fraction=0.5))),
    "symbol, worn": lambda: symbol(
        LinkSettings(
            forward_transmittance=0.8,
            return_transmittance=0.7,
            excess_noise_snu=0.05,
            unitary_error_rad=0.02,
            client=DETECTOR,
            server=DETECTOR,
        )
    ),
    "symbol, dishonest client": symbol_with_thief,
    "waveform, passive tap": waveform,
    "waveform, amplifier": amplifier,
    "waveform, homodyne": homodyne,
}


@pytest.fixture(params=list(PAIRS))
def pair(request: pytest.FixtureRequest) -> Pair:
    return PAIRS[request.param]()


BLOCK = Block(run=0, layer=0, tile=0, first_input=0, inputs=3, first_row=0, rows=4, modes=8)
NEXT = replace(BLOCK, first_input=3)


def unit_data(block: Block = BLOCK) -> Tensor:
    data = torch.randn(block.inputs, block.modes, generator=torch.Generator().manual_seed(31))
    norms: Tensor = torch.linalg.vector_norm(data, dim=-1, keepdim=True)
    return data / norms


def means_of(block: Block = BLOCK, inputs: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(32)
    return torch.randn(inputs, block.rows, block.modes, generator=generator)


def quadratures_of(pair: Pair, block: Block = BLOCK) -> Tensor:
    """Frames in turns; or inputs, with optics that choose before the light returns."""
    if pair.by_input:
        return (torch.arange(block.inputs) % 2 == 0)[:, None].repeat(1, block.rows)
    return torch.arange(block.frames).reshape(block.inputs, block.rows) % 2 == 0


def transmit(pair: Pair, block: Block = BLOCK) -> Tensor:
    pair.client.load(block, unit_data(block))
    pair.server.send(block, means_of(block))
    return pair.client.measure(block)


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


def test_send_refuses_when_no_data_are_loaded(pair: Pair) -> None:
    with pytest.raises(OpticsError, match="before the client has loaded"):
        pair.server.send(BLOCK, means_of())


def test_measure_refuses_when_nothing_was_sent(pair: Pair) -> None:
    with pytest.raises(OpticsError, match="nothing was sent"):
        pair.client.measure(BLOCK)
    pair.client.load(BLOCK, unit_data())
    with pytest.raises(OpticsError, match="nothing was sent"):
        pair.client.measure(BLOCK)


def test_measure_refuses_when_the_block_was_measured(pair: Pair) -> None:
    transmit(pair)
    with pytest.raises(OpticsError, match="nothing was sent"):
        pair.client.measure(BLOCK)


def test_load_refuses_when_light_is_in_the_receiver(pair: Pair) -> None:
    pair.client.load(BLOCK, unit_data())
    pair.server.send(BLOCK, means_of())
    with pytest.raises(OpticsError, match="measure it before loading"):
        pair.client.load(BLOCK, unit_data().roll(1, dims=-1))
    assert pair.client.measure(BLOCK).shape == (BLOCK.inputs, BLOCK.rows)


def collect_full(pair: Pair, on_p: Tensor) -> object:
    return pair.server.collect_full(BLOCK, on_p)


def collect_summary(pair: Pair, on_p: Tensor) -> object:
    return pair.server.collect_summary(BLOCK, on_p, 1.0)


COLLECT = [collect_full, collect_summary]


@pytest.mark.parametrize("collect", COLLECT)
def test_collect_refuses_when_the_client_has_not_measured(
    pair: Pair, collect: Callable[[Pair, Tensor], object]
) -> None:
    with pytest.raises(OpticsError, match="no returned light"):
        collect(pair, quadratures_of(pair))
    pair.client.load(BLOCK, unit_data())
    pair.server.send(BLOCK, means_of())
    with pytest.raises(OpticsError, match="no returned light"):
        collect(pair, quadratures_of(pair))


@pytest.mark.parametrize("second", COLLECT)
@pytest.mark.parametrize("first", COLLECT)
def test_collect_refuses_when_the_light_was_already_measured(
    pair: Pair,
    first: Callable[[Pair, Tensor], object],
    second: Callable[[Pair, Tensor], object],
) -> None:
    transmit(pair)
    first(pair, quadratures_of(pair))
    with pytest.raises(OpticsError, match="no returned light"):
        second(pair, quadratures_of(pair))


@pytest.mark.parametrize("collect", COLLECT)
@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(3, 4),
        torch.zeros(3, 4, dtype=torch.int64),
        torch.zeros(4, 3, dtype=torch.bool),
        torch.zeros(3, dtype=torch.bool),
        torch.zeros(3, 4, 1, dtype=torch.bool),
        torch.zeros(1, 4, dtype=torch.bool),
    ],
    ids=lambda t: f"{t.dtype} {tuple(t.shape)}",
)
def test_collect_refuses_quadratures_and_keeps_the_light_when_they_are_no_mask(
    pair: Pair, collect: Callable[[Pair, Tensor], object], wrong: Tensor
) -> None:
    transmit(pair)
    with pytest.raises(OpticsError, match=r"expected torch\.bool \(3, 4\)"):
        collect(pair, wrong)
    collect(pair, quadratures_of(pair))


@pytest.mark.parametrize("gain", [math.nan, math.inf])
def test_collect_summary_refuses_and_keeps_the_light_when_gain_is_not_finite(
    pair: Pair, gain: float
) -> None:
    transmit(pair)
    with pytest.raises(OpticsError, match=f"reference_gain is {gain}"):
        pair.server.collect_summary(BLOCK, quadratures_of(pair), gain)
    pair.server.collect_summary(BLOCK, quadratures_of(pair), 1.0)


def test_send_refuses_when_the_block_was_already_sent(pair: Pair) -> None:
    transmit(pair)
    pair.client.load(BLOCK, unit_data())
    with pytest.raises(OpticsError, match="send each frame once and in order"):
        pair.server.send(BLOCK, means_of())


def test_send_refuses_when_the_block_waits_to_be_measured(pair: Pair) -> None:
    pair.client.load(BLOCK, unit_data())
    pair.server.send(BLOCK, means_of())
    with pytest.raises(OpticsError, match="next input of run 0 is 3"):
        pair.server.send(BLOCK, means_of())


@pytest.mark.parametrize("first_input", [1, 2, 4, 6])
def test_send_refuses_when_inputs_are_out_of_order(pair: Pair, first_input: int) -> None:
    transmit(pair)
    wrong = replace(BLOCK, first_input=first_input)
    pair.client.load(wrong, unit_data())
    with pytest.raises(OpticsError, match="the next input of run 0 is 3"):
        pair.server.send(wrong, means_of())
    transmit(pair, NEXT)  # the refusal has cost nothing


def test_layers_and_tiles_count_their_inputs_apart(pair: Pair) -> None:
    for block in (BLOCK, replace(BLOCK, layer=1), replace(BLOCK, tile=1)):
        transmit(pair, block)
        transmit(pair, replace(block, first_input=3))


def test_run_may_be_repeated_when_it_has_a_new_number(pair: Pair) -> None:
    first = transmit(pair)
    second = transmit(pair, replace(BLOCK, run=1))
    assert not torch.equal(first, second)  # a new transmission has new noise


def test_load_and_send_refuse_when_run_numbers_go_back(pair: Pair) -> None:
    transmit(pair, replace(BLOCK, run=2))
    for run in (0, 1):
        with pytest.raises(OpticsError, match=f"run {run} is over, the link is at run 2"):
            pair.client.load(replace(BLOCK, run=run), unit_data())
        with pytest.raises(OpticsError):
            pair.server.send(replace(BLOCK, run=run), means_of())


def test_light_of_a_finished_run_is_gone(pair: Pair) -> None:
    transmit(pair)
    transmit(pair, replace(BLOCK, run=1))
    with pytest.raises(OpticsError, match="no returned light"):
        pair.server.collect_full(BLOCK, quadratures_of(pair))


@pytest.mark.parametrize("shape", [(8,), (2, 8), (3, 7), (1, 8), (3, 4, 8), (0, 8)])
def test_load_refuses_when_the_shape_is_wrong(pair: Pair, shape: tuple[int, ...]) -> None:
    with pytest.raises(OpticsError, match=r"data has shape .*, expected \(3, 8\)"):
        pair.client.load(BLOCK, torch.ones(shape))


@pytest.mark.parametrize(
    "shape", [(4, 8), (2, 4, 8), (3, 8, 4), (3, 4, 7), (1, 1, 8), (0, 4, 8), (3, 4, 8, 1)]
)
def test_send_refuses_when_the_shape_is_wrong(pair: Pair, shape: tuple[int, ...]) -> None:
    pair.client.load(BLOCK, unit_data())
    with pytest.raises(OpticsError, match=r"means_snu has shape .*\(1, 4, 8\) or \(3, 4, 8\)"):
        pair.server.send(BLOCK, torch.ones(shape))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_load_and_send_refuse_when_a_value_is_not_finite(pair: Pair, bad: float) -> None:
    data, means = unit_data(), means_of()
    data[1, 2] = bad
    with pytest.raises(OpticsError, match="data holds NaN or infinite"):
        pair.client.load(BLOCK, data)
    pair.client.load(BLOCK, unit_data())
    means[0, 3, 7] = bad
    with pytest.raises(OpticsError, match="means_snu holds NaN or infinite"):
        pair.server.send(BLOCK, means)
    means[0, 3, 6] = -bad  # infinities of either sign must not cancel
    with pytest.raises(OpticsError, match="means_snu holds NaN or infinite"):
        pair.server.send(BLOCK, means)


@pytest.mark.parametrize("imaginary", [math.nan, math.inf])
def test_send_refuses_when_an_imaginary_part_is_not_finite(pair: Pair, imaginary: float) -> None:
    bad = means_of()
    bad[0, 0, 0] = imaginary
    means = torch.complex(means_of(), bad)
    pair.client.load(BLOCK, unit_data())
    with pytest.raises(OpticsError, match="means_snu holds NaN or infinite"):
        pair.server.send(BLOCK, means)


@pytest.mark.parametrize("factor", [0.0, 0.9, 1.01, 100.0])
def test_load_refuses_when_a_vector_is_not_of_unit_norm(pair: Pair, factor: float) -> None:
    data = unit_data()
    data[2] *= factor
    with pytest.raises(OpticsError, match="normalise first"):
        pair.client.load(BLOCK, data)


def test_load_and_send_refuse_when_a_frame_has_too_many_modes(pair: Pair) -> None:
    wide = replace(BLOCK, modes=MODES_PER_FRAME + 1)
    with pytest.raises(LimitError, match="at most 16; split the rows into tiles"):
        pair.client.load(wide, unit_data(wide))
    with pytest.raises(LimitError, match="at most 16; split the rows into tiles"):
        pair.server.send(wide, means_of(wide))
    transmit(pair, replace(BLOCK, modes=MODES_PER_FRAME))


def test_refused_block_can_be_sent_when_corrected(pair: Pair) -> None:
    pair.client.load(BLOCK, unit_data())
    with pytest.raises(OpticsError):
        pair.server.send(BLOCK, torch.full((1, 4, 8), math.nan))
    pair.server.send(BLOCK, means_of())
    assert pair.client.measure(BLOCK).shape == (3, 4)


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


@pytest.mark.parametrize("name", ["run", "layer", "tile", "first_input", "first_row"])
def test_block_refuses_when_an_index_is_negative(name: str) -> None:
    with pytest.raises(OpticsError, match=f"block {name} is -1"):
        replace(BLOCK, **{name: -1})


@pytest.mark.parametrize("name", ["inputs", "rows", "modes"])
def test_block_refuses_when_it_is_empty(name: str) -> None:
    with pytest.raises(OpticsError, match=f"block {name} is 0"):
        replace(BLOCK, **{name: 0})

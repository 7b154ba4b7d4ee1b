"""Energy that was launched in the quadrature that was not measured, on every way to a summary."""

import pytest
import torch

from drivers.backend import Block, ReturnSummary
from drivers.receivers import Amplifier, PassiveTap, Receiver
from drivers.return_summary import add_summaries, summarise
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink

INPUTS, ROWS, MODES = 5, 3, 16
BLOCK = Block(
    run=0,
    layer=0,
    tile=0,
    first_input=0,
    inputs=INPUTS,
    first_row=0,
    rows=ROWS,
    modes=MODES,
)
ON_P = torch.tensor([[True, False, True]] * 2 + [[True, False, False]] * 3)


def drawn(seed: int, *, imaginary: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    kind = torch.complex64 if imaginary else torch.float32
    return torch.randn(1, ROWS, MODES, dtype=kind, generator=generator)


def by_hand(means: torch.Tensor) -> list[list[float]]:
    """Frame by frame."""
    unseen = [[0.0] * ROWS, [0.0] * ROWS]
    for of_input in ON_P.tolist():
        for row, on_p in enumerate(of_input):
            for mean in means[0, row].tolist():
                other = complex(mean).real if on_p else complex(mean).imag
                unseen[int(on_p)][row] += other**2
    return unseen


def check(found: ReturnSummary, means: torch.Tensor) -> None:
    assert found.unseen_energy_snu is not None
    assert found.unseen_energy_snu.dtype == torch.float64
    for told, wanted in zip(found.unseen_energy_snu.tolist(), by_hand(means), strict=True):
        assert told == pytest.approx(wanted, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("imaginary", [False, True])
def test_summary_tells_the_energy_of_the_other_quadrature(imaginary: bool) -> None:
    means = drawn(1, imaginary=imaginary)
    check(summarise(torch.zeros(INPUTS, ROWS, MODES), ON_P, means, 1.0), means)


def test_sum_of_summaries_tells_it_when_all_parts_do() -> None:
    means, values = drawn(2), torch.zeros(INPUTS, ROWS, MODES)
    parts = [summarise(values[rows], ON_P[rows], means, 1.0) for rows in ([0, 1], [2, 3, 4])]
    check(add_summaries(parts), means)
    silent = ReturnSummary(**{**vars(parts[0]), "unseen_energy_snu": None})
    assert add_summaries([silent, parts[1]]).unseen_energy_snu is None


@pytest.mark.parametrize(
    ("receiver", "imaginary"),
    [(PassiveTap(tap_fraction=0.4), False), (Amplifier(gain=2.0), True)],
    ids=["real", "complex"],
)
def test_symbol_tier_tells_it_when_a_phase_error_turns_the_light(
    receiver: Receiver, imaginary: bool
) -> None:
    link = SymbolLink(
        LinkSettings(
            receiver=receiver,
            server=DetectorSettings(phase_error_rad=0.05),
            seed=1,
            device="cpu",
        )
    )
    means = drawn(3, imaginary=imaginary)
    data = torch.ones(INPUTS, MODES) / MODES**0.5
    link.client.load(BLOCK, data)
    link.server.send(BLOCK, means)
    link.client.measure(BLOCK)
    check(link.server.collect_summary(BLOCK, ON_P, 0.7), means)

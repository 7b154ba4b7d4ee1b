"""`collect_summary` has the distribution of `summarise(collect_full(...))`, whichever way it draws.

The rows of a block share one weight row here, so every row is a sample. Both links have one seed,
hence the same outcomes and drifts; what they draw for the return is different, except where the
summary comes from the modes themselves, which must then agree number by number.

Chance of failure: fewer than 3000 z-tests at the limit of `moment_tests` (1e-10 in all) and fewer
than 200 Kolmogorov-Smirnov tests at 1e-13 (2e-11 in all). Numbers that both links share make the
tests more lenient than that, never stricter.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from torch import Tensor

from drivers.backend import Block, ReturnSummary
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap
from drivers.return_summary import add_summaries, summarise
from sim_backend import symbol_link
from sim_backend.adversaries import HONEST, ReturnBehaviour, keeps_fraction, measures_only_x
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.physics.moment_tests import assert_same_moments

Real = NDArray[np.float64]

ROWS = 12_000
REFERENCE_GAIN = 0.8
KS_LIMIT = 1e-13

AMPLIFIER, TAP, PASSIVE = (
    Amplifier(gain=3.0),
    FeedForwardTap(tap_fraction=0.7),
    PassiveTap(tap_fraction=0.4),
)
LOSSY = DetectorSettings(efficiency=0.8, electronic_noise_snu=0.2)
DRIFTING = DetectorSettings(
    efficiency=0.9,
    electronic_noise_snu=0.1,
    phase_error_rad=0.4,
    phase_memory_frames=3,
    oscillator_drift=0.1,
    oscillator_memory_inputs=2,
)
COARSE = DetectorSettings(converter_bits=4, converter_range_snu=4.0)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Settings and inputs of one comparison; `quadrature`: "X", "P" or "both"."""

    name: str
    draws: str
    settings: LinkSettings
    behaviour: ReturnBehaviour = HONEST
    inputs: int = 6
    modes: int = 7
    quadrature: str = "both"
    data: str = "different"
    means: str = "shared"

    def __str__(self) -> str:
        return self.name

    def make_data(self) -> Tensor:
        generator = torch.Generator().manual_seed(21)
        count = 1 if self.data in ("alike", "along the mean") else self.inputs
        data = torch.randn(count, self.modes, generator=generator)
        if self.data == "complex":
            data = torch.complex(data, torch.randn(count, self.modes, generator=generator))
        if self.data == "constant":
            data[::2] = 1.0
        norms: Tensor = torch.linalg.vector_norm(data, dim=-1, keepdim=True)
        return (data / norms).expand(self.inputs, -1)

    def make_means(self, rows: int) -> Tensor:
        generator = torch.Generator().manual_seed(22)
        count = self.inputs if "per input" in self.means else 1
        means = 1.5 * torch.randn(count, 1, self.modes, generator=generator)
        if self.data == "complex" or "displaced" in self.means:
            means = torch.complex(means, torch.randn(means.shape, generator=generator))
        if self.data == "along the mean":
            means = 3 * self.make_data()[:1, None]
        if self.means == "zero":
            means = torch.zeros_like(means)
        return means.expand(-1, rows, -1)

    def make_quadratures(self, rows: int) -> Tensor:
        generator = torch.Generator().manual_seed(23)
        on_p = torch.rand(self.inputs, rows, generator=generator) < 0.4
        return {"X": on_p & False, "P": on_p | True, "both": on_p}[self.quadrature]


def settings(**changes: object) -> LinkSettings:
    return replace(LinkSettings(seed=6, device="cpu"), **changes)  # type: ignore[arg-type]


def worn(receiver: Amplifier | FeedForwardTap | PassiveTap) -> LinkSettings:
    return settings(
        receiver=receiver,
        forward_transmittance=0.8,
        return_transmittance=0.7,
        excess_noise_snu=0.5,
        unitary_error_rad=0.7,
        client=DRIFTING,
        server=DRIFTING,
    )


def lossy(receiver: Amplifier | FeedForwardTap | PassiveTap) -> LinkSettings:
    return settings(
        receiver=receiver,
        forward_transmittance=0.8,
        return_transmittance=0.7,
        client=LOSSY,
        server=LOSSY,
    )


IDEAL = settings(receiver=AMPLIFIER)
RECEIVERS = (AMPLIFIER, TAP, PASSIVE)
POOLED = [
    *(
        Case(name=f"ideal {r.kind}", draws="pooled", settings=settings(receiver=r))
        for r in RECEIVERS
    ),
    *(Case(name=f"lossy {r.kind}", draws="pooled", settings=lossy(r)) for r in RECEIVERS),
    Case(name="keeps", draws="pooled", settings=lossy(AMPLIFIER), behaviour=keeps_fraction(0.3)),
    Case(name="meter", draws="pooled", settings=IDEAL, behaviour=measures_only_x(0.7)),
    Case(name="one input", draws="pooled", settings=IDEAL, inputs=1),
    Case(name="two inputs", draws="pooled", settings=IDEAL, inputs=2),
    Case(name="all X", draws="pooled", settings=IDEAL, quadrature="X"),
    Case(name="all P", draws="pooled", settings=IDEAL, quadrature="P"),
    Case(name="zero row", draws="pooled", settings=IDEAL, means="zero"),
    Case(name="four modes", draws="pooled", settings=IDEAL, modes=4),
    Case(name="data alike", draws="pooled", settings=IDEAL, data="alike"),
    Case(name="data along the mean", draws="pooled", settings=IDEAL, data="along the mean"),
    Case(name="means per input", draws="pooled", settings=IDEAL, means="per input"),
]
PER_FRAME = [
    *(Case(name=f"worn {r.kind}", draws="per frame", settings=worn(r)) for r in RECEIVERS),
    Case(name="drift", draws="per frame", settings=settings(receiver=AMPLIFIER, server=DRIFTING)),
    Case(name="client drift", draws="per frame", settings=settings(receiver=TAP, client=DRIFTING)),
    *(
        Case(
            name=f"launch noise {r.kind}",
            draws="per frame",
            settings=settings(receiver=r, excess_noise_snu=0.8),
        )
        for r in RECEIVERS
    ),
    *(
        Case(
            name=f"unitary error, data {data}",
            draws="per frame",
            settings=settings(receiver=AMPLIFIER, unitary_error_rad=0.7),
            data=data,
        )
        for data in ("different", "alike", "constant", "along the mean")
    ),
    Case(
        name="worn meter",
        draws="per frame",
        settings=worn(AMPLIFIER),
        behaviour=measures_only_x(0.8),
    ),
    Case(name="worn one input", draws="per frame", settings=worn(AMPLIFIER), inputs=1),
    Case(name="worn all X", draws="per frame", settings=worn(AMPLIFIER), quadrature="X"),
    Case(name="worn all P", draws="per frame", settings=worn(AMPLIFIER), quadrature="P"),
    Case(name="worn zero row", draws="per frame", settings=worn(AMPLIFIER), means="zero"),
    Case(name="worn four modes", draws="per frame", settings=worn(TAP), modes=4),
    Case(name="worn means per input", draws="per frame", settings=worn(TAP), means="per input"),
]
DISPLACED = [
    *(
        Case(
            name=f"displaced {name} {r.kind}",
            draws="displaced",
            settings=link,
            means="displaced per input",
        )
        for r in RECEIVERS
        for name, link in (
            ("ideal", settings(receiver=r)),
            ("drifting", replace(worn(r), unitary_error_rad=0.0)),
        )
    ),
    *(
        Case(
            name=f"displaced all {quadrature}",
            draws="displaced",
            settings=lossy(TAP),
            means="displaced",
            quadrature=quadrature,
        )
        for quadrature in ("X", "P")
    ),
    Case(
        name="displaced four modes",
        draws="displaced",
        settings=replace(worn(TAP), unitary_error_rad=0.0),
        means="displaced",
        modes=4,
    ),
]
FROM_MODES = [
    Case(name="displaced worn", draws="modes", settings=worn(TAP), means="displaced"),
    Case(name="complex", draws="modes", settings=IDEAL, data="complex"),
    Case(name="worn complex", draws="modes", settings=worn(AMPLIFIER), data="complex"),
    Case(name="worn complex passive", draws="modes", settings=worn(PASSIVE), data="complex"),
    Case(name="three modes", draws="modes", settings=worn(TAP), modes=3),
    Case(name="one mode", draws="modes", settings=lossy(AMPLIFIER), modes=1),
    Case(name="digitiser", draws="modes", settings=settings(receiver=AMPLIFIER, server=COARSE)),
]


class Comparison:
    """The same block over two links: every mode on one, a summary on the other."""

    def __init__(self, case: Case, rows: int, run: int = 0) -> None:
        self.block = Block(
            run=run,
            layer=0,
            tile=0,
            first_input=0,
            inputs=case.inputs,
            first_row=0,
            rows=rows,
            modes=case.modes,
        )
        self._case, self._rows = case, rows

    def from_modes(self, link: SymbolLink) -> tuple[ReturnSummary, Real]:
        outcome, on_p = self._pass(link)
        info = link.server.describe()
        summary = summarise(
            link.server.collect_full(self.block, on_p),
            on_p,
            self._case.make_means(self._rows),
            REFERENCE_GAIN,
            info.converter_range_snu,
            info.converter_step_snu,
        )
        return summary, self._samples(summary, outcome, on_p)

    def summary(self, link: SymbolLink) -> tuple[ReturnSummary, Real]:
        outcome, on_p = self._pass(link)
        summary = link.server.collect_summary(self.block, on_p, REFERENCE_GAIN)
        return summary, self._samples(summary, outcome, on_p)

    def _pass(self, link: SymbolLink) -> tuple[Tensor, Tensor]:
        link.client.load(self.block, self._case.make_data())
        link.server.send(self.block, self._case.make_means(self._rows))
        return link.client.measure(self.block), self._case.make_quadratures(self._rows)

    def _samples(self, summary: ReturnSummary, outcome: Tensor, on_p: Tensor) -> Real:
        """Per row: projections and residuals in X and P, then sums of the client's outcomes."""
        y = outcome.double()
        overlap = torch.arange(1, y.shape[0] + 1, dtype=torch.float64)[:, None] / y.shape[0]
        columns = [
            *summary.projection_snu,
            *summary.residual_energy_snu,
            (y * ~on_p).sum(0),
            (overlap * y * ~on_p).sum(0),
            (y.square() * ~on_p).sum(0),
            (y * on_p).sum(0),
            (y.square() * on_p).sum(0),
        ]
        return torch.stack(columns, dim=1).numpy()


def assert_same_distribution(full: Real, short: Real) -> None:
    assert_same_moments(full, short)
    for column in range(4):
        if full[:, column].std() > 0 or short[:, column].std() > 0:
            p = ks_2samp(full[:, column], short[:, column], method="asymp").pvalue
            assert p > KS_LIMIT, f"statistic {column}: Kolmogorov-Smirnov p = {p:.2g}"


def assert_same_counts(full: ReturnSummary, short: ReturnSummary) -> None:
    assert torch.equal(full.frames, short.frames)
    assert torch.equal(full.rails, short.rails)
    assert (full.modes, full.reference_gain) == (short.modes, short.reference_gain)
    torch.testing.assert_close(full.mean_energy_snu, short.mean_energy_snu, rtol=1e-5, atol=1e-5)


def watch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the ways in which summaries are drawn from here on."""
    seen: list[str] = []
    for way, name in (
        ("pooled", "summary_pooled"),
        ("per frame", "summary_per_frame"),
        ("displaced", "summary_displaced"),
        ("modes", "summary_from_modes"),
    ):
        draw = getattr(symbol_link, name)

        def watched(*args: object, way: str = way, draw: object = draw) -> object:
            seen.append(way)
            assert callable(draw)
            return draw(*args)

        monkeypatch.setattr(symbol_link, name, watched)
    return seen


@pytest.mark.parametrize("case", [*POOLED, *PER_FRAME, *DISPLACED], ids=str)
def test_summary_has_the_distribution_of_the_modes(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = watch(monkeypatch)
    comparison = Comparison(case, ROWS)
    full, full_samples = comparison.from_modes(SymbolLink(case.settings, case.behaviour))
    short, short_samples = comparison.summary(SymbolLink(case.settings, case.behaviour))
    assert ways == [case.draws]
    assert_same_counts(full, short)
    assert_same_distribution(full_samples, short_samples)


@pytest.mark.parametrize("case", FROM_MODES, ids=str)
def test_summary_is_that_of_the_modes_when_drawn_from_them(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = watch(monkeypatch)
    comparison = Comparison(case, 300)
    full, full_samples = comparison.from_modes(SymbolLink(case.settings, case.behaviour))
    # Chunks of one or two inputs: the numbers must not depend on them.
    monkeypatch.setattr(
        "sim_backend.returned_modes._VALUES_PER_CHUNK", 2 * comparison.block.rows * case.modes
    )
    short, short_samples = comparison.summary(SymbolLink(case.settings, case.behaviour))
    assert ways == [case.draws]
    assert_same_counts(full, short)
    np.testing.assert_allclose(short_samples, full_samples, rtol=1e-4, atol=1e-3)
    assert bool(full.rails.any()) == (case.name == "digitiser")


@pytest.mark.parametrize("case", [POOLED[0], PER_FRAME[0]], ids=["pooled", "per frame"])
def test_summary_has_the_distribution_of_the_modes_when_a_block_has_one_row(case: Case) -> None:
    links = [SymbolLink(case.settings, case.behaviour) for _ in range(2)]
    full, short = [], []
    for run in range(300):
        comparison = Comparison(case, 1, run)
        full.append(comparison.from_modes(links[0])[1])
        short.append(comparison.summary(links[1])[1])
    assert_same_distribution(np.concatenate(full), np.concatenate(short))


def test_per_frame_summaries_add_up_to_one_block_when_inputs_are_split() -> None:
    case = replace(PER_FRAME[0], inputs=12)
    data, means, on_p = case.make_data(), case.make_means(40), case.make_quadratures(40)

    def collect(per_block: int) -> ReturnSummary:
        link = SymbolLink(case.settings)
        parts = []
        for first in range(0, case.inputs, per_block):
            block = replace(Comparison(case, 40).block, first_input=first, inputs=per_block)
            some = slice(first, first + per_block)
            link.client.load(block, data[some])
            link.server.send(block, means)
            link.client.measure(block)
            parts.append(link.server.collect_summary(block, on_p[some], REFERENCE_GAIN))
        return add_summaries(parts)

    whole, split = collect(12), collect(3)
    assert_same_counts(whole, split)
    torch.testing.assert_close(whole.projection_snu, split.projection_snu, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(
        whole.residual_energy_snu, split.residual_energy_snu, rtol=1e-4, atol=1e-3
    )

"""Choice of the setting, and the points that no other beats."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from drivers.errors import ConfigurationError
from protocol.leakage.conventions import Encoding
from tests.frontier_specs import trained_perceptron
from veilight.frontier.couplings import GRID, couplings_within, fits, receiver_at, settings_of
from veilight.frontier.figures import LinkAssumptions, Privacy, privacy_of
from veilight.frontier.objective import Weights
from veilight.frontier.optimise import (
    FrontierPoint,
    best_setting,
    frontier,
    non_dominated,
    strongest_setting,
)
from veilight.frontier.shapes import LayerShape

SHAPES = (LayerShape(layer=0, rows=60, columns=64), LayerShape(layer=2, rows=10, columns=60))
RATIOS = (0.3, 0.6)
LIMITS = Weights.of_limits(weight_bits=0.02, data_homodyne=0.002, data_any=0.05)
CASES = [
    ("amplifier", "real"),
    ("amplifier", "complex"),
    ("feed-forward-tap", "real"),
    ("passive-tap", "complex"),
]


@pytest.mark.parametrize("rule", ["worst", "sum"])
@pytest.mark.parametrize(("kind", "encoding"), CASES)
def test_best_setting_is_that_of_a_fine_grid(kind: str, encoding: Encoding, rule: str) -> None:
    objective = replace(LIMITS, rule=rule, stolen_block=0.02)  # type: ignore[arg-type]
    link = LinkAssumptions()
    best = best_setting(SHAPES, RATIOS, kind, encoding, link, objective)
    brute = min(
        objective.objective(privacy_of(SHAPES, RATIOS, receiver_at(kind, coupling), encoding, link))
        for coupling in (_coupling(kind, setting) for setting in settings_of(kind, 400))
    )
    assert objective.objective(best) <= brute * (1 + 1e-4)


def _coupling(kind: str, setting: float) -> float:
    return setting - 1 if kind == "amplifier" else setting


@pytest.mark.parametrize("dither", [0.0, 0.3])
def test_best_setting_is_that_of_a_fine_grid_when_certified(dither: float) -> None:
    link = LinkAssumptions(tested_symbols=1e7, dither_p_snu=dither)
    best = best_setting(SHAPES, RATIOS, "feed-forward-tap", "real", link, LIMITS)
    near = [best.setting * factor for factor in (0.2, 0.5, 0.8, 0.9, 0.97, 1.03, 1.1, 1.3, 2.0)]
    values = [
        LIMITS.objective(
            privacy_of(SHAPES, RATIOS, receiver_at("feed-forward-tap", tau), "real", link)
        )
        for tau in near
        if tau <= 1
    ]
    assert LIMITS.objective(best) <= min(values) * (1 + 1e-3)


def test_best_setting_takes_the_dither_that_helps_most() -> None:
    link = LinkAssumptions(tested_symbols=1e7)
    dithers = (0.1, 0.3)
    best = best_setting(
        SHAPES, RATIOS, "feed-forward-tap", "real", link, LIMITS, dithers_p_snu=dithers
    )
    alone = {
        dither: LIMITS.objective(
            best_setting(
                SHAPES,
                RATIOS,
                "feed-forward-tap",
                "real",
                replace(link, dither_p_snu=dither),
                LIMITS,
            )
        )
        for dither in (0.0, *dithers)
    }
    assert best.dither_p_snu == min(alone, key=alone.__getitem__) > 0
    assert LIMITS.objective(best) == min(alone.values())
    # Without a certificate a dither buys nothing and is not tried.
    asymptotic = best_setting(
        SHAPES,
        RATIOS,
        "feed-forward-tap",
        "real",
        LinkAssumptions(),
        LIMITS,
        dithers_p_snu=dithers,
    )
    assert asymptotic.dither_p_snu == 0


def test_weaker_coupling_trades_data_for_stolen_light() -> None:
    figures = [
        privacy_of(SHAPES, RATIOS, receiver_at("feed-forward-tap", tau), "real", LinkAssumptions())
        for tau in (0.01, 0.05, 0.2, 0.7, 1.0)
    ]
    for weak, strong in pairwise(figures):
        assert weak.data_bits_homodyne < strong.data_bits_homodyne
        assert weak.data_bits_any < strong.data_bits_any
        assert weak.stolen_block_bits > strong.stolen_block_bits
        assert weak.photons_per_symbol[0] > strong.photons_per_symbol[0]


def test_limit_of_photons_is_kept_and_just_reached() -> None:
    link = LinkAssumptions(most_photons_per_symbol=4.0)
    data_alone = Weights(weight_bits=0.0, data_homodyne=1.0, data_any=1.0)
    best = best_setting(SHAPES, RATIOS, "feed-forward-tap", "real", link, data_alone)
    assert max(best.photons_per_symbol) == pytest.approx(4.0, rel=1e-9)
    assert max(best.photons_per_symbol) <= 4.0
    couplings = couplings_within("feed-forward-tap", "real", link, RATIOS)
    assert list(couplings) == sorted(couplings)
    assert 1 < len(couplings) < GRID


def test_setting_is_refused_when_no_coupling_is_dim_enough() -> None:
    link = LinkAssumptions(most_photons_per_symbol=0.01)
    with pytest.raises(ConfigurationError, match=r"within 0\.01 photons"):
        best_setting(SHAPES, RATIOS, "amplifier", "real", link, LIMITS)
    assert (
        frontier([trained_perceptron(0.9, RATIOS)], ["amplifier"], ["real"], link, [LIMITS]) == ()
    )


@pytest.mark.parametrize("kind", ["amplifier", "feed-forward-tap", "passive-tap"])
def test_settings_span_three_decades_of_coupling(kind: str) -> None:
    settings = settings_of(kind, 9)
    couplings = [_coupling(kind, setting) for setting in settings]
    assert couplings[0] == pytest.approx(1e-3, rel=1e-9)
    ratios = [high / low for low, high in pairwise(couplings)]
    assert ratios == pytest.approx([ratios[0]] * 8, rel=1e-6)
    factors = [receiver_at(kind, coupling).snr_factor for coupling in couplings]
    assert factors == sorted(factors)
    assert factors[-1] == pytest.approx(0.547 if kind == "amplifier" else 1.0, rel=1e-3)


def test_unknown_kinds_and_too_few_settings_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown"):
        settings_of("telescope")
    with pytest.raises(ConfigurationError, match="at least 2"):
        settings_of("amplifier", 1)
    assert fits("amplifier", "complex")
    assert fits("feed-forward-tap", "real")
    assert not fits("feed-forward-tap", "complex")


def test_strongest_setting_keeps_the_limits_with_least_light() -> None:
    link = LinkAssumptions()
    limits = Weights.of_limits(weight_bits=0.02, data_any=0.03)
    best = best_setting(SHAPES, RATIOS, "feed-forward-tap", "real", link, limits)
    dim = strongest_setting(SHAPES, RATIOS, "feed-forward-tap", "real", link, limits)
    assert dim is not None
    assert dim.setting > best.setting
    assert 0.99 < limits.objective(dim) <= 1
    beyond = receiver_at("feed-forward-tap", dim.setting * 1.01)
    assert limits.objective(privacy_of(SHAPES, RATIOS, beyond, "real", link)) > 1
    hard = Weights.of_limits(weight_bits=1e-9)
    assert strongest_setting(SHAPES, RATIOS, "amplifier", "real", link, hard) is None
    easy = Weights.of_limits(weight_bits=100.0)
    all_of_it = strongest_setting(SHAPES, RATIOS, "passive-tap", "real", link, easy)
    assert all_of_it is not None
    assert all_of_it.setting == 1.0


def test_weights_make_the_worst_or_the_sum() -> None:
    figures = privacy_of(
        SHAPES,
        RATIOS,
        receiver_at("amplifier", 0.1),
        "real",
        LinkAssumptions(probe_photons_per_mode=0.01),
    )
    weighed = LIMITS.weighed(figures)
    assert weighed == {
        "weight_bits": figures.weight_bits / 0.02,
        "data_homodyne": figures.data_bits_homodyne / 0.002,
        "data_any": pytest.approx(figures.data_bits_any / 0.05),
    }
    assert LIMITS.objective(figures) == max(weighed.values())
    assert replace(LIMITS, rule="sum").objective(figures) == pytest.approx(sum(weighed.values()))
    probing = Weights(
        weight_bits=0, data_homodyne=0, data_any=0, data_probing=2.0, stolen_block=0.001
    )
    assert figures.data_bits_probing is not None
    assert probing.objective(figures) == 2 * figures.data_bits_probing
    assert probing.objective(replace(figures, data_bits_probing=None)) == pytest.approx(
        0.001 * figures.stolen_block_bits_per_weight
    )


@pytest.mark.parametrize(
    "weights",
    [
        {"weight_bits": -1.0},
        {"data_any": math.nan},
        {"stolen_block": math.inf},
        {"weight_bits": 0.0, "data_homodyne": 0.0, "data_any": 0.0},
        {"rule": "best"},
    ],
)
def test_weights_are_refused_when_they_weigh_nothing(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="frontier weights"):
        Weights(**weights)  # type: ignore[arg-type]


def test_limits_are_refused_when_not_above_zero() -> None:
    with pytest.raises(ConfigurationError, match="above 0"):
        Weights.of_limits(weight_bits=0.0)
    with pytest.raises(ConfigurationError, match="above 0"):
        Weights.of_limits(weight_bits=math.nan)


def _dominated(point: FrontierPoint, points: Sequence[FrontierPoint]) -> bool:
    """Slow reference: somebody is at least as good in everything and better in something."""

    def costs(entry: FrontierPoint) -> tuple[float, ...]:
        figures = entry.privacy
        return (
            -entry.accuracy,
            figures.charged_weight_bits,
            figures.data_bits_homodyne,
            figures.data_bits_any,
        )

    own = costs(point)
    return any(
        costs(other) != own and all(a <= b for a, b in zip(costs(other), own, strict=True))
        for other in points
    )


@pytest.mark.parametrize("seed", range(8))
def test_non_dominated_points_are_those_of_a_slow_reference(seed: int) -> None:
    draw = random.Random(seed)
    privacy = privacy_of(SHAPES, RATIOS, receiver_at("amplifier", 0.1), "real", LinkAssumptions())
    points = [
        FrontierPoint(
            # Few values, so that ties are frequent.
            accuracy=draw.randint(0, 4) / 4,
            accuracy_error=0.0,
            privacy=replace(
                privacy,
                weight_bits=float(draw.randint(0, 4)),
                data_bits_homodyne=float(draw.randint(0, 4)),
                data_bits_any=float(draw.randint(0, 4)),
            ),
            network=str(index),
        )
        for index in range(60)
    ]
    kept = non_dominated(points)
    reference = [point for point in points if not _dominated(point, points)]
    shown = {(p.accuracy, p.privacy.weight_bits, *_data(p.privacy)) for p in kept}
    assert shown == {(p.accuracy, p.privacy.weight_bits, *_data(p.privacy)) for p in reference}
    assert len(shown) == len(kept)
    assert [p.accuracy for p in kept] == sorted((p.accuracy for p in kept), reverse=True)


def _data(privacy: Privacy) -> tuple[float, float]:
    return privacy.data_bits_homodyne, privacy.data_bits_any


def test_frontier_keeps_what_no_other_point_of_its_receiver_beats() -> None:
    good, faint = trained_perceptron(0.97, (0.5, 1.0)), trained_perceptron(0.95, (0.2, 0.4))
    wasteful = trained_perceptron(0.94, (0.5, 1.0), seed=1)
    seen: list[float] = []
    points = frontier(
        [good, faint, wasteful],
        ["amplifier", "feed-forward-tap"],
        ["real", "complex"],
        LinkAssumptions(),
        [LIMITS],
        budget_bits_per_weight=3.0,
        on_progress=seen.append,
    )
    # Nine trades (the tap takes one encoding), and those of them that go on.
    assert len(seen) > 9
    assert seen == sorted(set(seen))
    assert seen[-1] == 1.0
    assert {point.network for point in points} == {good.spec.key, faint.spec.key}
    assert {point.privacy.receiver for point in points} == {"amplifier", "feed-forward-tap"}
    # The tap cannot take the complex encoding, and the amplifier leaks less with it.
    assert {p.privacy.encoding for p in points if p.privacy.receiver == "amplifier"} == {"complex"}
    for kind in ("amplifier", "feed-forward-tap"):
        own = [point for point in points if point.privacy.receiver == kind]
        assert not any(_dominated(point, own) for point in own)
    assert all(point.privacy.queries_allowed is not None for point in points)
    best = best_setting(
        SHAPES, good.spec.signal_to_noise, "amplifier", "complex", LinkAssumptions(), LIMITS
    )
    assert any(point.privacy.setting == best.setting for point in points)


def test_frontier_of_certified_figures_has_points_along_the_trade() -> None:
    link = LinkAssumptions(tested_symbols=1e7)
    points = frontier([trained_perceptron(0.97, RATIOS)], ["feed-forward-tap"], ["real"], link, [])
    assert len(points) > 5
    by_data = sorted(points, key=lambda point: point.privacy.data_bits_any)
    bits = [point.privacy.charged_weight_bits for point in by_data]
    assert bits == sorted(bits, reverse=True)

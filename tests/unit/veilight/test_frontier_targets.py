"""The targets: met, missed and why, on made-up points and on networks that were never trained."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from drivers.errors import ConfigurationError
from drivers.receivers import FeedForwardTap
from protocol.leakage.conventions import Encoding
from tests.frontier_specs import trained_perceptron
from veilight.frontier.figures import LinkAssumptions, Privacy, privacy_of
from veilight.frontier.networks import TrainedNetwork
from veilight.frontier.optimise import FrontierPoint, best_setting
from veilight.frontier.shapes import LayerShape
from veilight.frontier.target_points import closest_points, excess_of
from veilight.frontier.targets import (
    PROJECT_TARGETS,
    PUBLISHED_POINT,
    Target,
    TargetResult,
    check,
    examine,
)

TARGET = Target(
    name="made up",
    accuracy=0.97,
    weight_bits=0.01,
    data_homodyne=0.001,
    data_any=0.02,
    link=LinkAssumptions(data_charge="local"),
    kinds=("feed-forward-tap",),
)
FIGURES = privacy_of(
    (LayerShape(layer=0, rows=10, columns=20),),
    (0.25,),
    FeedForwardTap(tap_fraction=0.1),
    "real",
    LinkAssumptions(),
)


def point(accuracy: float = 0.975, name: str = "a", **figures: float | str) -> FrontierPoint:
    kept: dict[str, float | str] = {
        "weight_bits": 0.005,
        "data_bits_homodyne_local": 0.0005,
        "data_bits_homodyne_cap": 0.0003,
        "data_bits_any_local": 0.01,
        "data_bits_any_cap": 0.015,
        **figures,
    }
    changed: Privacy = replace(FIGURES, **kept)  # type: ignore[arg-type]
    return FrontierPoint(accuracy=accuracy, accuracy_error=0.001, privacy=changed, network=name)


def trained(accuracy: float, ratios: tuple[float, float]) -> TrainedNetwork:
    return trained_perceptron(accuracy, ratios, inputs=784, hidden=784)


def _examined(
    target: Target,
    networks: Sequence[TrainedNetwork],
    encodings: Sequence[Encoding],
    budget_bits_per_weight: float | None = None,
) -> TargetResult:
    (result,) = examine(
        [target], networks, encodings, budget_bits_per_weight=budget_bits_per_weight
    )
    return result


def test_target_is_met_when_every_figure_is_within_its_limit() -> None:
    result = check(TARGET, [point(0.96, "b"), point()])
    assert result.met
    assert result.met_by_caps
    assert result.point is not None
    assert result.point.network == "a"
    assert result.excess == pytest.approx(
        {"accuracy": 0.025 / 0.03, "weight_bits": 0.5, "data_homodyne": 0.5, "data_any": 0.5}
    )
    assert "met by every figure" in result.reason


def test_target_is_met_when_every_figure_is_at_its_limit() -> None:
    exact = point(0.97, weight_bits=0.01, data_bits_homodyne_local=0.001, data_bits_any_local=0.02)
    assert check(TARGET, [exact]).met


def test_caps_have_a_verdict_of_their_own() -> None:
    result = check(TARGET, [point(data_bits_any_cap=0.05)])
    assert result.met
    assert not result.met_by_caps
    strict = replace(TARGET, link=LinkAssumptions(data_charge="larger"))
    missed = check(strict, [point(data_bits_any_cap=0.05)])
    assert not missed.met
    assert missed.excess["data_any"] == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("missing", "name", "said"),
    [
        (point(weight_bits=0.03), "weight_bits", "bits per weight at 3 of the limit"),
        (point(data_bits_any_local=0.03), "data_any", "quantum Fisher information"),
        (point(data_bits_homodyne_local=0.002), "data_homodyne", "homodyning server at 2"),
        (point(0.94), "accuracy", "no network with less noise"),
    ],
    ids=["weights", "any", "homodyne", "accuracy"],
)
def test_reason_names_the_figure_that_binds(missing: FrontierPoint, name: str, said: str) -> None:
    result = check(TARGET, [missing])
    assert not result.met
    assert [key for key, value in result.excess.items() if value > 1] == [name]
    assert said in result.reason


def test_reason_says_what_part_is_finite_size() -> None:
    certified = replace(
        point(weight_bits=0.003).privacy, weight_bits_certified=0.03, tested_symbols=(900, 100)
    )
    result = check(TARGET, [replace(point(), privacy=certified)])
    assert result.excess["weight_bits"] == pytest.approx(3.0)
    assert "only 10.0% are the asymptotic ones" in result.reason
    assert "1e+03 symbols" in result.reason


def test_closest_point_is_the_one_whose_worst_excess_is_smallest() -> None:
    result = check(
        TARGET,
        [
            point(name="far", weight_bits=0.05),
            point(name="near", weight_bits=0.011, data_bits_any_local=0.021),
            point(name="inaccurate", accuracy=0.9),
        ],
    )
    assert not result.met
    assert result.point is not None
    assert result.point.network == "near"


def test_other_receivers_do_not_count() -> None:
    result = check(TARGET, [point(receiver="amplifier")])
    assert (result.met, result.point, result.excess) == (False, None, {})
    assert "feed-forward-tap" in result.reason


def test_target_without_a_limit_on_any_measurement_does_not_look_at_it() -> None:
    free = replace(TARGET, data_any=None)
    assert check(free, [point(data_bits_any_local=5.0, data_bits_any_cap=5.0)]).met


def test_project_targets_are_those_that_were_set() -> None:
    limits = [
        (t.accuracy, t.weight_bits, t.data_homodyne, t.data_any, t.link.tested_symbols, t.kinds)
        for t in PROJECT_TARGETS
    ]
    assert limits == [
        (0.97, 0.01, 0.002, None, None, ("amplifier",)),
        (0.97, 0.003, 0.0001, 0.005, None, ("feed-forward-tap",)),
        (0.97, 0.02, 0.001, 0.02, 1e8, ("amplifier", "feed-forward-tap", "passive-tap")),
    ]
    assert PROJECT_TARGETS[2].link.failure == 1e-6
    assert (PUBLISHED_POINT.accuracy, PUBLISHED_POINT.weight_bits, PUBLISHED_POINT.data_bits) == (
        0.96,
        0.1,
        0.1,
    )


@pytest.mark.parametrize("target", PROJECT_TARGETS[:2], ids=["A", "B"])
def test_asymptotic_targets_are_met_with_least_light_when_a_network_reaches_97_percent(
    target: Target,
) -> None:
    networks = [trained(0.971, (0.25, 0.5)), trained(0.958, (0.1, 0.5))]
    result = _examined(target, networks, ["real", "complex"], budget_bits_per_weight=5.0)
    assert result.met
    assert result.met_by_caps
    assert result.point is not None
    assert result.point.network == networks[0].spec.key
    # As strong a coupling as the limits allow: one of them is reached.
    leaks = [value for name, value in result.excess.items() if name != "accuracy"]
    assert 0.99 < max(leaks) <= 1
    assert result.point.privacy.queries_allowed is not None
    assert result.point.privacy.queries_allowed > 0
    assert result.point.privacy.data_bits_probing is not None


def test_asymptotic_target_is_missed_when_no_network_is_accurate_enough() -> None:
    result = _examined(PROJECT_TARGETS[0], [trained(0.96, (0.25, 0.5))], ["complex"])
    assert not result.met
    assert result.excess["accuracy"] == pytest.approx(4 / 3)


def test_paper_s_receiver_needs_the_complex_encoding_at_a_quarter() -> None:
    networks = [trained(0.971, (0.25, 0.5))]
    real = _examined(PROJECT_TARGETS[0], networks, ["real"])
    assert not real.met
    assert real.excess["weight_bits"] > 1
    assert _examined(PROJECT_TARGETS[0], networks, ["complex"]).met


def test_certified_target_is_met_with_a_dither_and_not_without() -> None:
    tap = replace(PROJECT_TARGETS[2], kinds=("feed-forward-tap",), dithers_p_snu=(0.25,))
    networks = [trained(0.971, (0.25, 0.5))]
    result = _examined(tap, networks, ["real"])
    assert result.met
    assert not result.met_by_caps
    assert result.point is not None
    assert result.point.privacy.dither_p_snu == 0.25
    without = _examined(replace(tap, dithers_p_snu=()), networks, ["real"])
    assert not without.met
    assert without.excess["weight_bits"] > 1
    assert without.excess["data_any"] > 1


@pytest.mark.parametrize("data_any", [None, 0.01])
def test_closest_points_are_those_of_all_networks_without_working_all_out(
    data_any: float | None,
) -> None:
    target = replace(
        PROJECT_TARGETS[0],
        weight_bits=0.003,
        data_any=data_any,
        kinds=("amplifier", "feed-forward-tap"),
    )
    networks = [
        trained(0.98, (1.0, 2.0)),
        trained(0.975, (0.5, 1.0)),
        trained(0.971, (0.25, 0.5)),
        trained(0.972, (0.25, 1.0)),
        trained(0.968, (0.2, 0.4)),
        trained(0.91, (0.1, 0.2)),
    ]
    everything = [
        FrontierPoint.of(
            network,
            best_setting(
                (
                    LayerShape(layer=0, rows=784, columns=784),
                    LayerShape(layer=2, rows=10, columns=784),
                ),
                network.spec.signal_to_noise,
                kind,
                "real",
                target.link,
                target.weights,
            ),
        )
        for network in networks
        for kind in target.kinds
    ]
    points = closest_points(target, networks, ["real"])
    smallest = min(max(excess_of(target, entry).values()) for entry in everything)
    assert min(max(excess_of(target, entry).values()) for entry in points) == smallest
    assert len(points) < len(everything)


def test_examination_is_refused_when_there_is_no_network() -> None:
    with pytest.raises(ConfigurationError, match="train some first"):
        examine(PROJECT_TARGETS[:1], [], ["real"])

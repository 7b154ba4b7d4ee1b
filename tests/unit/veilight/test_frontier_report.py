"""A frontier's report: which networks enter it, what is shown, what is written and drawn."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.errors import ConfigurationError, DataError, OutputError
from tests.frontier_specs import SPEC, trained_perceptron
from veilight.frontier.link import LinkAssumptions
from veilight.frontier.networks import (
    FailedNetwork,
    TrainedNetwork,
)
from veilight.frontier.plots import draw_frontier, published_map, write_frontier_plot
from veilight.frontier.report import (
    BALANCE,
    MNIST_SHA256,
    FrontierReport,
    balanced_points,
    build_report,
    undominated_networks,
)
from veilight.frontier.report_file import read_report, report_to_dict, write_report
from veilight.frontier.targets import Target

KINDS = ("amplifier", "feed-forward-tap", "passive-tap")
LOOSE = Target(
    name="loose",
    accuracy=0.9,
    weight_bits=1.0,
    data_homodyne=0.5,
    data_any=None,
    link=LinkAssumptions(data_charge="local"),
    kinds=("feed-forward-tap",),
)


def _network(
    accuracy: float, first: float, last: float, hidden: int = 16, seed: int = 0
) -> TrainedNetwork:
    return trained_perceptron(
        accuracy, (first, last), hidden=hidden, accuracy_error=0.01, seed=seed
    )


NETWORKS = (_network(0.91, 0.25, 0.5), _network(0.95, 1.0, 2.0), _network(0.94, 1.0, 3.0))


@pytest.fixture(scope="module")
def report() -> FrontierReport:
    failed = FailedNetwork(spec=replace(SPEC, seed=9), reason="the loss became nan", seconds=1.0)
    return build_report(
        NETWORKS,
        [failed],
        kinds=KINDS,
        encodings=("real",),
        link=LinkAssumptions(tested_symbols=1e8, probe_photons_per_mode=0.01),
        budget_bits_per_weight=4.0,
        targets=[LOOSE, replace(LOOSE, name="tight", accuracy=0.99)],
    )


def test_network_is_left_out_when_another_is_as_accurate_with_less_light() -> None:
    assert undominated_networks(NETWORKS) == NETWORKS[:2]
    other_graph = _network(0.9, 1.0, 3.0, hidden=17)
    assert undominated_networks([*NETWORKS, other_graph]) == (*NETWORKS[:2], other_graph)
    crossed = _network(0.95, 0.9, 2.1)
    assert undominated_networks([NETWORKS[1], crossed]) == (NETWORKS[1], crossed)


def test_first_network_stays_when_two_are_alike() -> None:
    twin = _network(0.95, 1.0, 2.0, seed=1)
    assert undominated_networks([NETWORKS[1], twin]) == (NETWORKS[1],)
    assert undominated_networks([twin, NETWORKS[1]]) == (twin,)


def test_report_has_both_frontiers_when_symbols_are_tested(report: FrontierReport) -> None:
    assert [part.name for part in report.frontiers] == ["asymptotic", "certified"]
    assert len(report.networks) == 3
    assert [failed.reason for failed in report.failed] == ["the loss became nan"]
    asymptotic, certified = (part.points for part in report.frontiers)
    assert {point.privacy.receiver for point in asymptotic} == set(KINDS)
    assert all(point.privacy.weight_bits_certified is None for point in asymptotic)
    for point in certified:
        assert point.privacy.weight_bits_certified is not None
        assert point.privacy.weight_bits_certified >= point.privacy.weight_bits
        if point.privacy.receiver != "passive-tap":  # whose return is all gone at tau = 1
            assert point.privacy.weight_bits_certified > 1.01 * point.privacy.weight_bits
    assert report.network(asymptotic[0].network).accuracy == asymptotic[0].accuracy
    with pytest.raises(DataError, match="no such network"):
        report.network("0" * 16)


def test_targets_are_judged_when_they_are_given(report: FrontierReport) -> None:
    loose, tight = report.targets
    assert loose.met
    assert loose.point is not None
    assert loose.point.accuracy >= 0.9
    assert not tight.met
    assert tight.excess["accuracy"] == pytest.approx(5)
    assert "error rate" in tight.reason


@pytest.mark.parametrize(("sha256", "count"), [("ab" * 32, 0), (MNIST_SHA256, 3)])
def test_targets_of_the_project_are_judged_when_the_data_are_mnist(
    sha256: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from veilight.frontier import report as module

    monkeypatch.setattr(module, "PROJECT_TARGETS", [LOOSE] * 3)
    network = replace(NETWORKS[0], spec=replace(SPEC, dataset="", dataset_sha256=sha256))
    fractions: list[float] = []
    built = build_report(
        [network],
        [],
        kinds=("feed-forward-tap",),
        encodings=("real",),
        link=LinkAssumptions(),
        on_progress=lambda fraction, _: fractions.append(fraction),
    )
    assert len(built.targets) == count
    assert built.data == ("mnist" if count else "")
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    # The trade, its best setting, and the targets by caps and by local figures.
    assert len(fractions) >= 2 + 2 * count


def test_report_is_refused_when_there_is_no_network() -> None:
    with pytest.raises(ConfigurationError, match="veilight frontier run"):
        build_report([], [], kinds=KINDS, encodings=("real",), link=LinkAssumptions())


def test_balanced_points_are_the_best_of_each_network_when_chosen(report: FrontierReport) -> None:
    points = report.frontiers[0].points
    chosen = balanced_points(points)
    assert [point.privacy.receiver for point in chosen] == [kind for kind in KINDS for _ in (0, 1)]
    for point in chosen:
        rivals = [
            BALANCE.objective(other.privacy)
            for other in points
            if (other.network, other.privacy.receiver) == (point.network, point.privacy.receiver)
        ]
        assert BALANCE.objective(point.privacy) == min(rivals)
    for better, worse in zip(chosen[::2], chosen[1::2], strict=True):
        assert better.accuracy > worse.accuracy
        assert BALANCE.objective(better.privacy) > BALANCE.objective(worse.privacy)
    # Beaten in accuracy and in leakage: left out.
    beaten = replace(chosen[0], accuracy=0.5, network="0" * 16)
    assert balanced_points([*points, beaten]) == chosen


def test_report_is_read_back_when_it_was_written(report: FrontierReport, tmp_path: Path) -> None:
    path = write_report(report, tmp_path)
    content = json.loads(path.read_text())
    assert read_report(tmp_path) == report
    assert set(content) == {
        "format", "version", "veilight", "data", "data_sha256", "budget_bits_per_weight",
        "networks", "failed", "frontiers", "targets",
    }  # fmt: skip
    assert content == json.loads(json.dumps(report_to_dict(report)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "not the report"),
        ('{"format": "veilight-frontier", "version": 9}', "another version"),
        ('{"format": "veilight-frontier", "version": 2, "data": NaN}', "a figure is NaN"),
        ('{"format": "veilight-frontier", "version": 2, "data": ""}', "cannot be used"),
    ],
    ids=["torn", "foreign", "version", "nan", "keys"],
)
def test_file_is_refused_when_it_is_no_report(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "frontier.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_report(tmp_path)


def test_report_cannot_be_written_when_the_folder_is_missing(
    report: FrontierReport, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(report, tmp_path / "none")
    with pytest.raises(OutputError, match="cannot be written"):
        write_frontier_plot(report, tmp_path / "none" / "a.png")


def test_published_map_is_that_of_the_authors_when_evaluated() -> None:
    points = {point.accuracy: point for point in published_map([1.1])}
    for point in points.values():
        # Their script's formula, M = 794 and n = 392.
        expected = 0.5 * math.log2(1 + 4 * 794 / 392 * 0.1**2 / (1.1 * (3 * 1.1 - 2)))
        assert point.data_bits == pytest.approx(expected, rel=1e-12)
    assert list(points) == [0.9, 0.95, 0.96, 0.97]
    weights = [point.weight_bits for point in points.values()]
    assert weights == sorted(weights)
    # Below the 0.1 and 0.1 that they mark as their point at 96 %.
    assert 0.04 < points[0.96].weight_bits < 0.06


def test_picture_has_a_line_of_panels_per_frontier_when_drawn(
    report: FrontierReport, tmp_path: Path
) -> None:
    figure = draw_frontier(report)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "bits per weight, at most",
        "bits per data value",
        "bits per data value",
    ] * 2
    assert [axes.get_ylabel() for axes in figure.axes[:3]] == [
        "accuracy [%]",
        "accuracy [%]",
        "bits per weight, at most",
    ]
    labels = [axes.get_legend_handles_labels()[1] for axes in figure.axes[:3]]
    assert "paper's point: 0.1 and 0.1 bit" in labels[0]
    assert set(KINDS) < set(labels[0])
    assert "passive-tap: none in the light" in labels[1]
    assert "passive-tap: none in the light" in labels[2]
    assert "certified from 1e+08 symbols" in figure.axes[3].get_title()
    write_frontier_plot(report, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")

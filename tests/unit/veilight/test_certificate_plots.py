"""Leakage against tested symbols: the receivers compared, the curves, the picture."""

from pathlib import Path

import pytest

from drivers.errors import ConfigurationError, OutputError
from veilight.certificate_plots import (
    draw_leakage_against_symbols,
    leakage_curve,
    receivers_of_equal_signal,
    write_leakage_plot,
)


@pytest.mark.parametrize("factor", [0.01, 0.1875, 0.4999999, 0.5, 0.54])
def test_receivers_have_the_same_signal_when_the_factor_is_given(factor: float) -> None:
    receivers = receivers_of_equal_signal(factor, "real")
    assert [entry.kind for entry in receivers] == ["amplifier", "feed-forward-tap", "passive-tap"]
    for entry in receivers:
        assert entry.snr_factor == pytest.approx(factor, rel=1e-9)


def test_receivers_leave_out_what_cannot_be_when_asked_for_too_much() -> None:
    assert [r.kind for r in receivers_of_equal_signal(0.6, "complex")] == ["passive-tap"]
    with pytest.raises(ConfigurationError, match="must lie in"):
        receivers_of_equal_signal(1.0, "real")


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_curves_fall_from_untested_to_asymptotic_when_symbols_grow(encoding: str) -> None:
    points: list[None] = []
    for receiver in receivers_of_equal_signal(0.1875, encoding):  # type: ignore[arg-type]
        curve = leakage_curve(
            receiver,
            modes=784,
            photons_per_symbol=0.1,
            encoding=encoding,  # type: ignore[arg-type]
            on_point=lambda: points.append(None),
        )
        assert list(curve.certified) == sorted(curve.certified, reverse=True)
        assert curve.untested >= curve.certified[0]
        assert curve.asymptotic < curve.certified[-1] < 3 * curve.asymptotic
    assert len(points) == 17 * (3 if encoding == "real" else 2)


def test_picture_is_written_when_the_folder_is_there(tmp_path: Path) -> None:
    curve = leakage_curve(
        receivers_of_equal_signal(0.1, "complex")[0],
        modes=64,
        photons_per_symbol=0.1,
        encoding="complex",
    )
    figure = draw_leakage_against_symbols([curve], "a layer", 5000)
    _, labels = figure.axes[0].get_legend_handles_labels()
    assert labels == [curve.receiver, "nothing tested", "tested in this run"]
    write_leakage_plot([curve], "a layer", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match="cannot be written"):
        write_leakage_plot([curve], "a layer", tmp_path / "none" / "a.png")
    with pytest.raises(ConfigurationError, match="0 curves"):
        draw_leakage_against_symbols([], "nothing")

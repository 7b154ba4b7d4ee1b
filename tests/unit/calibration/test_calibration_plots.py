import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.plots import draw, write_plot
from drivers.errors import CalibrationError, OutputError
from tests.unit.calibration.calibration_values import result, series, sweep


def test_plot_shows_data_fit_residuals_and_values_when_there_is_a_fit() -> None:
    figure = draw(result())
    points, left = sorted(figure.axes, key=lambda axes: -axes.get_position().y1)
    assert points.get_ylabel() == "power (W)"
    assert points.get_yscale() == "log"
    assert left.get_xlabel() == "bias (V)"
    assert left.get_ylabel() == "residual (sigma)"
    drawn = [np.asarray(line.get_ydata()) for line in left.get_lines()]
    assert any(np.allclose(line, [-5, 0, 5]) for line in drawn if line.shape == (3,))
    title = figure.get_suptitle()
    assert "v_pi_v = 4 V, 95 %: 3.8 to 4.3 V, claimed 4.2 V" in title
    assert "SIMULATED" in title
    assert "reduced chi-square 0.875 on 4 degrees of freedom, p = 0.48" in title


def test_plot_has_residuals_in_their_unit_when_errors_are_not_known() -> None:
    figure = draw(replace(result(), fit_data=(replace(sweep(), uncertainty=None),)))
    assert "residual (W)" in [axes.get_ylabel() for axes in figure.axes]


def test_plot_has_one_column_per_set_when_there_are_several() -> None:
    bare = replace(sweep("bare_points"), fitted=None, uncertainty=None, x=series("t", "s", 1, 2, 3))
    figure = draw(replace(result(), simulated=False, fit_data=(sweep(), bare)))
    assert len(figure.axes) == 3
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == [
        "sweep",
        "bare points",
    ]
    assert "real light" in figure.get_suptitle()


def test_plot_is_a_png_and_replaces_when_written(tmp_path: Path) -> None:
    path = tmp_path / "transfer.png"
    path.write_bytes(b"old")
    write_plot(result(), path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
    assert [each.name for each in tmp_path.iterdir()] == ["transfer.png"]


def test_plot_refuses_when_there_is_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="no points"):
        write_plot(replace(result(), fit_data=()), tmp_path / "a.png")


def test_plot_says_what_to_do_when_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose a folder"):
        write_plot(result(), tmp_path / "missing" / "a.png")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("panels", "across", "down"), [(1, 1, 1), (3, 3, 1), (4, 2, 2), (5, 3, 2), (6, 3, 2), (7, 3, 3)]
)
def test_plot_has_rows_of_at_most_three_panels_when_there_are_many(
    panels: int, across: int, down: int
) -> None:
    sets = tuple(sweep(f"sweep_{number}") for number in range(panels))
    figure = draw(replace(result(), fit_data=sets))
    figure.canvas.draw()
    points = [axes for axes in figure.axes if axes.get_ylabel() == "power (W)"]
    assert len(points) == panels
    assert len({round(axes.get_position().x0, 2) for axes in points}) == across
    assert len({round(axes.get_position().y0, 2) for axes in points}) == down
    assert figure.get_figwidth() <= 14

"""`veilight driver list` and `show`: what they say is what the catalogue knows."""

import json
import tomllib

import pytest

from drivers.bench.limits import limits_table, limits_text
from drivers.bench.sections import InstrumentSection
from drivers.catalogue import driver_models
from drivers.instruments import Switch
from veilight.cli import main


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[dict[str, object]]]:
    assert main(["driver", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_list_has_every_model_of_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "list")["drivers"]
    assert [(one["model"], one["backend"]) for one in found] == [
        (one.model, one.backend) for one in driver_models()
    ]


def test_list_has_one_kind_when_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "list", "--kind", "switch")["drivers"]
    wanted = [one.model for one in driver_models() if one.kind is Switch]
    assert [one["model"] for one in found] == wanted
    assert {one["kind"] for one in found} == {"switch"}


def test_list_shows_limits_and_what_is_experimental(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["driver", "list", "--kind", "bias-controller"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    model = next(one for one in driver_models() if one.model == "Thorlabs MBX")
    assert limits_text(model.limits) in shown
    assert "experimental" in shown


def test_list_refuses_an_unknown_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["driver", "list", "--kind", "lazer"]) == 2
    assert "did you mean laser" in capsys.readouterr().err


def test_show_knows_limits_settings_and_confidence(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = said(capsys, "show", "thorlabs mbx")["drivers"]
    model = next(one for one in driver_models() if one.model == "Thorlabs MBX")
    (lowest, highest) = limits_table(model.limits)["volts"]
    assert found["limits"] == {"volts": {"lowest": lowest, "highest": highest}}
    assert found["experimental"] is True
    assert found["confidence"] == "medium-high"


def test_show_names_every_setting_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["driver", "show", "Keysight N7731A"]) == 0
    shown = capsys.readouterr().out
    assert "output that lets the light on" in shown
    assert "# settings = { light = ..., blocked = ... }" in shown


def test_show_names_the_nearest_when_there_is_no_such_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["driver", "show", "Keysight N7731B"]) == 2
    assert "Keysight N77" in capsys.readouterr().err


@pytest.mark.parametrize("model", sorted({one.model for one in driver_models()}))
def test_section_of_every_model_is_one_of_a_bench_file(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in said(capsys, "show", model)["drivers"]:
        section = tomllib.loads(str(one["section"]))
        ((_, entry),) = section["instruments"].items()
        read = InstrumentSection.model_validate(entry)
        assert (read.model, read.backend, read.channel) == (one["model"], one["backend"], 1)

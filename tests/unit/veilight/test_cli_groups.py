"""Options in groups: what typer sees of a command, and what the command gets."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from veilight.cli._groups import grouped


@dataclass(frozen=True, kw_only=True)
class Light:
    photons: Annotated[float, typer.Option("--photons", min=0, help="Per mode.")]
    receiver: Annotated[str | None, typer.Option("--receiver")] = None
    colours: Annotated[list[str] | None, typer.Option("--colour")] = None


def _app() -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @grouped
    def infer(
        model: Annotated[str, typer.Argument()],
        light: Light,
        dark: Annotated[bool, typer.Option("--dark")] = False,
    ) -> int:
        """Infer something."""
        typer.echo(f"{model} {light} {dark}")
        return 0

    return app


def test_command_gets_a_value_when_its_options_are_given() -> None:
    words = ["m.onnx", "--photons", "2", "--colour", "red", "--colour", "blue", "--dark"]
    result = CliRunner().invoke(_app(), words)
    assert result.exit_code == 0
    light = Light(photons=2.0, colours=["red", "blue"])
    assert result.output.strip() == f"m.onnx {light} True"


@pytest.mark.parametrize(
    "words", [["m.onnx"], ["m.onnx", "--photons", "-1"]], ids=["required", "range"]
)
def test_option_of_a_group_is_checked_when_it_is_wrong(words: list[str]) -> None:
    result = CliRunner().invoke(_app(), words)
    assert result.exit_code == 2
    assert "--photons" in result.output


def test_command_is_refused_when_two_groups_have_one_option() -> None:
    def infer(light: Light, photons: float) -> int:
        raise AssertionError((light, photons))

    with pytest.raises(TypeError, match=r"infer has an option twice: .*'photons', 'photons'"):
        grouped(infer)

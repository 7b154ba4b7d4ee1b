"""`veilight driver`: its commands and their options."""

from pathlib import Path
from typing import Annotated

import typer

from veilight.cli import _options as options
from veilight.cli._screen import Screen

__all__ = ["driver_app"]

driver_app = typer.Typer(help="Drivers of real instruments: which there are, and how to add one.")


@driver_app.command("list")
def driver_list(
    kind: Annotated[
        str | None, typer.Option("--kind", help="Such as laser, power-meter or digitiser.")
    ] = None,
    as_json: options.Json = False,
) -> int:
    """Every model of a real instrument that a bench file can name."""
    from veilight.cli._driver import run_driver_list

    return run_driver_list(Screen(as_json=as_json), kind=kind)


@driver_app.command("show")
def driver_show(
    model: Annotated[str, typer.Argument(help="As in bench files, such as 'Keysight N7731A'.")],
    as_json: options.Json = False,
) -> int:
    """All that is known of a model, its settings, and a section for a bench file."""
    from veilight.cli._driver import run_driver_show

    return run_driver_show(Screen(as_json=as_json), model=model, as_json=as_json)


@driver_app.command("new")
def driver_new(
    name: Annotated[str, typer.Argument(help="Maker and model, such as 'Acme LX100'.")],
    kind: Annotated[str, typer.Option("--kind", help="Such as laser, power-meter or switch.")],
    backend: Annotated[str, typer.Option("--backend", help="visa or serial.")] = "visa",
    maker: Annotated[
        str | None, typer.Option("--maker", help="Where it is not the first word of the name.")
    ] = None,
    root: Annotated[
        Path, typer.Option("--root", help="Source checkout of veilight (default: here).")
    ] = Path(),
    as_json: options.Json = False,
) -> int:
    """Begin a driver in a source checkout: driver, twin and tests that work, to be filled in."""
    from veilight.cli._driver import run_driver_new

    return run_driver_new(
        Screen(as_json=as_json),
        name=name,
        kind=kind,
        backend=backend,
        maker=maker,
        root=root,
        as_json=as_json,
    )

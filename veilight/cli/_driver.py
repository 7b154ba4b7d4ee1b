"""The commands `veilight driver list`, `show` and `new`: which drivers there are, and one more."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from veilight.cli._exit_codes import ExitCode
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    from drivers.catalogue import DriverModel

__all__ = ["run_driver_list", "run_driver_new", "run_driver_show"]

_COLUMNS = ("model", "kind", "backend", "channels", "limits", "state", "source")


def run_driver_list(screen: Screen, *, kind: str | None) -> int:
    """Show every model that a bench file can name.

    Args:
        screen: where to.
        kind: such as `laser` or `power-meter`; None for all.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: there is no such kind.
    """
    from drivers.bench.limits import limits_text
    from drivers.catalogue import driver_models
    from veilight.scaffold import kind_named

    wanted = None if kind is None else kind_named(kind).kind
    models = [one for one in driver_models() if wanted is None or one.kind is wanted]
    rows = [
        (
            one.model,
            one.kind.kind,
            one.backend,
            str(one.channels),
            limits_text(one.limits),
            _state(one),
            one.source,
        )
        for one in models
    ]
    screen.table("Drivers", _COLUMNS, rows, numbers=(3,))
    if not rows:
        screen.tell("No driver of that kind; `veilight driver new` begins one.")
    screen.result({"drivers": [_record(one) for one in models]})
    return ExitCode.OK


def run_driver_show(screen: Screen, *, model: str, as_json: bool) -> int:
    """Show all that is known of one model, and a section for a bench file.

    Args:
        screen: where to.
        model: as in bench files, in any case.
        as_json: no section to paste but in the JSON object.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: there is no such model.
    """
    from drivers.catalogue import driver_models
    from drivers.errors import ConfigurationError
    from drivers.settings_files import nearest

    known = driver_models()
    found = [one for one in known if one.model.lower() == model.lower()]
    if not found:
        hint = nearest(model, [one.model for one in known]) or "`veilight driver list` shows all"
        raise ConfigurationError(f"there is no driver of model {model!r}; {hint}")
    for one in found:
        screen.table(one.model, ("what", "is"), _facts(one))
        if not as_json:  # past the screen, which would fold its lines
            typer.echo(_section(one))
    screen.result({"drivers": [_record(one) for one in found]})
    return ExitCode.OK


def run_driver_new(
    screen: Screen,
    *,
    name: str,
    kind: str,
    backend: str,
    maker: str | None,
    root: Path,
    as_json: bool,
) -> int:
    """Write driver, twin and tests of a new model into a source checkout.

    Args:
        screen: where to.
        name: of the model, or maker and model.
        kind: such as `laser`.
        backend: `visa` or `serial`.
        maker: None where the first word of the name is it.
        root: of the checkout.
        as_json: no text for people.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: no checkout, a name that cannot be used, or a file in the way.
        OutputError: a file cannot be written.
    """
    from veilight.scaffold import NewDriver, write_driver

    written = write_driver(NewDriver.named(name, maker=maker, kind=kind, backend=backend), root)
    screen.table("Written", ("file", "what"), [(one.path, one.what) for one in written.files])
    if not as_json:
        typer.echo(written.next_steps)
    screen.result(
        {
            "model": written.model,
            "files": [one.path for one in written.files],
            "next": written.next_steps,
        }
    )
    return ExitCode.OK


def _state(model: "DriverModel") -> str:
    if model.experimental:
        return f"experimental, confidence {model.confidence}"
    return "confidence high"


def _facts(model: "DriverModel") -> list[tuple[str, str]]:
    from drivers.bench.limits import limits_text

    facts = [
        ("kind", model.kind.kind),
        ("backend", model.backend),
        ("channels", f"1 to {model.channels}" if model.channels > 1 else "1"),
        ("limits", limits_text(model.limits)),
        ("state", _state(model)),
        ("source", model.source),
        ("says that it is", model.identity or "nothing that tells its model"),
    ]
    if model.serial is not None:
        line = model.serial
        facts.append(
            ("serial line", f"{line.baud} baud, parity {line.parity}, flow control {line.flow}")
        )
    facts += [(f"setting {name}", meaning) for name, meaning in model.settings.items()]
    return facts


def _section(model: "DriverModel") -> str:
    """What stands in a bench file, with what may be added in comments."""
    from drivers.bench.limits import limit_keys, limits_text

    address = "TCPIP::192.168.10.11::5025::SOCKET"
    if model.backend == "serial":
        address = "/dev/serial/by-id/..."
    lines = [
        f"[instruments.{_role(model)}]",
        f'model = "{model.model}"',
        f'backend = "{model.backend}"',
        f'address = "{address}"',
        'serial = ""                  # refuse any other instrument at this address; "" for any',
        f"channel = 1                  # 1 to {model.channels}",
    ]
    keys = limit_keys(type(model.limits))
    if keys:
        lines.append(f"# limits may narrow the model's own ({limits_text(model.limits)}):")
        lines.append(f"# limits = {{ {', '.join(f'{key} = ...' for key in keys)} }}")
    if model.settings:
        lines.append(f"# settings = {{ {', '.join(f'{name} = ...' for name in model.settings)} }}")
    return "\n".join(lines)


def _role(model: "DriverModel") -> str:
    """The first role of a bench that this kind fills."""
    from drivers.bench.roles import roles_of

    roles = [
        *roles_of("server", "passive-tap", "own", "homodyne").values(),
        *roles_of("client", "amplifier", "own").values(),
    ]
    return next(role.name for role in roles if role.kind is model.kind)


def _record(model: "DriverModel") -> dict[str, object]:
    from drivers.bench.limits import limits_table

    return {
        "model": model.model,
        "kind": model.kind.kind,
        "backend": model.backend,
        "channels": model.channels,
        "limits": {name: _ends(ends) for name, ends in limits_table(model.limits).items()},
        "experimental": model.experimental,
        "confidence": model.confidence,
        "source": model.source,
        "identity": model.identity,
        "settings": dict(model.settings),
        "section": _section(model),
    }


def _ends(ends: Sequence[float]) -> dict[str, float]:
    return {"lowest": ends[0], "highest": ends[1]}

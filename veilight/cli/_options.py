"""Options that several commands share, and the reading of lists of numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from drivers.errors import ConfigurationError

if TYPE_CHECKING:
    from veilight.config import Configuration

__all__ = [
    "AgainstMemory",
    "BenchFiles",
    "Benches",
    "CalibrationStore",
    "ConfigFile",
    "DataSpec",
    "EmitLight",
    "Encoding",
    "Json",
    "LabelColumn",
    "Operator",
    "Photons",
    "Quiet",
    "ReceiverName",
    "ReceiverSetting",
    "SignalToNoise",
    "configured",
    "numbers",
    "refuse_idle",
    "store_path",
    "whole_numbers",
]

Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="One JSON object on the standard output, nothing else.")
]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="Results only: no explanations, no progress.")
]
BenchFiles: TypeAlias = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Bench files (TOML), one or one per party."),
]
Benches: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option("--bench", metavar="FILE", help="Bench file (TOML); give one per party."),
]
CalibrationStore: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--store",
        help="Calibration store (default: beside the server's bench file, .calibration.h5).",
    ),
]
EmitLight: TypeAlias = Annotated[
    bool, typer.Option("--emit-light", help="Allow light on real instruments.")
]
Operator: TypeAlias = Annotated[
    str | None, typer.Option("--operator", help="Who arms the bench (default: the user's name).")
]
ConfigFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file (TOML); see `veilight config show`."),
]
DataSpec: TypeAlias = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="SPEC",
        help="digits, breast-cancer, mnist, fashion-mnist, kmnist, a folder of IDX files, .npz "
        "or .csv.",
    ),
]
LabelColumn: TypeAlias = Annotated[
    str | None, typer.Option("--label-column", help="Heading of the labels in a .csv table.")
]
Photons: TypeAlias = Annotated[
    str | None,
    typer.Option("--photons", metavar="MU,...", help="Photons per mode, one per optical layer."),
]
SignalToNoise: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--signal-to-noise",
        metavar="F2,...",
        help="F^2 of the client's outcome per optical layer, instead of photons.",
    ),
]
ReceiverName: TypeAlias = Annotated[
    str | None,
    typer.Option("--receiver", help="amplifier, feed-forward-tap or passive-tap."),
]
ReceiverSetting: TypeAlias = Annotated[
    float | None,
    typer.Option("--setting", help="Gain of the amplifier or tapped fraction of a tap."),
]
AgainstMemory: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--against-memory/--copies-apart",
        help="Charge one memory over all copies of a weight, or (default) one copy each.",
        show_default=False,
    ),
]
Encoding: TypeAlias = Annotated[str | None, typer.Option("--encoding", help="real or complex.")]


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """The numbers of an option such as `0.25,0.5`; None stays None.

    Raises:
        ConfigurationError: an entry is not a number.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigurationError(
            f"{option} is {text!r}; give numbers with commas between them, such as 0.25,0.5"
        ) from error


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """The whole numbers, at least 1, of an option such as `784,10`.

    Raises:
        ConfigurationError: an entry is not one.
    """
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigurationError(
            f"{option} is {text!r}; give whole numbers with commas between them, such as 784,10"
        ) from error
    if min(values) < 1:
        raise ConfigurationError(f"{option} is {text!r}; every number must be at least 1")
    return values


def configured(
    file: Path | None,
    *,
    receiver: str | None = None,
    setting: float | None = None,
    photons: str | None = None,
    signal_to_noise: str | None = None,
    **changes: object,
) -> "Configuration":
    """The configuration of a file, or the defaults, with what the options say instead.

    Args:
        file: configuration file.
        receiver: of `--receiver`; another one than configured needs a setting of its own.
        setting: of `--setting`.
        photons: of `--photons`.
        signal_to_noise: of `--signal-to-noise`.
        changes: further settings by path, with `__` for the dot; None leaves them alone.

    Raises:
        ConfigurationError: see `load_configuration` and `override`.
    """
    from veilight.config import load_configuration, override

    configuration = load_configuration(file)
    if receiver not in (None, configuration.link.receiver) and setting is None:
        raise ConfigurationError(
            f"--receiver {receiver} needs --setting: the gain (above 1) of an amplifier or the "
            "tapped fraction, above 0 and at most 1, of a tap"
        )
    if photons is not None and signal_to_noise is not None:
        raise ConfigurationError("give --photons or --signal-to-noise, not both")
    wanted: dict[str, object] = {
        "link.receiver": receiver,
        "link.receiver_setting": setting,
        **{path.replace("__", "."): value for path, value in changes.items()},
    }
    for name, other, values in (
        ("photons_per_symbol", "signal_to_noise", numbers("--photons", photons)),
        ("signal_to_noise", "photons_per_symbol", numbers("--signal-to-noise", signal_to_noise)),
    ):
        if values is not None:
            wanted |= {f"protocol.{name}": values, f"protocol.{other}": ()}
    given = {path: value for path, value in wanted.items() if value is not None}
    return override(configuration, given) if given else configuration


def refuse_idle(
    benches: Sequence[Path] | None,
    *,
    of_link: Mapping[str, object],
    of_bench: Mapping[str, object],
) -> None:
    """Refuse options that would have no effect.

    Args:
        benches: the bench files that were given.
        of_link: options of the simulated link alone, with their values; None or False if absent.
        of_bench: the same for those of a bench.

    Raises:
        ConfigurationError: an option of the other kind was given.
    """
    idle = of_link if benches else of_bench
    for option, value in idle.items():
        if value is not None and value is not False:
            raise ConfigurationError(
                f"{option} is for the simulated link; with --bench the bench files say what the "
                "link is, leave it out"
                if benches
                else f"{option} needs --bench twice, once for each party's bench file"
            )


def store_path(store: Path | None, benches: Sequence[Path]) -> Path:
    """The calibration store that was named, or the one that belongs to the bench files.

    Raises:
        ConfigurationError: neither was given.
    """
    if store is not None:
        return store
    if not benches:
        raise ConfigurationError("which calibrations? Give --store FILE, or --bench FILE twice")
    from veilight.bench_session import default_store

    return default_store(benches)

"""From TOML text to a checked configuration; every error names the file and the dotted path."""

import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from drivers.errors import ConfigurationError
from veilight.config._sections import Configuration

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["default_configuration", "load_configuration", "override"]

MAXIMUM_BYTES = 1 << 20
"""Largest configuration file that is read: 1 MiB."""


def default_configuration() -> Configuration:
    """Every setting at its default: an ideal link with an amplifier of gain 2."""
    return Configuration()


def load_configuration(path: str | Path | None = None) -> Configuration:
    """Read a configuration file; keys that it leaves out keep their defaults.

    Args:
        path: TOML file; None gives the defaults.

    Raises:
        ConfigurationError: the file is missing, too large or not TOML, or a key is unknown, of
            the wrong type or out of range.
    """
    if path is None:
        return default_configuration()
    return _checked(_read(Path(path)), f"configuration file {path}")


def override(configuration: Configuration, changes: Mapping[str, object]) -> Configuration:
    """The configuration with some settings replaced.

    Args:
        configuration: where to start from.
        changes: new values by dotted path, such as `link.receiver`.

    Raises:
        ConfigurationError: a path is unknown, or a value of the wrong type or out of range.
    """
    values = configuration.model_dump()
    for path, value in changes.items():
        *sections, key = path.split(".")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    return _checked(values, "settings")


def _read(path: Path) -> dict[str, object]:
    where = f"configuration file {path}"
    try:
        with path.open("rb") as stream:
            content = stream.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(
            f"{where} cannot be read: {reason}; check the path, or start from the output of "
            "`veilight config show`"
        ) from error
    if len(content) > MAXIMUM_BYTES:
        raise ConfigurationError(
            f"{where} is larger than {MAXIMUM_BYTES} bytes; it is no configuration file"
        )
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{where} is not valid TOML: {error}") from error


def _checked(values: Mapping[str, object], where: str) -> Configuration:
    try:
        configuration = Configuration.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {_explain(error.errors()[0])}") from error
    protocol, link = configuration.protocol, configuration.link
    if protocol.photons_per_symbol and protocol.signal_to_noise:
        raise ConfigurationError(
            f"{where}: protocol.photons_per_symbol and protocol.signal_to_noise are both given; "
            "give one of them"
        )
    checks: tuple[tuple[str, Callable[[], object]], ...] = (
        ("link.client", link.client.settings),
        ("link.server", link.server.settings),
        ("link", link.settings),
    )
    for section, build in checks:
        try:
            build()
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: [{section}] {error}") from error
    return configuration


def _explain(detail: "ErrorDetails") -> str:
    """One line about the first thing that is wrong."""
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"unknown key {path}; {_nearest(detail['loc'])}"
    value = detail["input"]
    if detail["type"] in ("model_type", "model_attributes_type"):
        return f"{path} is {value!r}, it must be a section: write [{path}]"
    message = detail["msg"]
    return f"{path} is {value!r}; {message[:1].lower()}{message[1:]}"


def _nearest(location: tuple[int | str, ...]) -> str:
    """A hint at the known key that was probably meant, in its own section first."""
    paths = known_keys()
    *sections, key = (str(part) for part in location)
    prefix = ".".join(sections)
    siblings = {
        path.rpartition(".")[2]: path for path in paths if path.rpartition(".")[0] == prefix
    }
    close = difflib.get_close_matches(key, siblings, n=1)
    if close:
        return f"did you mean {siblings[close[0]]}?"
    # The right key in the wrong section is the next most likely slip.
    names = {path.rpartition(".")[2] for path in paths}
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.8)
    if close:
        elsewhere = [path for path in paths if path.rpartition(".")[2] == close[0]]
        return f"did you mean {' or '.join(elsewhere)}?"
    return f"known are {', '.join(siblings)}"


def known_keys() -> tuple[str, ...]:
    """Dotted paths of all sections and settings."""
    return tuple(_paths(Configuration, ""))


def _paths(section: type[BaseModel], prefix: str) -> list[str]:
    paths: list[str] = []
    for name, field in section.model_fields.items():
        paths.append(prefix + name)
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            paths.extend(_paths(kind, f"{prefix}{name}."))
    return paths

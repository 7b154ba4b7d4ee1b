"""From TOML text to a checked configuration; every error names the file and the dotted path."""

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from drivers.errors import ConfigurationError
from drivers.settings_files import explain, parse_toml, read_text
from veilight.config._sections import Configuration

__all__ = ["default_configuration", "load_configuration", "override"]


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
    what = "configuration file"
    remedy = "check the path, or start from the output of `veilight config show`"
    where = f"{what} {path}"
    return _checked(parse_toml(read_text(Path(path), what, remedy), where), where)


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


def _checked(values: Mapping[str, object], where: str) -> Configuration:
    try:
        configuration = Configuration.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {explain(error.errors()[0], Configuration)}") from error
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

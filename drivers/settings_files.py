"""Text files of settings: reading TOML, and errors that name the key and the one that was meant.

Owns what configuration files and bench files have in common; what the keys are is said by the
pydantic classes of each.
"""

import difflib
import tomllib
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Union, get_args, get_origin

from pydantic import BaseModel

from drivers.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["MAXIMUM_BYTES", "explain", "known_keys", "nearest", "parse_toml", "read_text"]

MAXIMUM_BYTES = 1 << 20
"""Largest file of settings that is read: 1 MiB."""


def read_text(path: Path, what: str, remedy: str) -> str:
    """The text of a file of settings.

    Args:
        path: the file, at most 1 MiB of UTF-8.
        what: the kind of file, such as `bench file`; it begins every message.
        remedy: what to do when there is no such file.

    Raises:
        ConfigurationError: the file cannot be read, is too large or is no text.
    """
    where = f"{what} {path}"
    try:
        with path.open("rb") as stream:
            content = stream.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(f"{where} cannot be read: {reason}; {remedy}") from error
    if len(content) > MAXIMUM_BYTES:
        raise ConfigurationError(f"{where} is larger than {MAXIMUM_BYTES} bytes; it is no {what}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{where} is not valid TOML: {error}") from error


def parse_toml(text: str, where: str) -> dict[str, object]:
    """The table of a TOML text.

    Args:
        text: the text.
        where: the file; it begins every message.

    Raises:
        ConfigurationError: the text is not TOML.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{where} is not valid TOML: {error}") from error


def explain(detail: "ErrorDetails", model: type[BaseModel]) -> str:
    """One line about one thing that is wrong in a table.

    Args:
        detail: what pydantic found.
        model: the class of the whole table, to know its keys.
    """
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"unknown key {path}; {_hint(detail['loc'], model)}"
    if detail["type"] == "missing":
        return f"{path} is missing; it has no default"
    value = detail["input"]
    if detail["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"{path} is {value!r}, it must be a section: write [{path}]"
    message = detail["msg"]
    return f"{path} is {value!r}; {message[:1].lower()}{message[1:]}"


def nearest(key: str, siblings: Iterable[str], prefix: str = "") -> str | None:
    """The question `did you mean ...?` about the most similar name, or None where none is near."""
    close = difflib.get_close_matches(key, list(siblings), n=1)
    return f"did you mean {prefix}{close[0]}?" if close else None


def known_keys(model: type[BaseModel]) -> tuple[str, ...]:
    """Dotted paths of all sections and settings; a free name stands as `<name>`."""
    return tuple(_paths(model, ""))


def _hint(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """A hint at the known key that was probably meant, in its own section first."""
    *sections, key = (str(part) for part in location)
    prefix = "".join(f"{section}." for section in sections)
    siblings = _section_at(model, sections).model_fields
    close = nearest(key, siblings, prefix)
    if close:
        return close
    # The right key in the wrong section is the next most likely slip.
    paths = known_keys(model)
    names = {path.rpartition(".")[2] for path in paths}
    similar = difflib.get_close_matches(key, names, n=1, cutoff=0.8)
    if similar:
        elsewhere = [path for path in paths if path.rpartition(".")[2] == similar[0]]
        return f"did you mean {' or '.join(elsewhere)}?"
    return f"known are {', '.join(siblings)}"


def _section_at(model: type[BaseModel], sections: list[str]) -> type[BaseModel]:
    """The class of a section; names of tables and numbers of entries lead nowhere deeper."""
    for section in sections:
        field = model.model_fields.get(section)
        if field is not None:
            inner, _ = _inner(field.annotation)
            model = inner or model
    return model


def _inner(annotation: object) -> tuple[type[BaseModel] | None, str]:
    """The section class within an annotation, and what its path has between: `<name>.` or none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    origin = get_origin(annotation)
    for argument in get_args(annotation) if origin is not None else ():
        inner, between = _inner(argument)
        if inner is not None:
            plain = origin in (Union, types.UnionType)
            return inner, between if plain else f"<name>.{between}"
    return None, ""


def _paths(section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        inner, between = _inner(field.annotation)
        if inner is not None:
            yield from _paths(inner, f"{prefix}{name}.{between}")

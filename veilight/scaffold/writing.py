"""Writes a new driver into a source checkout, and makes it known in the two catalogues."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from drivers.errors import ConfigurationError, OutputError
from drivers.files import replace_files
from veilight.scaffold.imports import MARK, with_imports
from veilight.scaffold.new_driver import NewDriver

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Written", "WrittenFile", "rendered", "write_driver"]

_CATALOGUES: Final = {
    "drivers/catalogue.py": "drivers",
    "sim_backend/wire/catalogue.py": "sim_backend.wire.twins",
}
_NEEDED: Final = (*_CATALOGUES, "tests/wire/rigs.py")
_MODULES = re.compile(r"^MODULES: tuple\[str, \.\.\.\] = \(\n((?: {4}\"[\w.]+\",\n)*)\)$", re.M)
_WHAT: Final = {
    "driver": "driver: replace _COMMANDS, _IDENTITY and the limits",
    "twin": "twin: replace _HEADERS, the ranges and the errors",
    "rig": "the pair on one scene, for the contract suite",
    "test_driver": "dialogue of the driver",
    "test_twin": "dialogue of the twin",
    "page": "page for those who will use it",
}


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """A file that is there now.

    Args:
        path: from the checkout's root.
        what: it is.
    """

    path: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Written:
    """A driver that was begun.

    Args:
        model: as in bench files.
        files: new, and changed.
        next_steps: what to do now, for people.
    """

    model: str
    files: tuple[WrittenFile, ...]
    next_steps: str


def write_driver(new: NewDriver, root: Path) -> Written:
    """Write all files of a new driver; none where one of them exists.

    Args:
        new: the driver.
        root: of a source checkout.

    Raises:
        ConfigurationError: `root` is none, the driver is known already, or a file is in the way.
        OutputError: a file cannot be written.
    """
    _need_checkout(root)
    files = rendered(new)
    for path in files:
        if (root / path).exists():
            raise ConfigurationError(
                f"{root / path} exists and is left as it is; choose another name, or move it away"
            )
    modules = (f"drivers.{new.place.folder}.{new.slug}", f"sim_backend.wire.twins.{new.slug}")
    catalogues = {
        path: _with_module(root / path, module)
        for path, module in zip(_CATALOGUES, modules, strict=True)
    }
    try:
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            with (root / path).open("x", encoding="utf-8") as stream:
                stream.write(text)
        for path, text in catalogues.items():
            replace_files([(root / path, text.encode())])
    except OSError as error:
        raise OutputError(
            f"{error.filename or root} cannot be written: {error.strerror or error}; look at what "
            "was written, and begin again"
        ) from error
    made = [WrittenFile(path=path, what=_WHAT[name]) for name, path in new.paths().items()] + [
        WrittenFile(path=path, what="changed: knows the module") for path in catalogues
    ]
    return Written(model=new.full_name, files=tuple(made), next_steps=_next_steps(new))


def rendered(new: NewDriver) -> dict[str, str]:
    """The texts of all new files, by their paths from the checkout's root."""
    values = _values(new)
    folder, slug = new.place.folder, new.slug
    own = {
        f"drivers.{folder}.{slug}": ("MODELS", new.class_name),
        f"sim_backend.wire.twins.{slug}": ("MAKERS", f"{new.class_name}Twin"),
        f"tests.wire.{slug}": ("rig",),
    }
    environment = _environment()
    kind = environment.get_template(f"kinds/{new.place.name}.j2").make_module(values)
    texts = {}
    for name, path in new.paths().items():
        template = environment.get_template(f"{name}{Path(path).suffix}.j2")
        text = template.render({**values, "part": kind})
        texts[path] = with_imports(text, _without_itself(own, path)) if MARK in text else text
    return texts


def _values(new: NewDriver) -> dict[str, object]:
    """What the templates know."""
    place = new.place
    kind_text = str(place.kind.kind)
    return {
        "full_name": new.full_name,
        "maker": new.maker,
        "model": new.model,
        "slug": new.slug,
        "class_name": new.class_name,
        "article": "an" if kind_text[0] in "aeiou" else "a",
        "kind_text": kind_text,
        "kind_class": place.kind.__name__,
        "limits_class": place.limits,
        "part_class": place.part,
        "party": place.party,
        "role": place.role,
        "channels": place.channels,
        "backend": new.backend,
        "serial": new.backend == "serial",
        "paths": new.paths(),
    }


def _without_itself(own: dict[str, tuple[str, ...]], path: str) -> dict[str, tuple[str, ...]]:
    module = path.removesuffix(".py").replace("/", ".")
    return {name: names for name, names in own.items() if name != module}


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # What is made is Python and Markdown of the user's own, nothing that a browser shows.
    return Environment(
        loader=PackageLoader("veilight.scaffold", "templates"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _need_checkout(root: Path) -> None:
    project = root / "pyproject.toml"
    text = project.read_text(encoding="utf-8") if project.is_file() else ""
    missing = [path for path in _NEEDED if not (root / path).is_file()]
    if 'name = "veilight"' in text and not missing:
        return
    lacks = missing[0] if missing else "pyproject.toml of veilight"
    raise ConfigurationError(
        f"{root.resolve()} is no source checkout of veilight: it has no {lacks}; clone the "
        "project, and run this in its root or name it with --root"
    )


def _with_module(path: Path, module: str) -> str:
    """A catalogue with one more module, in alphabetical order."""
    text = path.read_text(encoding="utf-8")
    found = _MODULES.search(text)
    if found is None:
        raise ConfigurationError(
            f"{path}: MODULES is not written as one module per line; add {module!r} by hand"
        )
    lines = found[1].splitlines(keepends=True)
    line = f'    "{module}",\n'
    if line in lines:
        raise ConfigurationError(f"{path} knows {module!r} already; choose another name")
    listed = "".join(sorted([*lines, line]))
    return text[: found.start(1)] + listed + text[found.end(1) :]


def _next_steps(new: NewDriver) -> str:
    paths, kind = new.paths(), new.place.name.replace("-", "_")
    return "\n".join(
        (
            "Next, with the maker's sheet at hand (docs/add-a-driver.md walks through one):",
            f"1. {paths['driver']}: the commands, the identity, the limits.",
            f"2. {paths['twin']}: the same from the sheet, not from the driver.",
            "3. Both dialogues: the bytes of the sheet's examples.",
            f"4. python -m pytest {paths['test_driver']} {paths['test_twin']}",
            f"   python -m pytest tests/contract/instruments/test_{kind}_contract.py -k {new.slug}",
            '5. On the instrument itself: --hardware BENCH.toml. Then confidence="high".',
        )
    )

"""Which models there are: from (backend, model) to the factory that makes the instrument.

The registry is how a bench finds its drivers without knowing them: vendors' drivers and the
simulator register their models, the program composes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from drivers.bench.limits import InstrumentLimits
from drivers.bench.roles import Kind
from drivers.errors import ConfigurationError
from drivers.instruments import Clock, Instrument
from drivers.settings_files import nearest

if TYPE_CHECKING:
    from drivers.transports.pool import LinkPool

__all__ = [
    "BuildContext",
    "InstrumentEntry",
    "InstrumentFactory",
    "ModelRegistry",
    "RegisteredModel",
]


@dataclass(frozen=True, kw_only=True)
class InstrumentEntry:
    """An instrument as a bench file names it.

    Args:
        bench: name of the bench.
        party: `server` or `client`.
        role: place in the bench; the instrument's name.
        model: as registered.
        backend: `sim`, `visa` or `serial`.
        address: where the instrument is reached.
        serial: serial number that must answer; empty for any.
        channel: which port, slot or output of the box at the address the role uses, from 1.
        settings: what the model's own settings are, unchecked; the factory checks them.
    """

    bench: str
    party: str
    role: str
    model: str
    backend: str
    address: str
    serial: str
    channel: int = 1
    settings: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """What a factory needs beside the entry.

    Args:
        limits: the model's own limits, narrowed by the bench file; of the class that the model
            was registered with.
        clock: monotonic clock of the instrument's driver.
        links: the links to instruments, one per box.
        simulated: whether the file says that a simulation is behind its addresses.
    """

    limits: InstrumentLimits
    clock: Clock
    links: "LinkPool"
    simulated: bool = False


class InstrumentFactory(Protocol):
    """Makes a closed instrument."""

    def __call__(self, entry: InstrumentEntry, context: BuildContext) -> Instrument:
        """Make the instrument of an entry, closed, with `entry.role` as its name.

        Args:
            entry: what the bench file says.
            context: limits and clock to give to the instrument.

        Raises:
            ConfigurationError: a setting is unknown or out of range.
        """


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """A model: its kind, what it can do, and who makes it."""

    backend: str
    model: str
    kind: Kind
    limits: InstrumentLimits
    factory: InstrumentFactory


class ModelRegistry:
    """Models by backend and name, and the clock and links that their instruments live by.

    Args:
        clock: of all benches that are opened with this registry: real or simulated time.
        links: of all benches; new ones by default.
        dialogues: clock of the instruments' drivers; that of the benches by default. They differ
            where emulators run fast: their light settles sooner, but a line is no faster for it.
    """

    def __init__(
        self, clock: Clock, links: "LinkPool | None" = None, dialogues: Clock | None = None
    ) -> None:
        # Here, because a link names instruments of a bench in its messages.
        from drivers.transports.pool import LinkPool

        self.clock = clock
        self.dialogues = clock if dialogues is None else dialogues
        self.links = LinkPool(clock) if links is None else links
        self._models: dict[tuple[str, str], RegisteredModel] = {}

    def register(
        self,
        backend: str,
        model: str,
        kind: Kind,
        factory: InstrumentFactory,
        *,
        limits: InstrumentLimits,
    ) -> None:
        """Make a model known.

        Args:
            backend: `sim`, `visa` or `serial`.
            model: name as in bench files.
            kind: the abstract class that the factory's instruments are of.
            factory: makes the instruments.
            limits: what the model can do at most, from its data sheet.

        Raises:
            ConfigurationError: the model is registered already.
        """
        if (backend, model) in self._models:
            raise ConfigurationError(
                f"model {model!r} of backend {backend!r} is registered twice; give one of the two "
                "drivers another model name"
            )
        self._models[backend, model] = RegisteredModel(
            backend=backend, model=model, kind=kind, limits=limits, factory=factory
        )

    def models(self, backend: str, kind: Kind | None = None) -> tuple[str, ...]:
        """Names of the models of a backend, or of those of a kind, in alphabetical order."""
        found = [m for m in self._models.values() if m.backend == backend]
        return tuple(sorted(m.model for m in found if kind is None or issubclass(m.kind, kind)))

    def find(self, backend: str, model: str, kind: Kind, path: str) -> RegisteredModel:
        """The model that a bench file names.

        Args:
            backend: of the entry.
            model: of the entry.
            kind: class that the role needs.
            path: dotted path of the entry, for the messages.

        Raises:
            ConfigurationError: no such model, or one of another kind.
        """
        known = self.models(backend, kind)
        named = ", ".join(known) or "none"
        found = self._models.get((backend, model))
        if found is None:
            hint = nearest(model, known) or f"{kind.__name__} models known there are {named}"
            raise ConfigurationError(
                f"{path}.model is {model!r}, which backend {backend!r} does not know; {hint}"
            )
        if not issubclass(found.kind, kind):
            raise ConfigurationError(
                f"{path}.model is {model!r}, of kind {found.kind.__name__}; this role needs kind "
                f"{kind.__name__}, known are {named}"
            )
        return found

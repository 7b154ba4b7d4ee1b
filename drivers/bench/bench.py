"""A bench: all instruments of one party, opened in a safe order and always closed safe."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from drivers.bench.files import BenchFile
from drivers.bench.guard import Guard, Guarded, NotGuarded, Unguarded
from drivers.bench.limits import narrowed_limits
from drivers.bench.ownership import Claim, Ownership
from drivers.bench.registry import BuildContext, InstrumentEntry, ModelRegistry, RegisteredModel
from drivers.bench.roles import role_of
from drivers.bench.safe_state import HURRY_S, safe_order
from drivers.bench.safety import Safety
from drivers.bench.shield import uninterrupted
from drivers.bench.watchdog import Watchdog
from drivers.errors import ConfigurationError, InstrumentError, SafetyError, VeilightError
from drivers.instruments import Clock, Identity, Instrument

__all__ = ["Bench", "refuse_identity", "resolve_models"]

_LOG = logging.getLogger("veilight.safety")
_Kind = TypeVar("_Kind", bound=Instrument)


def resolve_models(file: BenchFile, registry: ModelRegistry) -> dict[str, BuildContext]:
    """Look up every model of a bench file and narrow its limits, without making an instrument.

    Args:
        file: the bench file.
        registry: the models that there are.

    Returns:
        By role, what its factory will be given.

    Raises:
        ConfigurationError: an unknown model, one of the wrong kind, or an impossible limit.
    """
    contexts = {}
    for role, entry in file.entries().items():
        try:
            model = _model(file, registry, entry)
            limits = narrowed_limits(
                model.limits,
                file.content.instruments[role].limits,
                f"instruments.{role}.limits",
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"{file.where}: {error}") from error.__cause__
        contexts[role] = BuildContext(
            limits=limits,
            clock=registry.dialogues,
            links=registry.links,
            simulated=file.simulated,
        )
    return contexts


def refuse_identity(entry: InstrumentEntry, identity: Identity) -> None:
    """Refuse an instrument that is not the one that the bench file names.

    Raises:
        InstrumentError: another serial number answered than the file has.
    """
    if entry.serial and entry.serial != identity.serial:
        raise InstrumentError(
            f"{entry.role}: at {entry.address} answers {identity.text!r}, but "
            f"instruments.{entry.role}.serial is {entry.serial!r}; two addresses may be exchanged"
        )


class Bench:
    """The instruments of one bench file by role. A context manager: `with` opens and closes it.

    On leaving, whatever the reason, every instrument is brought to its safe state in the safe
    order. Signals get there by the exception that they raise in the caller. While it is open, its
    instruments belong to this process alone, and its watchdog lives.

    Args:
        file: the bench file.
        instruments: closed instruments by role, named by their roles.
        clock: for settling times.
        ownership: claims the instruments that are not simulated in this process.
        watchdog: brings the bench to the safe state if this process cannot; may be shared.
    """

    def __init__(
        self,
        file: BenchFile,
        instruments: Mapping[str, Instrument],
        clock: Clock,
        *,
        ownership: Ownership | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._file = file
        self._instruments = dict(instruments)
        self._clock = clock
        self._ownership = Ownership() if ownership is None else ownership
        self._claims: list[Claim] = []
        self._watchdog = watchdog
        self._place = f"{file.party} {file.name}"
        guard: Guard = Unguarded()
        if watchdog is not None:
            guard = Guarded(watchdog, self._place)
        elif file.watched:
            guard = NotGuarded()
        self._safety = Safety(self._instruments, file.content.safety, clock, guard)
        for instrument in self._instruments.values():
            instrument.on_use(guard.alive)
            instrument.hurry_after_errors(HURRY_S)

    @classmethod
    def build(
        cls,
        file: BenchFile,
        registry: ModelRegistry,
        *,
        ownership: Ownership | None = None,
        watchdog: Watchdog | None = None,
    ) -> Self:
        """Make the closed instruments of a bench file.

        Args:
            file: the bench file.
            registry: the models that there are.
            ownership: claims the instruments that are not simulated in this process.
            watchdog: brings the bench to the safe state if this process cannot. Real instruments
                cannot be armed without, unless `safety.watchdog` is false.

        Raises:
            ConfigurationError: an unknown model, one of the wrong kind, an impossible limit or a
                setting that the model refuses.
        """
        contexts = resolve_models(file, registry)
        made = {}
        for role, entry in file.entries().items():
            try:
                made[role] = _model(file, registry, entry).factory(entry, contexts[role])
            except ConfigurationError as error:
                path = f"{file.where}: instruments.{role}"
                raise ConfigurationError(f"{path}: {error}") from error
        return cls(file, made, registry.clock, ownership=ownership, watchdog=watchdog)

    @property
    def file(self) -> BenchFile:
        """What the bench was made from."""
        return self._file

    @property
    def clock(self) -> Clock:
        """The clock that the bench lives by."""
        return self._clock

    @property
    def safety(self) -> Safety:
        """The order of light; use it for everything that switches light on."""
        return self._safety

    @property
    def simulated(self) -> bool:
        """Whether any instrument is simulated: then all results are."""
        simulated = any(instrument.simulated for instrument in self._instruments.values())
        return simulated or self._file.simulated

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """All instruments by role."""
        return dict(self._instruments)

    def has(self, role: str) -> bool:
        """Whether the role is filled."""
        return role in self._instruments

    def get(self, role: str, kind: Callable[..., _Kind]) -> _Kind:
        """The instrument in a role.

        Args:
            role: such as `laser`.
            kind: its class of `drivers.instruments`, such as `Laser`.

        Raises:
            ConfigurationError: the role is empty, or filled by another kind.
        """
        return role_of(self._instruments, role, kind)

    def open(self) -> None:
        """Open every instrument, safe state first of all, those that block light before lasers.

        Raises:
            OwnershipError: an instrument belongs to another process; nothing was opened.
            WatchdogError: the watchdog cannot be started; nothing was opened.
            InstrumentError: an instrument cannot be opened, or another one answered than the file
                names; all that were opened are closed again.
            SafetyError: an instrument did not reach its safe state.
        """
        entries = self._file.entries()
        try:
            for role in self._owned():
                self._claims.append(self._claim(role))
            if self._watchdog is not None:
                self._watchdog.hold(self._place, self._watchdog_lost)
            for role in safe_order(self._instruments, self._file.content.safety):
                identity = self._instruments[role].open()
                refuse_identity(entries[role], identity)
        except BaseException as error:
            self._close_after(error)
            raise

    def make_safe(self, reason: str = "make_safe() was called") -> None:
        """Drive everything to the safe state and latch it; see `Safety.make_safe`."""
        self._safety.make_safe(reason)

    def close(self) -> None:
        """Bring everything to the safe state, then close every instrument. Idempotent.

        A signal meanwhile waits until all is done. Where the safe state was not reached, the
        watchdog tries it too.

        Raises:
            SafetyError: instruments that did not reach their safe state; all are closed.
            InstrumentError: the connection to an instrument was not given back.
        """
        with uninterrupted("close the bench"):
            safe, helped = False, None
            try:
                failures = self._close_instruments()
                safe = not any(isinstance(failure, SafetyError) for failure in failures)
            finally:
                helped = self._let_go(safe)
            if failures:
                first = failures[0]
                for other in failures[1:]:
                    first.add_note(str(other))
                if not safe and helped is not None:
                    tried = "reached the safe state" if helped else "could not do it either"
                    raise SafetyError(f"{first}. The watchdog tried too, and {tried}") from first
                raise first

    def _close_instruments(self) -> list[VeilightError]:
        """Make all safe and close all; what failed, the worst first."""
        failures: list[VeilightError] = []
        try:
            if any(instrument.is_open for instrument in self._instruments.values()):
                self._safety.make_safe("the bench is closed")
        except SafetyError as error:
            failures.append(error)
        finally:
            for role in safe_order(self._instruments, self._file.content.safety):
                try:
                    self._instruments[role].close()
                except VeilightError as error:
                    failures.append(error)
        return failures

    @contextmanager
    def owning(self, role: str) -> Iterator[None]:
        """Own one instrument of a closed bench, to open it alone.

        Args:
            role: of the instrument.

        Raises:
            OwnershipError: it belongs to another process.
        """
        if role not in self._owned():
            yield
            return
        with self._claim(role):
            yield

    def _owned(self) -> list[str]:
        """The roles whose instruments other processes could reach too."""
        entries = self._file.entries()
        return [role for role in self._instruments if entries[role].backend != "sim"]

    def _claim(self, role: str) -> Claim:
        address = self._file.entries()[role].address
        return self._ownership.claim(address, role=role, bench=self._file.name)

    def _let_go(self, safe: bool) -> bool | None:
        """Nothing is open any more; what the watchdog achieved if it had to try."""
        while self._claims:
            self._claims.pop().release()
        return None if self._watchdog is None else self._watchdog.let_go(self._place, safe=safe)

    def _watchdog_lost(self, what: str) -> None:
        """In a thread of the watchdog: no light without it."""
        if not self._safety.is_latched:
            _LOG.critical("%s: %s", self._place, what)
            self._safety.make_safe(what)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._close_after(error)

    def _close_after(self, error: BaseException) -> None:
        """Close because of an error; a bench that is not safe matters more than the error."""
        try:
            self.close()
        except SafetyError as failure:
            raise failure from error
        except Exception as failure:
            error.add_note(str(failure))


def _model(file: BenchFile, registry: ModelRegistry, entry: InstrumentEntry) -> RegisteredModel:
    kind = file.roles[entry.role].kind
    return registry.find(entry.backend, entry.model, kind, f"instruments.{entry.role}")

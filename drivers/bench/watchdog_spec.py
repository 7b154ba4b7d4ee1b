"""What a watchdog is told: the benches, who makes them safe, and whom it watches.

Plain data, sent as one line of JSON: the watchdog is another process, which shares nothing with
the program that it watches.
"""

import json
from dataclasses import asdict, dataclass
from typing import Self

from drivers.errors import ConfigurationError

__all__ = ["SAFE_BY_FILES", "WatchdogOrders", "WatchdogSpec"]

SAFE_BY_FILES = "veilight.benches:safe_by_files"
"""Who makes benches safe unless a specification says otherwise."""


@dataclass(frozen=True, kw_only=True)
class WatchdogSpec:
    """What a watchdog does when it has to.

    Args:
        files: where a bench file is and its text, for every bench.
        safe: dotted path `module:name` of what makes them safe: it is called with `files` and
            returns what failed, by place; nothing means safe.
        hang_s: longest silence of the control loop with light on, in s.
        report: file that the outcome is written to, as JSON; empty for one in the user's runtime
            folder.
        end_hung: end a program that hangs: while it lives it holds the instruments.
        grace_s: time in s for the program to end in order after SIGTERM; then it is killed.
        attempts: how often what could not be made safe is tried.
    """

    files: tuple[tuple[str, str], ...]
    safe: str = SAFE_BY_FILES
    hang_s: float = 60.0
    report: str = ""
    end_hung: bool = True
    grace_s: float = 2.0
    attempts: int = 3

    def __post_init__(self) -> None:
        """Refuse what a watchdog could only find out when it is too late."""
        if not self.files or not all(text.strip() for _, text in self.files):
            raise ConfigurationError(
                "a watchdog needs the text of every bench file; load the benches from files"
            )
        if not all(value > 0 for value in (self.hang_s, self.grace_s, self.attempts)):
            raise ConfigurationError(
                f"a watchdog's hang_s {self.hang_s:g} s, grace_s {self.grace_s:g} s and attempts "
                f"{self.attempts} must be above 0"
            )
        module, _, name = self.safe.partition(":")
        if not module or not name:
            raise ConfigurationError(
                f"a watchdog's safe is {self.safe!r}; write module:name, as in {SAFE_BY_FILES}"
            )


@dataclass(frozen=True, kw_only=True)
class WatchdogOrders:
    """The first line that a watchdog reads.

    Args:
        spec: what to do.
        pid: number of the program to watch.
        start: its start, as `drivers.bench.processes.start_of` says it.
        timeout_s: longest time in s between two heartbeats.
    """

    spec: WatchdogSpec
    pid: int
    start: str
    timeout_s: float

    def to_json(self) -> str:
        """One line without its end."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """What `to_json` gave.

        Raises:
            ConfigurationError: it is something else.
        """
        try:
            values = json.loads(line)
            spec = values.pop("spec")
            files = tuple((str(where), str(text)) for where, text in spec.pop("files"))
            return cls(spec=WatchdogSpec(files=files, **spec), **values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(f"these are no orders for a watchdog: {error}") from error

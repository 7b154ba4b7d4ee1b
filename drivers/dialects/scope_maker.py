"""What makes a scope's driver out of its entry in a bench file."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.dialects.scope import Scope, ScopeSettings
from drivers.errors import ConfigurationError
from drivers.instruments import Clock, DigitiserLimits, Instrument
from drivers.transports.link import Link
from drivers.transports.settings import own_settings

__all__ = ["scope_maker"]

_TIMEOUT_S = 10.0
_Settings = TypeVar("_Settings", bound=ScopeSettings)
_Settings_contra = TypeVar("_Settings_contra", bound=ScopeSettings, contravariant=True)


class _ScopeDriver(Protocol[_Settings_contra]):
    """The driver of a scope, to be built."""

    def __call__(
        self,
        name: str,
        *,
        limits: DigitiserLimits,
        link: Link,
        clock: Clock | None,
        channel: int,
        settings: _Settings_contra | None,
        simulated: bool,
    ) -> Scope: ...


def scope_maker(
    driver: _ScopeDriver[_Settings], settings: _Settings, channels: int
) -> Callable[[InstrumentEntry, BuildContext], Instrument]:
    """What makes a scope out of its entry in a bench file.

    Args:
        driver: the class.
        settings: those that hold where the entry says nothing else.
        channels: inputs of the scope.

    Returns:
        The maker for the catalogue. It raises ConfigurationError for settings that the scope does
        not take, and for a trigger input that it does not have or that carries the detector.
    """

    def make(entry: InstrumentEntry, context: BuildContext) -> Instrument:
        assert isinstance(context.limits, DigitiserLimits)
        chosen = own_settings(settings, entry)
        trigger = chosen.trigger_channel
        if trigger > channels or trigger == entry.channel:
            raise ConfigurationError(
                f"instruments.{entry.role}.settings: trigger_channel is {trigger}, the detector is "
                f"on channel {entry.channel} of {channels}; plug the trigger line into another "
                "input"
            )
        return driver(
            entry.role,
            limits=context.limits,
            link=context.links.link(entry, timeout_s=_TIMEOUT_S),
            clock=context.clock,
            channel=entry.channel,
            settings=chosen,
            simulated=context.simulated,
        )

    return make

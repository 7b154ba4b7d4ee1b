"""What starts generators and digitisers."""

from enum import Enum

__all__ = ["Trigger"]


class Trigger(Enum):
    """What starts a play or a record."""

    IMMEDIATE = "immediate"
    """At once (digitisers only)."""
    SOFTWARE = "software"
    """A command to the instrument itself."""
    EXTERNAL = "external"
    """The bench's trigger line."""

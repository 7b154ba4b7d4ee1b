"""What a server does to its weights from query to query, and how it is written in one word."""

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass

from drivers.errors import ConfigurationError

__all__ = ["LARGEST_FACTOR", "Defences", "mean_of_log_uniform"]

LARGEST_FACTOR = 4.0
"""Of a random scale: beyond it the weakest rows drown in noise and the strongest cost the budget
sixteen times their share."""

MOST_DUMMIES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Defences:
    """Fresh choices for every block of samples, none of which changes the function.

    Args:
        permute: the hidden units come in a random order.
        rescale: every hidden unit is scaled by a random factor, log-uniform between the inverse of
            this and this; 1 for none.
        dummies: random rows at random places of every hidden layer, whose columns in the next
            layer are dark.
        photons: the photon number of a layer is drawn between its mean over this and its mean times
            this, log-uniform; 1 for none. Of a layer between two hidden ones, between and times
            the square.

    Raises:
        ConfigurationError: a value out of range.
    """

    permute: bool = False
    rescale: float = 1.0
    dummies: int = 0
    photons: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("rescale", self.rescale), ("photons", self.photons)):
            if not 1 <= value <= LARGEST_FACTOR:  # refuses NaN too
                raise ConfigurationError(
                    f"defence {name} is {value}, it must lie in [1, {LARGEST_FACTOR:g}]: the "
                    "largest random factor, 1 for none"
                )
        if not 0 <= self.dummies <= MOST_DUMMIES:
            raise ConfigurationError(
                f"defence dummies is {self.dummies}, it must lie in [0, {MOST_DUMMIES}]: rows per "
                "hidden layer"
            )

    @property
    def active(self) -> bool:
        """True unless everything is sent as it is."""
        return self.permute or self.dummies > 0 or self.rescale > 1 or self.photons > 1

    @property
    def text(self) -> str:
        """What `parse` reads, the same for equal settings; `none` for none."""
        parts = ["permute"] if self.permute else []
        parts += [f"rescale={self.rescale:g}"] if self.rescale > 1 else []
        parts += [f"dummies={self.dummies}"] if self.dummies else []
        parts += [f"photons={self.photons:g}"] if self.photons > 1 else []
        return ",".join(parts) or "none"

    @classmethod
    def parse(cls, text: str) -> "Defences":
        """Read `permute,rescale=1.5,dummies=8,photons=2`, or any part of it; `none` for none.

        Raises:
            ConfigurationError: an unknown word, one that stands twice, or a value out of range.
        """
        if text.strip() in ("", "none"):
            return cls()
        permute, found = False, dict[str, float]()
        for part in text.split(","):
            word, equals, value = part.strip().partition("=")
            if word not in _READERS and word != "permute":
                close = difflib.get_close_matches(word, ["permute", *_READERS], n=1)
                hint = f"did you mean {close[0]}?" if close else "known are " + _EXAMPLE
                raise ConfigurationError(f"defence {word!r} is unknown; {hint}")
            if word in found or (word == "permute" and permute):
                raise ConfigurationError(f"defence {word} stands twice in {text!r}")
            if word == "permute":
                if equals:
                    raise ConfigurationError("defence permute takes no value; write permute")
                permute = True
                continue
            try:
                found[word] = _READERS[word](value)
            except ValueError as error:
                raise ConfigurationError(
                    f"defence {part.strip()!r}: give a number, as in {_EXAMPLE}"
                ) from error
        return cls(
            permute=permute,
            rescale=found.get("rescale", 1.0),
            dummies=int(found.get("dummies", 0)),
            photons=found.get("photons", 1.0),
        )


_READERS: dict[str, Callable[[str], float]] = {"rescale": float, "dummies": int, "photons": float}
_EXAMPLE = "permute,rescale=1.5,dummies=8,photons=2"


def mean_of_log_uniform(largest: float, power: float = 1.0) -> float:
    """Mean of f^power with ln f uniform between -ln(largest) and ln(largest): sinh(u)/u.

    With u = power ln(largest); the same for 1/f.
    """
    u = power * math.log(largest)
    return math.sinh(u) / u if u else 1.0

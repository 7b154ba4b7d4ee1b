"""What a new driver is called, and where its files go."""

import re
from dataclasses import dataclass
from typing import Literal, Self, cast

from drivers.errors import ConfigurationError
from veilight.scaffold.kinds import KindPlace, kind_named

__all__ = ["NewDriver"]

_LONGEST = 20
_MAKER = re.compile(r"[A-Za-z][A-Za-z0-9]+(?: [A-Za-z0-9]+)*")
_MODEL = re.compile(r"[A-Za-z0-9]+(?:[ -][A-Za-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class NewDriver:
    """A driver that does not exist yet.

    Args:
        maker: letters, digits and spaces, a letter first, at most 20.
        model: letters, digits, spaces and hyphens, at most 20.
        place: its kind.
        backend: how it is reached.
    """

    maker: str
    model: str
    place: KindPlace
    backend: Literal["visa", "serial"]

    @classmethod
    def named(cls, name: str, *, maker: str | None, kind: str, backend: str) -> Self:
        """From what somebody types.

        Args:
            name: model; with its maker before it where `maker` is None.
            maker: None where it is the first word of the name.
            kind: such as `power-meter`.
            backend: `visa` or `serial`.

        Raises:
            ConfigurationError: a name that cannot be used, no such kind or backend.
        """
        if backend not in ("visa", "serial"):
            raise ConfigurationError(f"backend is {backend!r}; it must be visa or serial")
        first, _, rest = name.strip().partition(" ")
        who, what = (first, rest) if maker is None else (maker, name)
        who, what = (" ".join(one.split()) for one in (who, what))
        if not what:
            raise ConfigurationError(
                f"{name!r} has no model behind its maker; write 'Maker Model', or say --maker"
            )
        for text, pattern, word in ((who, _MAKER, "maker"), (what, _MODEL, "model")):
            if pattern.fullmatch(text) is None or len(text) > _LONGEST:
                raise ConfigurationError(
                    f"the {word} {text!r} cannot be used; take 1 to {_LONGEST} letters, digits and "
                    "single spaces (a maker has 2 at least and begins with a letter)"
                )
        return cls(
            maker=who,
            model=what,
            place=kind_named(kind),
            backend=cast('Literal["visa", "serial"]', backend),
        )

    @property
    def full_name(self) -> str:
        """As in bench files."""
        return f"{self.maker} {self.model}"

    @property
    def slug(self) -> str:
        """Name of its modules, such as `acme_lx100`."""
        return re.sub(r"[ -]+", "_", self.full_name.lower())

    @property
    def class_name(self) -> str:
        """Name of its class, such as `AcmeLX100`; never all capitals, as constants are."""
        words = re.split(r"[ -]+", self.model)
        maker = "".join(word.capitalize() for word in self.maker.split())
        return maker + "".join(word[0].upper() + word[1:] for word in words)

    def paths(self) -> dict[str, str]:
        """Where its files go, by their template's name, from the checkout's root."""
        slug, folder = self.slug, self.place.folder
        return {
            "driver": f"drivers/{folder}/{slug}.py",
            "twin": f"sim_backend/wire/twins/{slug}.py",
            "rig": f"tests/wire/{slug}.py",
            "test_driver": f"tests/unit/drivers/{folder}/test_driver_{slug}.py",
            "test_twin": f"tests/unit/sim_backend/wire/test_twin_{slug}.py",
            "page": f"docs/drivers/{slug}.md",
        }

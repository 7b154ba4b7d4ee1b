"""Who an instrument says it is."""

from dataclasses import dataclass

__all__ = ["Identity"]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who an instrument says it is: the four fields of `*IDN?`, or what stands in for them."""

    maker: str
    model: str
    serial: str
    firmware: str

    @property
    def text(self) -> str:
        """The four fields in one line."""
        return f"{self.maker} {self.model} {self.serial} {self.firmware}"

"""Options that the commands of `veilight reconstruct` share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["Kind", "Plots", "Seed", "Setting"]

Kind: TypeAlias = Annotated[
    str, typer.Option("--receiver", help="amplifier, feed-forward-tap or passive-tap.")
]
Setting: TypeAlias = Annotated[
    float, typer.Option("--setting", help="Gain of the amplifier or tapped fraction of a tap.")
]
Plots: TypeAlias = Annotated[Path | None, typer.Option("--plots", help="Folder for the pictures.")]
Seed: TypeAlias = Annotated[int, typer.Option("--seed", min=0, help="Makes the draws repeat.")]

"""An action of a watchdog that writes where only the watchdog may, as some libraries do."""

import sys
from collections.abc import Sequence

sys.stdout.write("1\nnot for you\n")
sys.stdout.flush()


def act(files: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Nothing to do."""
    del files
    return {}

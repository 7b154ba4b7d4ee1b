"""The imports of generated files: only what is used, in the project's order."""

from veilight.scaffold.imports import MARK, with_imports


def test_imports_are_those_of_the_names_that_are_used() -> None:
    code = "x = np.zeros(int(math.pi))\ny: Final = Call()\n"
    text = f'"""A text about Switch and Range."""\n\n{MARK}\n{code}'
    assert with_imports(text, {}) == (
        '"""A text about Switch and Range."""\n\n'
        "import math\n"
        "from typing import Final\n\n"
        "import numpy as np\n\n"
        "from sim_backend.wire.scpi_session import Call\n\n"
        f"{code}"
    )


def test_own_names_stand_in_the_order_of_their_module() -> None:
    text = f"{MARK}\nrig(MODELS, AcmeX1, Laser, Script)\n"
    assert with_imports(
        text, {"tests.wire.acme": ("rig",), "drivers.lasers.acme": ("AcmeX1", "MODELS")}
    ).splitlines()[:4] == [
        "from drivers.instruments import Laser",
        "from drivers.lasers.acme import MODELS, AcmeX1",
        "from tests.wire.acme import rig",
        "from tests.wire.scripted import Script",
    ]


def test_name_that_is_defined_is_not_imported() -> None:
    text = f"{MARK}\ndef block() -> None: ...\n\n\nblock()\n"
    assert "import" not in with_imports(text, {}).replace(MARK, "")


def test_long_import_has_one_name_per_line() -> None:
    names = [
        "Attenuator",
        "BiasController",
        "DigitiserSettings",
        "PolarisationController",
        "WaveformGenerator",
    ]
    lines = with_imports(f"{MARK}\nprint({', '.join(names)})\n", {}).splitlines()
    assert lines[0] == "from drivers.instruments import ("
    assert lines[1:7] == [*(f"    {name}," for name in names), ")"]

"""Names of a new driver, and the files that they lead to."""

import pytest

from drivers.errors import ConfigurationError
from veilight.scaffold import KINDS, NewDriver


def named(name: str, maker: str | None = None, kind: str = "laser") -> NewDriver:
    return NewDriver.named(name, maker=maker, kind=kind, backend="visa")


def test_first_word_is_the_maker_when_none_is_given() -> None:
    new = named("Acme LX-100 B")
    assert (new.maker, new.model) == ("Acme", "LX-100 B")
    assert new.full_name == "Acme LX-100 B"
    assert new.slug == "acme_lx_100_b"
    assert new.class_name == "AcmeLX100B"


def test_whole_name_is_the_model_when_a_maker_is_given() -> None:
    new = named("9X", maker="Blue  Box")
    assert (new.maker, new.model, new.class_name) == ("Blue Box", "9X", "BlueBox9X")


def test_class_is_no_constant_when_maker_and_model_are_capitals() -> None:
    assert not named("NKT X1").class_name.isupper()


@pytest.mark.parametrize(
    ("name", "maker", "wrong"),
    [
        ("Acme", None, "no model behind its maker"),
        ("", None, "no model behind its maker"),
        ("Acme LX/100", None, "'LX/100' cannot be used"),
        ('Acme X"', None, "cannot be used"),
        ("1Acme X1", None, "'1Acme' cannot be used"),
        ("A X1", None, "the maker 'A'"),
        ("X1", "", "the maker ''"),
        ("X" * 21, "Acme", "cannot be used"),
        ("LX-100", "Ac..me", "cannot be used"),
        ("LX{{ 1 }}", "Acme", "cannot be used"),
    ],
)
def test_name_is_refused_when_it_cannot_be_used(name: str, maker: str | None, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=wrong):
        named(name, maker)


def test_backend_is_refused_when_it_is_unknown() -> None:
    with pytest.raises(ConfigurationError, match="'gpib'; it must be visa or serial"):
        NewDriver.named("Acme X1", maker=None, kind="laser", backend="gpib")


def test_kind_is_refused_with_the_nearest_when_it_is_unknown() -> None:
    with pytest.raises(ConfigurationError, match="'lazer'; did you mean laser"):
        named("Acme X1", kind="lazer")


@pytest.mark.parametrize("said", ["power-meter", "power meter", "Power_Meter"])
def test_kind_is_found_however_its_words_are_joined(said: str) -> None:
    assert named("Acme X1", kind=said).place is KINDS["power-meter"]


def test_paths_follow_the_kinds_folder() -> None:
    assert named("Acme X1").paths() == {
        "driver": "drivers/lasers/acme_x1.py",
        "twin": "sim_backend/wire/twins/acme_x1.py",
        "rig": "tests/wire/acme_x1.py",
        "test_driver": "tests/unit/drivers/lasers/test_driver_acme_x1.py",
        "test_twin": "tests/unit/sim_backend/wire/test_twin_acme_x1.py",
        "page": "docs/drivers/acme_x1.md",
    }

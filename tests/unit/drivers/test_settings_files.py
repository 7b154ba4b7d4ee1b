"""What files of settings have in common: known keys and hints."""

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from drivers.bench.sections import FrameSection
from drivers.settings_files import explain, known_keys, nearest


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    power_w: float


class _Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    label: str = ""
    inner: _Inner | None = None
    named: dict[str, _Inner] = {}
    listed: tuple[_Inner, ...] = ()


def _explained(values: dict[str, object]) -> str:
    with pytest.raises(ValidationError) as caught:
        _Outer.model_validate(values)
    return explain(caught.value.errors()[0], _Outer)


def test_known_keys_go_through_names_lists_and_what_may_be_absent() -> None:
    assert known_keys(_Outer) == (
        "label",
        "inner",
        "inner.power_w",
        "named",
        "named.<name>.power_w",
        "listed",
        "listed.<name>.power_w",
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"labl": 1}, "unknown key labl; did you mean label?"),
        (
            {"named": {"x": {"power_w": 1, "powr_w": 1}}},
            "unknown key named.x.powr_w; did you mean named.x.power_w?",
        ),
        (
            {"listed": [{"power_w": 1, "power": 1}]},
            "unknown key listed.0.power; did you mean listed.0.power_w?",
        ),
        (
            {"power_w": 1},
            "unknown key power_w; did you mean inner.power_w or named.<name>.power_w or "
            "listed.<name>.power_w?",
        ),
        ({"zzz": 1}, "unknown key zzz; known are label, inner, named, listed"),
        ({"inner": {}}, "inner.power_w is missing; it has no default"),
        ({"inner": 3}, "inner is 3, it must be a section: write [inner]"),
        ({"named": 3}, "named is 3, it must be a section: write [named]"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_explain_names_the_path_and_the_key_that_was_meant(
    values: dict[str, object], message: str
) -> None:
    assert _explained(values) == message


def test_nearest_is_none_when_no_name_is_near() -> None:
    assert nearest("zzz", ["laser"]) is None
    assert nearest("lser", ["laser"], "instruments.") == "did you mean instruments.laser?"


def test_frame_section_makes_the_burst_format_of_its_values() -> None:
    frame = FrameSection(pilot_spacing=4, samples_per_symbol=16, preamble_slots=127)
    made = frame.burst_format()
    assert (made.pilot_spacing, made.samples_per_symbol, made.preamble_slots) == (4, 16, 127)
    assert made.pulse.samples_per_symbol == 16
    assert frame.sample_rate_hz == 1.6e9

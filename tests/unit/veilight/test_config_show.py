"""The configuration as text: complete, explained, and the same after reading it back."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from veilight.config import (
    Configuration,
    configuration_to_toml,
    default_configuration,
    load_configuration,
    override,
)


def _read_back(tmp_path: Path, configuration: Configuration) -> Configuration:
    path = tmp_path / "shown.toml"
    path.write_text(configuration_to_toml(configuration), encoding="utf-8")
    return load_configuration(path)


def _settings(section: type[BaseModel]) -> list[str]:
    names = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += _settings(kind)
        else:
            names.append(name)
    return names


def test_configuration_to_toml_reads_back_the_same_when_all_is_default(tmp_path: Path) -> None:
    assert _read_back(tmp_path, default_configuration()) == default_configuration()


def test_configuration_to_toml_reads_back_the_same_when_much_is_changed(tmp_path: Path) -> None:
    changed = override(
        default_configuration(),
        {
            "link.receiver": "passive-tap",
            "link.receiver_setting": 1 / 3,
            "link.symbol_rate_hz": 2.5e-7,
            "link.client.converter_bits": 12,
            "link.server.efficiency": 0.9999999999999999,
            "protocol.photons_per_symbol": (0.1, 2.0, 1e-12),
            "protocol.full_return": True,
            "ledger.budget_bits_per_weight": 0.1,
            "leakage.probe_photons_per_mode": 0.0,
            "report.title": 'Quote " backslash \\ tab \t line \n bell \x07 del \x7f umlaut ü 光',
        },
    )
    assert _read_back(tmp_path, changed) == changed
    assert changed != default_configuration()


@given(title=st.text(st.characters(exclude_categories=["Cs"])))
def test_configuration_to_toml_escapes_any_title(title: str) -> None:
    shown = configuration_to_toml(override(default_configuration(), {"report.title": title}))
    assert tomllib.loads(shown)["report"]["title"] == title


def test_configuration_to_toml_shows_every_setting_with_an_explanation() -> None:
    lines = configuration_to_toml(default_configuration()).splitlines()
    for name in _settings(Configuration):
        shown = [line for line in lines if line.removeprefix("# ").startswith(f"{name} = ")]
        assert shown, name
        assert all(len(line.rpartition("# ")[2]) > 10 for line in shown), name


def test_configuration_to_toml_writes_examples_that_are_accepted(tmp_path: Path) -> None:
    text = configuration_to_toml(default_configuration())
    wanted = "budget_bits_per_weight", "data_budget_bits_per_input", "probe_photons_per_mode"
    for name in wanted:
        assert f"# {name} = " in text
        text = text.replace(f"# {name} = ", f"{name} = ")
    path = tmp_path / "filled.toml"
    path.write_text(text, encoding="utf-8")
    configuration = load_configuration(path)
    assert configuration.ledger.budget_bits_per_weight == pytest.approx(0.1)
    assert configuration.leakage.probe_photons_per_mode == pytest.approx(0.01)

"""Reading a configuration: what is accepted, and what every mistake is answered with."""

import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.errors import ConfigurationError
from drivers.receivers import FeedForwardTap
from protocol.models import recipes
from protocol.models.training import TrainingSettings
from sim_backend.settings import DetectorSettings, LinkSettings
from veilight.config import (
    Configuration,
    default_configuration,
    load_configuration,
    override,
)


def _load(tmp_path: Path, text: str) -> Configuration:
    path = tmp_path / "veilight.toml"
    path.write_text(text, encoding="utf-8")
    return load_configuration(path)


def test_load_configuration_gives_the_defaults_when_no_file_is_named() -> None:
    assert load_configuration(None) == default_configuration()


def test_default_configuration_is_the_link_of_the_lower_floors() -> None:
    assert default_configuration().link.settings() == LinkSettings()


@pytest.mark.parametrize(
    ("samples", "architecture", "recipe"),
    [
        (1438, "mlp", recipes.DIGITS),
        (60_000, "mlp", recipes.MNIST_FAINT),
        (1438, "cnn", recipes.DIGITS_CNN),
        (60_000, "transformer", recipes.MNIST_TRANSFORMER),
    ],
)
def test_training_takes_from_a_recipe_what_is_not_set(
    samples: int, architecture: str, recipe: TrainingSettings
) -> None:
    usual = default_configuration().training.settings(samples, architecture)
    assert usual == replace(recipe, signal_to_noise=(), seed=0)


def test_training_keeps_what_is_set(tmp_path: Path) -> None:
    configuration = _load(tmp_path, "[training]\nepochs = 7\nlearning_rate = 0.5\n")
    chosen = configuration.training.settings(1438, "mlp")
    assert (chosen.epochs, chosen.learning_rate) == (7, 0.5)
    assert chosen.batch_size == recipes.DIGITS.batch_size


def test_configuration_covers_every_setting_of_link_detector_and_training() -> None:
    def names(kind: type) -> set[str]:
        return {field.name for field in dataclasses.fields(kind)}

    configuration = default_configuration()
    link = set(configuration.link.model_dump())
    # The receiver has a setting beside its name; a seed is no property of a link.
    assert link - {"receiver_setting"} == names(LinkSettings) - {"seed"}
    assert set(configuration.link.client.model_dump()) == names(DetectorSettings)
    assert set(configuration.training.model_dump()) == names(TrainingSettings)


def test_load_configuration_maps_values_to_the_link_when_given(tmp_path: Path) -> None:
    configuration = _load(
        tmp_path,
        """
        [link]
        receiver = "feed-forward-tap"
        receiver_setting = 0.25
        symbol_rate_hz = 1000000
        [link.client]
        efficiency = 0.9
        [link.server]
        electronic_noise_snu = 0.02
        [protocol]
        photons_per_symbol = [1, 0.5]
        """,
    )
    link = configuration.link.settings(seed=7)
    assert link.receiver == FeedForwardTap(tap_fraction=0.25)
    assert link.symbol_rate_hz == 1e6
    assert (link.client.efficiency, link.server.electronic_noise_snu) == (0.9, 0.02)
    assert link.server.efficiency == 1.0
    assert link.seed == 7
    assert configuration.protocol.photons_per_symbol == (1.0, 0.5)


@pytest.mark.parametrize(
    ("text", "path", "hint"),
    [
        ('[link]\nreciever = "amplifier"', "link.reciever", "link.receiver?"),
        ("[link.client]\nefficency = 0.4", "link.client.efficency", "link.client.efficiency?"),
        ("[link]\nvisibility = 0.4", "link.visibility", "link.client.visibility or link.server.v"),
        (
            "[ledger]\nbudget = 1.0",
            "ledger.budget",
            "known are budget_bits_per_weight, against_memory",
        ),
        ("[liink]\n", "liink", "did you mean link?"),
        ("[zzz]\n", "zzz", "known are link, protocol, ledger, leakage, training, report"),
    ],
)
def test_load_configuration_names_path_and_nearest_key_when_a_key_is_unknown(
    tmp_path: Path, text: str, path: str, hint: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _load(tmp_path, text)
    message = str(caught.value)
    assert f"unknown key {path};" in message
    assert hint in message
    assert str(tmp_path / "veilight.toml") in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[link]\nexcess_noise_snu = nan", "link.excess_noise_snu is nan"),
        ("[protocol]\nphotons_per_symbol = [1.0, nan]", "protocol.photons_per_symbol.1 is nan"),
        ("[protocol]\nphotons_per_symbol = [0.0]", "protocol.photons_per_symbol.0 is 0.0"),
        ("[protocol]\nphotons_per_symbol = [-1.0]", "protocol.photons_per_symbol.0 is -1.0"),
        ("[protocol]\nphotons_per_symbol = 2", "protocol.photons_per_symbol is 2"),
        ("[protocol]\nsignal_to_noise = [inf]", "protocol.signal_to_noise.0 is inf"),
        ("[link]\nreceiver_setting = 1.0", "[link] receiver amplifier: gain is 1.0"),
        (
            '[link]\nreceiver = "passive-tap"\nreceiver_setting = 1.5',
            "[link] receiver passive-tap: tap_fraction is 1.5",
        ),
        ('[link]\nreceiver = "laser"', "receiver 'laser' is unknown"),
        ("[link.server]\nefficiency = 0.0", "[link.server] efficiency is 0.0"),
        ("[link]\nmodes_per_frame = 2.5", "link.modes_per_frame is 2.5"),
        ("[training]\nepochs = true", "training.epochs is True"),
        ('[training]\nschedule = "linear"', "training.schedule is 'linear'"),
        ('[protocol]\nencoding = "polar"', "protocol.encoding is 'polar'"),
        ("[protocol]\nfalse_alarm = 0.5", "protocol.false_alarm is 0.5"),
        ("[ledger]\nbudget_bits_per_weight = 0", "ledger.budget_bits_per_weight is 0"),
        ("link = 3", "link is 3, it must be a section: write [link]"),
        (
            "[protocol]\nphotons_per_symbol = [1.0]\nsignal_to_noise = [1.0]",
            "are both given; give one of them",
        ),
        ("[link", "is not valid TOML"),
        ("[link]\nmodes_per_frame = " + "9" * 5000, "is not valid TOML"),
    ],
)
def test_load_configuration_names_the_value_when_it_cannot_be_used(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _load(tmp_path, text)
    assert expected in str(caught.value)


def test_load_configuration_refuses_a_file_that_is_missing_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml cannot be read: No such file"):
        load_configuration(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_configuration(tmp_path)
    (tmp_path / "large.toml").write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(ConfigurationError, match="larger than 1048576 bytes"):
        load_configuration(tmp_path / "large.toml")
    (tmp_path / "latin.toml").write_bytes(b'[report]\ntitle = "\xe9"')
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        load_configuration(tmp_path / "latin.toml")


def test_override_changes_only_what_it_is_told_and_checks_it() -> None:
    base = default_configuration()
    changed = override(base, {"link.receiver_setting": 3.0, "protocol.signal_to_noise": (1.0,)})
    assert changed.link.receiver_setting == 3.0
    assert changed.protocol.signal_to_noise == (1.0,)
    assert changed.link.client == base.link.client
    assert base.link.receiver_setting == 2.0
    with pytest.raises(ConfigurationError, match=r"gain is 0\.5"):
        override(base, {"link.receiver_setting": 0.5})
    with pytest.raises(ConfigurationError, match=r"unknown key link\.gain"):
        override(base, {"link.gain": 3.0})

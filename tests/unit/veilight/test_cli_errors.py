"""How errors end the program: one line, the right status, a traceback only on request."""

import importlib
import re

import pytest

from drivers import errors
from veilight.cli import main
from veilight.cli._exit_codes import EXIT_CODES_TEXT, ExitCode, exit_code_for

cli = importlib.import_module("veilight.cli")


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(_: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "_run", fail)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ConfigurationError, 2),
        (errors.DataError, 3),
        (errors.ModelError, 3),
        (errors.LedgerError, 4),
        (errors.BudgetError, 4),
        (errors.VerificationError, 5),
        (errors.OutputError, 6),
        (errors.OpticsError, 7),
        (errors.LimitError, 7),
        (errors.ProtocolError, 7),
        (errors.VeilightError, 1),
        (ZeroDivisionError, 1),
        (KeyboardInterrupt, 130),
    ],
)
def test_main_ends_with_the_documented_status_and_one_line_when_something_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: type[BaseException],
    code: int,
) -> None:
    monkeypatch.delenv("VEILIGHT_TRACEBACK", raising=False)
    _fail_with(monkeypatch, kind("what went\nwrong"))
    assert main([]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(_lines(captured.err)) == 1
    assert captured.err.startswith("veilight: ")
    if kind is not KeyboardInterrupt:
        assert "what went wrong" in captured.err


def test_every_error_of_the_tree_has_a_status_of_its_own_kind() -> None:
    for name in errors.__all__:
        code = exit_code_for(getattr(errors, name)("x"))
        assert (code == ExitCode.UNEXPECTED) == (name == "VeilightError")


def test_main_shows_the_traceback_when_asked_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VEILIGHT_TRACEBACK", "1")
    _fail_with(monkeypatch, errors.DataError("broken"))
    assert main([]) == 3
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_main_names_the_variable_when_the_error_is_unexpected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("VEILIGHT_TRACEBACK", raising=False)
    _fail_with(monkeypatch, KeyError("x"))
    assert main([]) == 1
    assert "unexpected KeyError" in (message := capsys.readouterr().err)
    assert "VEILIGHT_TRACEBACK=1" in message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["infr"], "Did you mean 'infer'?"),
        (["infer"], "Missing argument"),
        (["train"], "Missing option"),
        (["demo", "--speed"], "No such option"),
        (["demo", "--seed", "x"], "'--seed'"),
        (["infer", "m.onnx", "--samples", "0"], "--samples"),
        (["config"], "Missing command"),
        (["attack", "--trials", "3"], "See `veilight attack --help`."),
        (["frontier", "sho"], "See `veilight frontier --help`."),
    ],
)
def test_main_ends_with_2_and_one_line_when_the_usage_is_wrong(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert len(_lines(captured.err)) == 1
    assert expected in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("group", ["certify", "frontier", "reconstruct"])
def test_main_ends_with_2_and_its_help_alone_when_a_group_has_no_command(
    capsys: pytest.CaptureFixture[str], group: str
) -> None:
    assert main([group]) == 2
    captured = capsys.readouterr()
    assert f"Usage: veilight {group}" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize("arguments", [[], ["--help"], ["infer", "--help"]])
def test_main_helps_when_asked_or_when_nothing_is_given(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "Usage: veilight" in captured.out
    assert captured.err == ""


def test_help_documents_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert EXIT_CODES_TEXT in shown
    documented = {int(number) for number in re.findall(r"\b(\d+) [a-z]", EXIT_CODES_TEXT)}
    assert documented == {code.value for code in ExitCode}


def test_main_prints_the_version_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"veilight \d+\.\d+\.\d+\n", capsys.readouterr().out)

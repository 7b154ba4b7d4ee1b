import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from drivers.errors import OutputError
from drivers.receivers import PassiveTap
from protocol.models.graph import Graph, Linear, Relu
from protocol.models.model import LayerWeights, Model
from sim_backend.adversaries import HONEST, keeps_fraction
from sim_backend.settings import LinkSettings
from veilight.report import write_report
from veilight.report._page import render_page
from veilight.runs import InferenceRequest, RunResult, run_inference

SAMPLES = 60
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """The visible words, headings, links and tags of a page; fails on tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        assert self.open == []
        self.words = " ".join(" ".join(self.pieces).replace("\N{NO-BREAK SPACE}", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"style", "title"} & set(self.open):
            return
        self.pieces.append(data)
        if {"td", "th"} & set(self.open):
            cell = f"{self.rows[-1][-1]} {data}".replace("\N{NO-BREAK SPACE}", " ")
            self.rows[-1][-1] = " ".join(cell.split())

    def row(self, heading: str) -> list[str]:
        """Cells after the heading of the first row whose heading begins so."""
        return next(row[1:] for row in self.rows if row and row[0].startswith(heading))


def small_model() -> Model:
    generator = torch.Generator().manual_seed(1)
    graph = Graph(
        input_shape=(12,),
        layers=(Linear(inputs=12, outputs=8), Relu(), Linear(inputs=8, outputs=3)),
    )
    weights = {
        index: LayerWeights(
            weight=torch.randn(rows, columns, generator=generator),
            bias=torch.randn(rows, generator=generator),
        )
        for index, rows, columns in ((0, 8, 12), (2, 3, 8))
    }
    return Model(graph=graph, weights=weights)


def run(**changes: Any) -> RunResult:
    inputs = torch.randn(SAMPLES, 12, generator=torch.Generator().manual_seed(2))
    values: dict[str, Any] = {
        "model": small_model(),
        "inputs": inputs,
        "labels": np.arange(SAMPLES) % 3,
        "link": LinkSettings(seed=4, device="cpu"),
        "photons_per_symbol": (50.0, 50.0),
        "samples_per_block": 20,
        "title": "A session",
        "data_name": "numbers",
    }
    return run_inference(InferenceRequest(**(values | changes)))


@pytest.fixture(scope="module")
def honest() -> RunResult:
    return run()


@pytest.fixture(scope="module")
def dishonest() -> RunResult:
    return run(behaviour=keeps_fraction(0.5), title="A thief's session")


@pytest.fixture(scope="module")
def nothing_returned() -> RunResult:
    link = LinkSettings(seed=4, device="cpu", receiver=PassiveTap(tap_fraction=1.0))
    return run(link=link)


def page_of(*results: RunResult, title: str = "Report") -> Page:
    return Page(render_page(results, title))


def test_page_says_accepted_with_accuracy_and_interval_when_honest(honest: RunResult) -> None:
    page = page_of(honest)
    assert honest.accuracy is not None
    hits = round(honest.accuracy * SAMPLES)
    assert "Accepted The light that came back passed the server's tests in all 6" in page.words
    assert f"{hits} of {SAMPLES} right; 95 % interval" in page.words
    assert "SIMULATED No light was sent." in page.words


def test_page_names_every_adversary_with_its_kind_when_rendered(honest: RunResult) -> None:
    page = page_of(honest)
    for figure in (*honest.weights_leaked, *honest.data_leaked):
        cells = page.row(f"{figure.adversary} {figure.assumptions}")
        assert figure.worst_layer in cells[0]
        kind = cells[-1]
        assert kind.startswith("Upper bound" if figure.upper_bound else "Not an upper bound")
        wanted = "asymptotic" if figure.confidence is None else "with confidence 99.9999 %"
        assert wanted in kind


def test_page_shows_both_numbers_of_queries_when_weights_leak(honest: RunResult) -> None:
    page = page_of(honest)
    name = "client or thief keeping all the light"
    cells = page.row(name)
    now = next(f for f in honest.weights_leaked if f.adversary == name)
    later = next(f for f in honest.weights_leaked_at_10000 if f.adversary == name)
    for cell, bits in (
        (cells[1], now.mean_bits_per_symbol),
        (cells[4], later.mean_bits_per_symbol),
    ):
        shown = float(cell.removesuffix(" bit"))
        assert bits <= shown <= bits * 1.01
    assert f"After this run ({SAMPLES} queries)" in page.words


def test_page_says_aborted_and_why_when_the_client_keeps_light(dishonest: RunResult) -> None:
    page = page_of(dishonest)
    assert not dishonest.accepted
    assert "Aborted The server refused" in page.words
    assert "1 of 6 planned blocks" in page.words
    assert "The verdict is right: the tampering was caught." in page.words
    assert "the session was aborted before a classification was given out" in page.words
    assert "There is no confusion matrix: the session was aborted" in page.words
    assert "No product of this layer was measured before the session ended." in page.words
    assert "The session ended before layer 2 (3 x 9) was sent." in page.words
    assert "Tests that failed" in page.words


def test_page_warns_when_an_honest_client_was_refused(dishonest: RunResult) -> None:
    request = replace(dishonest.request, behaviour=HONEST)
    assert "a false alarm" in page_of(replace(dishonest, request=request)).words


def test_page_warns_when_tampering_went_unnoticed(honest: RunResult) -> None:
    request = replace(honest.request, behaviour=keeps_fraction(0.001))
    assert "NOT noticed" in page_of(replace(honest, request=request)).words


def test_page_does_not_say_accepted_when_nothing_can_be_verified(
    nothing_returned: RunResult,
) -> None:
    page = page_of(nothing_returned)
    assert nothing_returned.accepted
    assert "Accepted" not in page.words
    assert "Nothing verified The session ran to its end" in page.words
    assert (
        "Nothing was tested: an honest client with this receiver gives no light back" in page.words
    )
    assert "0 bit per data value the light tells nothing" in page.words


def test_page_says_so_when_there_are_no_labels() -> None:
    page = page_of(run(labels=None))
    assert "unknown 60 samples without true classes to compare with" in page.words
    assert "There is no confusion matrix: the true classes are not known." in page.words


def test_page_shows_the_confusion_matrix_when_classes_are_few(honest: RunResult) -> None:
    assert honest.confusion is not None
    page = page_of(honest)
    for true in range(3):
        cells = next(row[1:] for row in page.rows if row[0] == str(true) and len(row) == 5)
        assert [0 if cell == "·" else int(cell) for cell in cells[:3]] == list(
            honest.confusion[true]
        )


def test_page_lists_mistakes_when_classes_are_many(honest: RunResult) -> None:
    confusion = np.diag(np.full(30, 5))
    confusion[7, 11] = 4
    page = page_of(replace(honest, confusion=confusion))
    assert "Most frequent mistakes of 30 classes" in page.words
    assert page.row("7") == ["11", "4"]


def test_page_describes_the_light_of_each_layer(honest: RunResult) -> None:
    rows = page_of(honest).rows
    cells = next(row for row in rows if row[0] == "layer 0 (8 x 13) real encoding")
    _, photons, per_weight, _, symbols, per_query, all_symbols = cells
    assert (photons, per_weight, symbols) == ("50.0", "50.0", "104")
    assert per_query == "5,200"
    assert all_symbols == f"{104 * SAMPLES:,}"


def test_page_compares_measured_and_expected_return(honest: RunResult) -> None:
    page = page_of(honest)
    row = next(row for row in page.rows if len(row) == 8 and row[0] == "layer 0 (8 x 13)")
    gain, expected_gain, x, expected_x, p, expected_p = map(float, row[1:7])
    assert gain == pytest.approx(expected_gain, abs=0.01)
    assert x == pytest.approx(expected_x, abs=0.1)
    assert p == pytest.approx(expected_p, abs=0.1)
    # Amplifier of gain 2: 2 (1 - 1/2) SNU more in one of 13 modes.
    assert expected_x == pytest.approx(1 + 1 / 13, abs=2e-4)


@pytest.mark.parametrize(
    ("budget", "lifted", "words"),
    [
        (None, False, "No budget was set"),
        (40.0, False, "The budget is 40.0 bit per weight."),
        (40.0, True, "was LIFTED for this evaluation"),
        (None, True, "(none was set) was LIFTED"),
    ],
)
def test_page_says_how_the_budget_stood(
    honest: RunResult, budget: float | None, lifted: bool, words: str
) -> None:
    changed = replace(honest, budget_bits_per_weight=budget, budget_lifted=lifted)
    assert words in page_of(changed).words


def test_page_says_how_long_the_light_takes_at_other_rates(honest: RunResult) -> None:
    page = page_of(honest)
    symbols = honest.symbols_sent
    assert symbols == SAMPLES * (8 * 13 + 3 * 9)
    assert page.row("100 MHz")[0] == "78.6 µs"
    assert page.row("1 GHz as configured")[0] == "7.86 µs"
    assert page.row("10 GHz")[0] == "786 ns"


def test_page_records_settings_and_versions(honest: RunResult) -> None:
    page = page_of(honest)
    assert page.row("seed") == ["4"]
    assert page.row("receiver") == ["amplifier, gain 2"]
    assert page.row("client, efficiency") == ["1"]
    assert page.row("server, converter range") == ["16 SNU"]
    assert page.row("model digest") == [honest.request.model.digest]
    assert page.row("torch") == [honest.versions["torch"]]


def test_page_has_an_overview_with_anchors_when_there_are_several_results(
    honest: RunResult, dishonest: RunResult
) -> None:
    page = page_of(honest, dishonest)
    targets = [attrs["id"] for tag, attrs in page.tags if tag == "section"]
    links = [str(attrs["href"]) for tag, attrs in page.tags if tag == "a"]
    assert links == ["#session-1", "#session-2"]
    assert {link.removeprefix("#") for link in links} <= set(targets)
    assert page.row("A thief's session")[0].startswith("Aborted block 1: gain")
    assert not [attrs for tag, attrs in page_of(honest).tags if tag == "nav"]


def test_page_marks_only_simulated_sessions_when_they_are_mixed(honest: RunResult) -> None:
    real = replace(honest, simulated=False)
    assert "SIMULATED" not in page_of(real).words
    mixed = page_of(real, honest).words
    assert "Sessions marked SIMULATED" in mixed
    assert "No light was sent. Every" not in mixed


def test_page_asks_for_nothing_from_outside(honest: RunResult, dishonest: RunResult) -> None:
    html = render_page([honest, dishonest], "Report")
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & {
        t for t, _ in page.tags
    }
    for forbidden in ("http://", "https://", "url(", "@import", "src="):
        assert forbidden not in html
    policies = [a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_page_escapes_text_from_outside(honest: RunResult) -> None:
    evil = "<script>alert('x')</script>&\""
    request = replace(
        honest.request,
        title=evil,
        data_name=evil,
        behaviour=replace(HONEST, name=evil),
    )
    result = replace(honest, request=request, versions={"veilight": evil, evil: evil})
    html = render_page([result, result], evil)
    assert "<script" not in html
    assert Page(html).words.count("<script>alert('x')</script>&\"") >= 6


def test_write_report_returns_the_path_of_the_page(tmp_path: Path, honest: RunResult) -> None:
    path = tmp_path / "page.html"
    assert write_report(path, [honest], "Title") == path
    assert "<h1>Title</h1>" in path.read_text(encoding="utf-8")
    with pytest.raises(OutputError, match="exists already"):
        write_report(path, [honest], "Other")
    write_report(path, [honest], "Other", overwrite=True)
    assert "<h1>Other</h1>" in path.read_text(encoding="utf-8")


def test_importing_the_report_loads_nothing_heavy() -> None:
    code = (
        "import sys, veilight.report; print(sorted({'torch','scipy','jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Who owns an instrument, across processes: refusals, ends of owners, folders of others."""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.bench.check import check_bench
from drivers.bench.ownership import Ownership, runtime_folder
from drivers.errors import InstrumentError, OwnershipError
from tests.unit.drivers.bench.paper_bench import Paper, paper_bench, server_table
from tests.unit.drivers.bench.real_paper import real_bench
from tests.wire.scripted import ScriptedClock

HOLD = """
import os, sys
from pathlib import Path
from drivers.bench.ownership import Ownership
ownership = Ownership(Path(sys.argv[1]))
claim = ownership.claim(sys.argv[2], role="laser", bench="other")
{more}
print("held", flush=True)
sys.stdin.read()
"""
FORK = """
reading, writing = os.pipe()
child = os.fork()
if not child:
    try:
        claim.release()
        os.write(writing, b"x")
        sys.stdin.read()
    finally:
        os._exit(0)
os.read(reading, 1)
"""

Holder = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    """Starts another process that owns an address until it ends; ends it after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(address: str, more: str = "") -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", HOLD.format(more=more), str(tmp_path / "locks"), address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "locks"


def test_claim_names_owner_and_remedy_when_another_process_owns_it(
    holder: Holder, folder: Path
) -> None:
    other = holder("GPIB0::4::INSTR")
    with pytest.raises(OwnershipError) as caught:
        Ownership(folder).claim("gpib0::4::instr ", role="laser", bench="mine")
    text = str(caught.value)
    assert text.startswith(
        f"laser: the instrument at gpib0::4::instr  belongs to process {other.pid} (-c "
    )
    assert "bench 'other', since 20" in text
    assert text.endswith(f"; end process {other.pid}, or wait for it")
    Ownership(folder).claim("GPIB0::5::INSTR", role="laser", bench="mine").release()


def test_claim_takes_over_and_says_so_when_the_owner_was_killed(
    holder: Holder, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = holder("GPIB0::4::INSTR")
    other.kill()
    other.wait()
    with caplog.at_level(logging.WARNING, "veilight.bench"):
        Ownership(folder).claim("GPIB0::4::INSTR", role="laser", bench="mine").release()
        assert [record.getMessage() for record in caplog.records] == [
            f"laser: GPIB0::4::INSTR belonged to process {other.pid}, which has ended; taken over"
        ]
        # What was released in order leaves nothing to take over.
        Ownership(folder).claim("GPIB0::4::INSTR", role="laser", bench="mine").release()
        assert len(caplog.records) == 1


def test_claim_is_free_when_only_a_fork_of_the_owner_is_left(holder: Holder, folder: Path) -> None:
    # The fork lives, has all open files of its parent, and even tries to release the claim.
    other = holder("GPIB0::4::INSTR", more=FORK)
    with pytest.raises(OwnershipError, match="belongs to process"):
        Ownership(folder).claim("GPIB0::4::INSTR", role="laser", bench="mine")
    other.kill()
    other.wait()
    Ownership(folder).claim("GPIB0::4::INSTR", role="laser", bench="mine").release()


def test_claim_waits_for_an_owner_that_is_about_to_end(holder: Holder, folder: Path) -> None:
    other = holder("GPIB0::4::INSTR")

    class Clock(ScriptedClock):
        def sleep(self, duration_s: float) -> None:
            super().sleep(duration_s)
            if self.time_s > 1.0 and other.poll() is None:
                other.kill()
                other.wait()

    clock = Clock()
    patient = Ownership(folder, wait_s=5.0, clock=clock)
    patient.claim("GPIB0::4::INSTR", role="laser", bench="mine").release()
    assert 1.0 < clock.time_s < 5.0


def test_claims_of_one_box_by_one_bench_are_counted(folder: Path) -> None:
    mine, other = Ownership(folder), Ownership(folder)
    first = mine.claim("socket://10.0.0.1:5025", role="laser", bench="mine")
    second = mine.claim("TCPIP0::10.0.0.1::5025::SOCKET", role="oscillator", bench="mine")
    first.release()
    first.release()
    with pytest.raises(OwnershipError, match=r"since .*; close the other bench first$"):
        other.claim("TCPIP::10.0.0.1::5025::SOCKET", role="laser", bench="mine")
    with pytest.raises(OwnershipError, match="belongs to the bench 'mine' of this program"):
        mine.claim("socket://10.0.0.1:5025", role="laser", bench="another")
    second.release()
    other.claim("socket://10.0.0.1:5025", role="laser", bench="another").release()


def test_claim_knows_a_device_by_all_its_names(folder: Path, tmp_path: Path) -> None:
    device, link = tmp_path / "ttyUSB0", tmp_path / "by-id"
    device.touch()
    link.symlink_to(device)
    claim = Ownership(folder).claim(str(link), role="laser", bench="mine")
    with pytest.raises(OwnershipError, match=f"at {device} belongs"):
        Ownership(folder).claim(str(device), role="laser", bench="mine")
    claim.release()


def test_lock_file_says_who_owns_it_and_is_closed_to_others(folder: Path) -> None:
    claim = Ownership(folder).claim("GPIB0::4::INSTR", role="laser", bench="mine")
    (path,) = folder.iterdir()
    about = json.loads(path.read_text(encoding="utf-8"))
    assert (about["pid"], about["role"], about["bench"]) == (os.getpid(), "laser", "mine")
    assert path.stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0
    claim.release()
    assert path.read_bytes() == b""


def test_claim_refuses_when_the_owner_does_not_say_who_it_is(folder: Path) -> None:
    claim = Ownership(folder).claim("GPIB0::4::INSTR", role="laser", bench="mine")
    (path,) = folder.iterdir()
    path.write_bytes(b"{broken")
    with pytest.raises(OwnershipError, match="another process, which does not say who it is"):
        Ownership(folder).claim("GPIB0::4::INSTR", role="laser", bench="mine")
    claim.release()


def test_claim_refuses_when_others_could_write_to_the_folder(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)
    with pytest.raises(OwnershipError, match=rf"has mode 770; .*: chmod 700 {folder}$"):
        Ownership(folder).claim("GPIB0::4::INSTR", role="laser", bench="mine")


def test_claim_refuses_when_the_folder_is_a_link_or_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OwnershipError, match="or no folder; remove it"):
        Ownership(tmp_path / "link").claim("GPIB0::4", role="laser", bench="mine")
    (tmp_path / "file").touch()
    with pytest.raises(OwnershipError, match=r"cannot be made: .*set XDG_RUNTIME_DIR"):
        Ownership(tmp_path / "file" / "locks").claim("GPIB0::4", role="laser", bench="mine")


def test_runtime_folder_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder() == tmp_path / "veilight"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    monkeypatch.setattr(os, "getuid", lambda: 1 << 30)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    # A folder there would be of somebody else than this user, whose number we changed.
    with pytest.raises(OwnershipError, match=rf"{tmp_path}/veilight-{1 << 30} is of user"):
        runtime_folder()


def test_bench_opens_nothing_when_one_of_its_instruments_is_taken(
    holder: Holder, folder: Path
) -> None:
    paper = Paper()
    bench = real_bench(server_table(), paper, folder)
    other = holder("GPIB0::return_switch")
    with pytest.raises(OwnershipError, match=f"return_switch: .* process {other.pid}"):
        bench.open()
    assert paper.calls == []
    # Nothing that the bench had claimed before it was refused stays claimed.
    Ownership(folder).claim("GPIB0::laser", role="laser", bench="another").release()
    findings = check_bench(bench)
    failed = [finding for finding in findings if not finding.passed]
    assert [(finding.role, finding.check) for finding in failed] == [("return_switch", "reachable")]
    assert "close other programs" in failed[0].remedy
    assert "return_switch._open" not in paper.calls


def test_bench_gives_its_instruments_back_when_it_is_closed_whatever_fails(folder: Path) -> None:
    paper = Paper()
    bench = real_bench(server_table(), paper, folder)
    with bench, pytest.raises(OwnershipError, match="close the other bench first"):
        real_bench(server_table(), Paper(), folder).open()
    bench.open()
    paper.fail = {"laser._close", "attenuator._set_shutter"}
    with pytest.raises(InstrumentError, match="NOT safe, 1 instrument"):
        bench.close()
    with real_bench(server_table(), Paper(), folder) as again:
        assert again.safety.is_safe()


def test_simulated_bench_claims_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with paper_bench(server_table(), Paper()), paper_bench(server_table(), Paper()):
        assert list(tmp_path.iterdir()) == []

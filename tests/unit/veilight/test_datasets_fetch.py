import gzip
import hashlib
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from drivers.errors import DataError
from veilight.datasets import (
    PUBLIC_SOURCES,
    PublicSource,
    default_cache_folder,
    fetch_public,
    load,
)

ADVICE = "download the four files yourself and pass the folder with --data FOLDER"
Answer = Callable[[BaseHTTPRequestHandler], None]


def idx(*sizes: int) -> bytes:
    count = 1
    for size in sizes:
        count *= size
    values = bytes(index % 3 for index in range(count))
    return gzip.compress(
        struct.pack(f">BBBB{len(sizes)}I", 0, 0, 8, len(sizes), *sizes) + values, mtime=0
    )


FILES = {
    "train-images-idx3-ubyte.gz": idx(6, 2, 2),
    "train-labels-idx1-ubyte.gz": idx(6),
    "t10k-images-idx3-ubyte.gz": idx(3, 2, 2),
    "t10k-labels-idx1-ubyte.gz": idx(3),
}
FIRST = "train-images-idx3-ubyte.gz"


def send(handler: BaseHTTPRequestHandler, body: bytes, *, length: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def honest(handler: BaseHTTPRequestHandler) -> None:
    send(handler, FILES[handler.path.rpartition("/")[2]])


def damaged(handler: BaseHTTPRequestHandler) -> None:
    send(handler, FILES[handler.path.rpartition("/")[2]][:-1] + b"!")


def truncated(handler: BaseHTTPRequestHandler) -> None:
    send(handler, FILES[FIRST][:20], length=50)


def without_length(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(FILES[handler.path.rpartition("/")[2]])


def absent(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


def too_large(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"x", length=1 << 40)


def not_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 mail server\r\n")


def redirected(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", handler.path.replace("/redirected/", "/honest/"))
    handler.end_headers()


class Site:
    """A server on this machine; the folder in an address picks how it answers."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.agents: set[str | None] = set()
        self.released = threading.Event()
        answers: dict[str, Answer] = {
            "honest": honest,
            "damaged": damaged,
            "truncated": truncated,
            "without-length": without_length,
            "absent": absent,
            "too-large": too_large,
            "not-http": not_http,
            "redirected": redirected,
            "silent": lambda _: self._wait(),
            "stalled": self._stall,
        }
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append(self.path)
                site.agents.add(self.headers["User-Agent"])
                answers[self.path.split("/")[1]](self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def _wait(self) -> None:
        # Shorter than the default time-out: a fetch that ignores its own sees the link close.
        self.released.wait(10)

    def _stall(self, handler: BaseHTTPRequestHandler) -> None:
        send(handler, FILES[FIRST][:20], length=50)
        self._wait()

    def home(self, kind: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{kind}/"

    def source(self, *kinds: str) -> PublicSource:
        return PublicSource(
            name="tiny",
            title="Tiny digits",
            homes=tuple(self.home(kind) for kind in kinds),
            sha256={name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()},
        )

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Site()
    yield server
    server.close()


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["honest", "without-length", "redirected"])
def test_fetch_public_fills_the_cache_when_home_is_honest(
    site: Site, tmp_path: Path, kind: str
) -> None:
    folder = fetch_public(site.source(kind), cache_folder=tmp_path / "new" / "cache")
    assert folder == tmp_path / "new" / "cache" / "tiny"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in folder.iterdir())
    assert {str(agent).split("/")[0] for agent in site.agents} == {"veilight"}


def test_fetch_public_asks_nobody_when_cache_is_good(site: Site, tmp_path: Path) -> None:
    fetch_public(site.source("honest"), cache_folder=tmp_path)
    asked = len(site.requests)
    fetch_public(site.source("honest"), cache_folder=tmp_path)
    assert asked == len(site.requests) == 4


def test_fetch_public_repairs_the_file_when_cached_one_is_damaged(
    site: Site, tmp_path: Path
) -> None:
    folder = fetch_public(site.source("honest"), cache_folder=tmp_path)
    (folder / FIRST).write_bytes(b"damaged")
    fetch_public(site.source("honest"), cache_folder=tmp_path)
    assert (folder / FIRST).read_bytes() == FILES[FIRST]
    assert site.requests[4:] == [f"/honest/{FIRST}"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("damaged", r"the file has another SHA-256 \([0-9a-f]{64}\) than"),
        ("truncated", "the connection ended after 20 of 50 bytes"),
        ("absent", "the server answers 404 Not Found"),
        ("too-large", "more than 67108864 bytes; wrong file"),
        ("not-http", "220 mail server"),
        ("stalled", "no answer for 0.2 s"),
        ("silent", "no answer for 0.2 s"),
    ],
)
def test_fetch_public_leaves_nothing_when_home_fails(
    site: Site, tmp_path: Path, kind: str, reason: str
) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        fetch_public(site.source(kind), cache_folder=tmp_path, timeout_s=0.2)
    assert ADVICE in str(caught.value)
    assert f"{site.home(kind)}{FIRST}" in str(caught.value)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("kind", ["damaged", "truncated", "absent", "stalled"])
def test_fetch_public_goes_to_the_mirror_when_first_home_fails(
    site: Site, tmp_path: Path, kind: str
) -> None:
    source = site.source(kind, "honest")
    first_only = replace(source, sha256={FIRST: source.sha256[FIRST]})
    folder = fetch_public(first_only, cache_folder=tmp_path, timeout_s=0.2)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {FIRST: FILES[FIRST]}
    assert site.requests == [f"/{kind}/{FIRST}", f"/honest/{FIRST}"]


def test_fetch_public_names_every_home_when_nobody_listens(site: Site, tmp_path: Path) -> None:
    source = site.source("one", "two")
    site.close()
    with pytest.raises(DataError, match="Connection refused") as caught:
        fetch_public(source, cache_folder=tmp_path)
    assert all(home in str(caught.value) for home in source.homes)
    assert ADVICE in str(caught.value)


def test_fetch_public_gives_up_when_home_is_too_slow(site: Site, tmp_path: Path) -> None:
    ticks = iter([0.0, 601.0])
    with pytest.raises(DataError, match=r"\d+ bytes after 600 s; too slow"):
        fetch_public(site.source("honest"), cache_folder=tmp_path, clock=lambda: next(ticks))
    assert left_in(tmp_path) == []


def test_fetch_public_looks_at_the_clock_when_home_drips(site: Site, tmp_path: Path) -> None:
    ticks = iter([0.0, 31.0])
    with pytest.raises(DataError, match="20 bytes after 30 s; too slow"):
        fetch_public(
            site.source("stalled"),
            cache_folder=tmp_path,
            timeout_s=5.0,
            deadline_s=30.0,
            clock=lambda: next(ticks),
        )


def test_fetch_public_tells_how_far_it_is_when_asked(site: Site, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    fetch_public(
        site.source("honest"), cache_folder=tmp_path, progress=lambda *news: told.append(news)
    )
    last = {name: (received, total) for name, received, total in told}
    assert last == {name: (len(body), len(body)) for name, body in FILES.items()}


def test_fetch_public_leaves_nothing_when_interrupted(site: Site, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_public(site.source("honest"), cache_folder=tmp_path, progress=interrupt)
    assert left_in(tmp_path) == []


def test_fetch_public_does_not_blame_the_network_when_disk_fails(
    site: Site, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="cannot be used: No space left on device"):
        fetch_public(site.source("honest", "honest"), cache_folder=tmp_path, progress=full)
    assert len(site.requests) == 1
    assert left_in(tmp_path) == []


def test_fetch_public_refuses_when_cache_is_no_folder(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"the data cache .*file/tiny cannot be used: Not a dir"):
        fetch_public(site.source("honest"), cache_folder=tmp_path / "file")


def test_default_cache_folder_follows_the_xdg_rules_when_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    in_home = tmp_path / "home" / ".cache" / "veilight" / "datasets"
    assert default_cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "veilight/datasets"
    assert default_cache_folder({}) == in_home
    assert default_cache_folder({"XDG_CACHE_HOME": ""}) == in_home
    assert default_cache_folder({"XDG_CACHE_HOME": "not/absolute"}) == in_home
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / "veilight" / "datasets"


def test_public_sources_are_well_formed_when_listed() -> None:
    assert list(PUBLIC_SOURCES) == ["mnist", "fashion-mnist", "kmnist"]
    checksums = set()
    for name, source in PUBLIC_SOURCES.items():
        assert source.name == name
        assert list(source.sha256) == list(FILES)
        assert all(home.startswith("http") and home.endswith("/") for home in source.homes)
        assert all(len(bytes.fromhex(value)) == 32 for value in source.sha256.values())
        checksums |= set(source.sha256.values())
    assert len(checksums) == 12


def test_load_fetches_and_reads_when_name_is_public(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veilight.datasets._load.PUBLIC_SOURCES", {"mnist": site.source("honest")})
    data = load("mnist", cache_folder=tmp_path)
    assert (data.train.name, data.train.source) == ("mnist", "Tiny digits; training part")
    assert data.train.inputs.shape == (6, 2, 2)
    assert data.test.labels.tolist() == [0, 1, 2]
    site.requests.clear()
    assert load("mnist", cache_folder=tmp_path) == data
    assert site.requests == []

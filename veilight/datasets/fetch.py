"""Public data sets, fetched from their homes and believed only by their checksum.

A file is streamed beside its place in the cache and renamed when its SHA-256 is right, so that
the cache never holds half a file, whoever else is fetching.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from drivers.errors import DataError
from veilight._version import __version__

__all__ = ["PUBLIC_SOURCES", "Progress", "PublicSource", "default_cache_folder", "fetch_public"]

Progress = Callable[[str, int, int | None], None]
"""Called with the file's name, the bytes received and, where the server says, the bytes in all."""

_BLOCK_BYTES = 1 << 16
_LARGEST_FILE_BYTES = 1 << 26


@dataclass(frozen=True, kw_only=True)
class PublicSource:
    """Where a public data set lives, and how to recognise it.

    Attributes:
        name: Name that `load` takes.
        title: Full name and the paper to cite.
        homes: Folders on the web that hold the files, each ending in a slash; tried in order.
        sha256: SHA-256 of each file, by its name. It is what the trust rests on, not the home.
    """

    name: str
    title: str
    homes: tuple[str, ...]
    sha256: Mapping[str, str]


def _source(name: str, title: str, homes: tuple[str, ...], checksums: str) -> PublicSource:
    """A source of four IDX files; checksums in the order of the names below."""
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    files = (f"{name}-ubyte.gz" for name in names)
    sha256 = MappingProxyType(dict(zip(files, checksums.split(), strict=True)))
    return PublicSource(name=name, title=title, homes=homes, sha256=sha256)


PUBLIC_SOURCES: Mapping[str, PublicSource] = MappingProxyType(
    {
        source.name: source
        for source in (
            _source(
                "mnist",
                "MNIST handwritten digits (LeCun et al. 1998, DOI 10.1109/5.726791)",
                (
                    "https://storage.googleapis.com/cvdf-datasets/mnist/",
                    "https://ossci-datasets.s3.amazonaws.com/mnist/",
                ),
                """
                440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609
                3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c
                8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6
                f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6
                """,
            ),
            _source(
                "fashion-mnist",
                "Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747)",
                (
                    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
                ),
                """
                3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84
                a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845
                346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073
                67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5
                """,
            ),
            _source(
                "kmnist",
                "Kuzushiji-MNIST (Clanuwat et al. 2018, arXiv 1812.01718)",
                (
                    "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
                    "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
                ),
                """
                51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4
                e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17
                edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5
                20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c
                """,
            ),
        )
    }
)
"""The public data sets that `load` can fetch, by name."""


class _HomeFailedError(Exception):
    """One home did not deliver; the next one may."""


@dataclass(frozen=True, kw_only=True)
class _Patience:
    """How long to wait, and whom to tell meanwhile."""

    timeout_s: float
    deadline_s: float
    clock: Callable[[], float]
    progress: Progress | None


def default_cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Folder for fetched data sets: ``veilight/datasets`` in the user's cache folder.

    That is ``XDG_CACHE_HOME`` where it is set to an absolute path, else ``~/.cache`` (XDG Base
    Directory Specification 0.8).

    Args:
        environment: Environment variables; by default those of this process.

    Returns:
        The folder, which may not exist yet.

    Raises:
        DataError: If this user has no home folder.
    """
    configured = Path(
        (os.environ if environment is None else environment).get("XDG_CACHE_HOME", "")
    )
    try:
        base = configured if configured.is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise DataError(
            "this user has no home folder to keep data sets in; set XDG_CACHE_HOME, or give a "
            "cache folder."
        ) from error
    return base / "veilight" / "datasets"


def fetch_public(
    source: PublicSource,
    *,
    cache_folder: Path | None = None,
    timeout_s: float = 20.0,
    deadline_s: float = 600.0,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Bring a public data set into the cache, if it is not there already.

    Every file is checked by its SHA-256, cached ones too; a cached file that fails is fetched
    again. Proxies are taken from the environment, as urllib does.

    Args:
        source: What to fetch.
        cache_folder: Folder for data sets; by default `default_cache_folder`. The set gets a
            folder of its own in it.
        timeout_s: Longest wait for the server's next sign of life, in seconds.
        deadline_s: Longest time for one file from one home, in seconds.
        progress: Called as data arrive.
        clock: Clock that only goes forward, in seconds.

    Returns:
        The folder with the files.

    Raises:
        DataError: If no home delivers a file with the right checksum, or the cache cannot be
            written; it says how to do without the network.
    """
    folder = (default_cache_folder() if cache_folder is None else cache_folder) / source.name
    patience = _Patience(timeout_s=timeout_s, deadline_s=deadline_s, clock=clock, progress=progress)
    try:
        for name, sha256 in source.sha256.items():
            if not _holds(folder / name, sha256):
                folder.mkdir(parents=True, exist_ok=True)
                _fetch_file(source, folder / name, sha256, patience)
    except OSError as error:
        raise DataError(
            f"the data cache {folder} cannot be used: {error.strerror or error}. Free or choose "
            "another cache folder (XDG_CACHE_HOME), or download the files yourself and pass the "
            "folder with --data FOLDER."
        ) from error
    return folder


def _holds(path: Path, sha256: str) -> bool:
    """Whether the file is there with the right content."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == sha256


def _fetch_file(source: PublicSource, target: Path, sha256: str, patience: _Patience) -> None:
    """Fetch one file from the first home that delivers it."""
    failures = []
    for home in source.homes:
        try:
            return _download(home + target.name, target, sha256, patience)
        except _HomeFailedError as error:
            failures.append(f"{home}{target.name}: {error}")
    raise DataError(
        f"data set {source.name}: {target.name} cannot be fetched.\n  "
        + "\n  ".join(failures)
        + "\nCheck the network, or download the four files yourself and pass the folder with "
        "--data FOLDER."
    )


def _download(url: str, target: Path, sha256: str, patience: _Patience) -> None:
    """Stream one file beside its place, and rename it when its checksum is right."""
    handle, part_name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name}.", suffix=".part"
    )
    part = Path(part_name)
    digest = hashlib.sha256()
    try:
        with (
            os.fdopen(handle, "wb") as out,
            closing(_receive(url, patience)) as blocks,
        ):
            for block, total in blocks:
                digest.update(block)
                out.write(block)
                if patience.progress is not None:
                    patience.progress(target.name, out.tell(), total)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != sha256:
            raise _HomeFailedError(
                f"the file has another SHA-256 ({digest.hexdigest()}) than the one known for it "
                f"({sha256}); it was changed or damaged"
            )
        part.chmod(0o644)  # mkstemp makes it private; a shared cache is for reading
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _receive(url: str, patience: _Patience) -> Generator[tuple[bytes, int | None], None, None]:
    """The body of one answer in blocks, and its size where the server says.

    Every network error comes out as `_HomeFailedError`, and only those: an error of the disk is
    not the home's fault.
    """
    # Deferred: the network modules take longer to import than the rest of this package.
    import http.client
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": f"veilight/{__version__}"})
    end = patience.clock() + patience.deadline_s
    try:
        with urllib.request.urlopen(request, timeout=patience.timeout_s) as response:
            length = response.headers.get("Content-Length", "")
            total = int(length[:20]) if length.isdecimal() else None
            received = 0
            # read1 returns what one receive brings; read would sit out a dripping server.
            while block := response.read1(_BLOCK_BYTES):
                received += len(block)
                if max(received, total or 0) > _LARGEST_FILE_BYTES:
                    raise _HomeFailedError(f"more than {_LARGEST_FILE_BYTES} bytes; wrong file")
                if patience.clock() > end:
                    raise _HomeFailedError(
                        f"{received} bytes after {patience.deadline_s:g} s; too slow"
                    )
                yield block, total
    except urllib.error.HTTPError as error:
        with error:
            raise _HomeFailedError(f"the server answers {error.code} {error.reason}") from error
    except TimeoutError as error:
        raise _HomeFailedError(f"no answer for {patience.timeout_s:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise _HomeFailedError(str(getattr(error, "reason", error)) or repr(error)) from error
    if total is not None and received != total:
        raise _HomeFailedError(f"the connection ended after {received} of {total} bytes")

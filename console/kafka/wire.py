"""One connection to one broker: frames, correlation ids, versions, and one deadline for each question.

A deadline (the loop's clock, seconds) covers all that a question costs: resolving, connecting, the TLS handshake, the
login and the answer. Whatever goes wrong is a `WireError` with one clear line; after a timeout, an error in the frames
or bytes that cannot be decoded the connection is closed, because nothing after that can be believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import struct
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from msgspec import Struct

from console.kafka import codes
from console.kafka.collector import held_back
from console.kafka.messages import API_VERSIONS, METADATA, MIB, Api, header, payload
from console.kafka.properties import Security
from console.kafka.reader import DecodeError, decode, skip_tags

_TLS_ALERT = 0x1503  # the first bytes of a TLS alert, read as a frame's length
_HTTP = int.from_bytes(b"HTTP")
_CLIENT_VERSION = "0.1"
_KEPT, _KEPT_BYTES = 64, 32 * MIB  # questions that are asked again, and the bytes of them and their answers

T = TypeVar("T")


class WireError(Exception):
    """A question without a usable answer: a short code ("TIMEOUT", "REFUSED", "AUTH", …) and one line for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class _Pending(Struct):
    api: Api
    answer: asyncio.Future[bytes]


class _Again(Struct, frozen=True):
    """A question that is asked over and over: its bytes, those of its last answer, and what was read from these."""

    question: bytes
    answer: bytes
    value: Any

    @property
    def size(self) -> int:
        return len(self.question) + len(self.answer)


class Connection:
    """A connection to a broker that has said which versions it speaks. `open_connection` makes one."""

    def __init__(self, where: str, security: Security, client_id: str) -> None:
        self.where = where
        self.expires: float | None = None  # loop time after which the login should be renewed
        self._security = security
        self._client_id = client_id
        self._versions: dict[int, tuple[int, int]] = {}
        self._pending: dict[int, _Pending] = {}
        self._correlations = itertools.count(1)
        self._kept: dict[tuple[int, Hashable], _Again] = {}  # what was asked last stands last
        self._kept_bytes = 0
        self._failure: WireError | None = None
        self._answered = 0
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether it can answer nothing any more."""
        return self._failure is not None

    @property
    def proven(self) -> bool:
        """Whether it has answered more than the handshake."""
        return self._answered > 1 + 3 * (self._security.mechanism is not None)

    def attach(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Start reading answers from a connected stream."""
        self._writer = writer
        self._reading = asyncio.ensure_future(self._read(reader))

    def supports(self, api: Api) -> bool:
        """Whether there is a version of this question that both sides speak."""
        return self._common(api) is not None

    def version(self, api: Api) -> int:
        """The version the question is asked in: the least of our schemas', the broker's and our cap's highest.

        Raises `WireError` (UNSUPPORTED) when there is none.
        """
        version = self._common(api)
        if version is None:
            raise WireError("UNSUPPORTED", f"{self.where} does not know the question {api.name}: too old or too new")
        return version

    def _common(self, api: Api) -> int | None:
        if api.key not in self._versions:
            return None
        low, high = api.versions
        broker_low, broker_high = self._versions[api.key]
        version = min(high, broker_high)
        return version if version >= max(low, broker_low) else None

    async def ask(self, api: Api, values: Mapping[str, Any], deadline: float) -> Any:
        """The answer to one question. Raises `WireError`; questions may overlap, answers come in order."""
        version = self.version(api)
        question = self._written(api, version, values)
        return self._decode(api, version, await self._exchange(api, version, question, deadline))

    async def again(
        self,
        api: Api,
        key: Hashable,
        values: Callable[[], Mapping[str, Any]],
        read: Callable[[Any], T],
        deadline: float,
    ) -> T:
        """What `read` makes of the answer to a question that is asked over and over; `key` names it within its API.

        What has not changed costs nothing: the question is written once, and where the answer's bytes are those of the
        last time, so is the value, the very same object. Nobody may change it, therefore. Raises `WireError`.
        """
        version = self.version(api)
        kept = self._kept.pop((api.key, key), None)
        if kept:
            self._kept_bytes -= kept.size
        question = kept.question if kept else self._written(api, version, values())
        answer = await self._exchange(api, version, question, deadline)
        if kept is None or kept.answer != answer:
            kept = _Again(question, answer, read(self._decode(api, version, answer)))
        self._keep((api.key, key), kept)
        value: T = kept.value
        return value

    def _keep(self, key: tuple[int, Hashable], kept: _Again) -> None:
        twin = self._kept.pop(key, None)  # the same may have been asked twice at once
        self._kept[key] = kept
        self._kept_bytes += kept.size - (twin.size if twin else 0)
        while len(self._kept) > _KEPT or self._kept_bytes > _KEPT_BYTES:
            self._kept_bytes -= self._kept.pop(next(iter(self._kept))).size

    async def negotiate(self, deadline: float) -> None:
        """Ask which versions the broker speaks: v4 first, and what it answers to that when it is older (KIP-511)."""
        values = {"client_software_name": "logq", "client_software_version": _CLIENT_VERSION}
        version = API_VERSIONS.versions[1]
        body = await self._exchange(API_VERSIONS, version, self._written(API_VERSIONS, version, values), deadline)
        if struct.unpack_from(">h", body.ljust(2, b"\0"))[0] == codes.UNSUPPORTED_VERSION:
            version = 0
            known = self._decode(API_VERSIONS, 0, body).api_keys
            if not known:
                body = await self._exchange(API_VERSIONS, 0, self._written(API_VERSIONS, 0, values), deadline)
        answer = self._decode(API_VERSIONS, version, body)
        if not answer.api_keys:
            raise self._fail(
                WireError(codes.name(answer.error_code), f"{self.where}: {codes.words(answer.error_code)}")
            )
        self._versions = {k.api_key: (k.min_version, k.max_version) for k in answer.api_keys}

    def _written(self, api: Api, version: int, values: Mapping[str, Any]) -> bytes:
        try:
            return payload(api, version, values)
        except (struct.error, ValueError, TypeError, AttributeError) as error:
            raise WireError("ENCODE", f"Kafka's protocol cannot carry what was asked: {error}") from None

    async def _exchange(self, api: Api, version: int, question: bytes, deadline: float) -> bytes:
        """The body of the answer, header cut off."""
        if self._failure or self._writer is None:
            raise self._failure or WireError("CLOSED", f"{self.where} is not connected")
        loop = asyncio.get_running_loop()
        correlation = next(self._correlations) & 0x7FFFFFFF
        data = header(api, version, correlation, self._client_id) + question
        pending = _Pending(api, loop.create_future())
        self._pending[correlation] = pending
        started = loop.time()
        try:
            async with asyncio.timeout_at(deadline):
                self._writer.write(struct.pack(">i", len(data)) + data)
                await self._writer.drain()
                return await pending.answer
        except TimeoutError:
            waited = max(0.0, loop.time() - started)
            told = f"{self.where} did not answer within {waited:.1f} s"
            self._fail(WireError("CLOSED", told))  # other questions have time left: they may ask again
            raise WireError("TIMEOUT", told) from None
        except OSError as error:
            raise self._fail(WireError("CLOSED", f"{self.where} closed the connection: {_reason(error)}")) from None
        finally:
            if pending.answer.done() and not pending.answer.cancelled():
                pending.answer.exception()  # seen, even when the deadline came first

    def _decode(self, api: Api, version: int, body: bytes) -> Any:
        entity = api.answer(version)
        try:
            start = skip_tags(body, 0) if entity.flexible_header else 0
            with held_back():
                return decode(entity, body, start)
        except DecodeError as error:
            message = f"{self.where} sent an answer to {api.name} v{version} that cannot be read: {error}"
            raise self._fail(WireError("DECODE", message)) from None

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                length = struct.unpack(">i", await reader.readexactly(4))[0]
                if not self._answered and length >> 16 == _TLS_ALERT:
                    raise WireError("TLS", f"{self.where} speaks TLS: set security.protocol to SSL or SASL_SSL")
                if not self._answered and length == _HTTP:
                    raise WireError("FRAME", f"{self.where} is a web server, not a Kafka broker; check the port")
                if length < 4:
                    raise WireError("FRAME", f"{self.where} is not a Kafka broker: it sent a frame of {length} bytes")
                correlation = struct.unpack(">i", await reader.readexactly(4))[0]
                pending = self._pending.get(correlation)
                if pending is None:
                    raise WireError("FRAME", f"{self.where} sent an answer to a question nobody asked: not Kafka?")
                if length > pending.api.limit:
                    limit = f"{length:,} bytes where {pending.api.limit:,} are the limit"
                    raise WireError("FRAME", f"{self.where} sent too long an answer to {pending.api.name}: {limit}")
                body = await reader.readexactly(length - 4)
                del self._pending[correlation]
                self._answered += 1
                if not pending.answer.done():
                    pending.answer.set_result(body)
        except WireError as error:
            self._fail(error)
        except (asyncio.IncompleteReadError, OSError) as error:
            self._fail(WireError("CLOSED", self._closed_by_peer(error)))
        except asyncio.CancelledError:
            self._fail(WireError("CLOSED", f"the connection to {self.where} was closed"))
            raise

    def _closed_by_peer(self, error: BaseException) -> str:
        if isinstance(error, ssl.SSLError):
            return f"{self.where} ended TLS: {_reason(error)} (does it ask for a client certificate?)"
        protocol = self._security.protocol
        if not self._answered and protocol == "PLAINTEXT":
            return (
                f"{self.where} closed the connection at once: not a Kafka broker, or it wants TLS (security.protocol)"
            )
        only_metadata = any(p.api is METADATA for p in self._pending.values())
        if self._answered == 1 and only_metadata and not protocol.startswith("SASL"):
            with_login = "SASL_SSL" if protocol == "SSL" else "SASL_PLAINTEXT"
            return f"{self.where} closed the connection: it wants a login (security.protocol={with_login}, sasl.*)"
        return f"{self.where} closed the connection"

    def _fail(self, failure: WireError) -> WireError:
        """Close for good; every open question gets the first failure."""
        if self._failure is None:
            self._failure = failure
        pending, self._pending = self._pending, {}
        for one in pending.values():
            if not one.answer.done():
                one.answer.set_exception(self._failure)
                one.answer.exception()  # whoever waits still gets it; nobody waiting is no error
        if self._writer is not None:
            # abort, not close: close would wait for a frozen broker to take what is buffered.
            self._writer.transport.abort()
        return failure

    def close(self) -> None:
        """Drop the connection at once."""
        self._fail(WireError("CLOSED", f"the connection to {self.where} was closed"))
        if self._reading is not None:
            self._reading.cancel()


async def open_connection(
    host: str, port: int, security: Security, client_id: str, deadline: float, name: str | None = None
) -> Connection:
    """A connected, logged-in connection that knows the broker's versions. Raises `WireError` by the deadline."""
    where = name or f"{host}:{port}"
    connection = Connection(where, security, client_id)
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        async with asyncio.timeout_at(deadline):
            reader, writer = await asyncio.open_connection(
                host,
                port,
                happy_eyeballs_delay=0.25,
                ssl=security.tls,
                server_hostname=host if security.tls else None,
            )
    except TimeoutError:
        what = "no answer to the TLS handshake" if security.tls else "no answer"
        raise WireError("TIMEOUT", f"{where}: {what} within {loop.time() - started:.1f} s") from None
    except OSError as error:
        raise _connect_error(where, error, security) from None
    connection.attach(reader, writer)
    try:
        await connection.negotiate(deadline)
        if security.mechanism is not None:
            from console.kafka.login import log_in

            await log_in(connection, security, deadline)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_error(where: str, error: OSError, security: Security) -> WireError:
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = "check the host name" if "ostname" in error.verify_message else "check ssl.ca.location"
        return WireError("TLS", f"the certificate of {where} is not trusted: {error.verify_message}; {remedy}")
    if isinstance(error, ssl.SSLError):
        if "WRONG_VERSION" in str(error) or "RECORD_LAYER" in str(error):
            return WireError(
                "TLS", f"{where} does not speak TLS: check the port, or set security.protocol to PLAINTEXT"
            )
        return WireError("TLS", f"TLS with {where} failed: {_reason(error)}")
    if security.tls is not None and isinstance(error, ConnectionResetError | ConnectionAbortedError):
        return WireError("TLS", f"{where} dropped the TLS handshake: it may not speak TLS; check security.protocol")
    # With several addresses asyncio sums the failures up in one plain OSError.
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return WireError("REFUSED", f"{where}: connection refused")
    if isinstance(error, socket.gaierror):
        return WireError("RESOLVE", f"{where}: unknown host name ({_reason(error)})")
    return WireError("CONNECT", f"{where}: {_reason(error)}")


def _reason(error: BaseException) -> str:
    with contextlib.suppress(Exception):
        if isinstance(error, ssl.SSLError) and error.reason:
            return error.reason.lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

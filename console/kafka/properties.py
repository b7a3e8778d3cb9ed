"""Connection properties under librdkafka's names, checked once and mapped for both clients.

A misspelt name or value is an error, never a default: `security.protocol=SASL_SSLL` must not mean PLAINTEXT.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from console.config import KafkaSettings
from console.errors import UsageError

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
PROTOCOLS: tuple[Protocol, ...] = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_OURS = frozenset(
    {
        "bootstrap.servers",
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.endpoint.identification.algorithm",
        "enable.ssl.certificate.verification",
        "client.id",
    }
)
# Properties of the data plane alone: handed to confluent-kafka as they are, which checks their values.
_DATA_PLANE = frozenset(
    {
        "acks",
        "allow.auto.create.topics",
        "batch.size",
        "broker.address.family",
        "client.dns.lookup",
        "client.rack",
        "compression.codec",
        "compression.level",
        "compression.type",
        "debug",
        "delivery.timeout.ms",
        "enable.idempotence",
        "fetch.error.backoff.ms",
        "fetch.max.bytes",
        "fetch.message.max.bytes",
        "fetch.min.bytes",
        "fetch.wait.max.ms",
        "isolation.level",
        "linger.ms",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "max.partition.fetch.bytes",
        "message.max.bytes",
        "message.timeout.ms",
        "metadata.max.age.ms",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.messages",
        "queue.buffering.max.ms",
        "queued.max.messages.kbytes",
        "queued.min.messages",
        "receive.message.max.bytes",
        "reconnect.backoff.max.ms",
        "reconnect.backoff.ms",
        "request.required.acks",
        "request.timeout.ms",
        "retries",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
        "socket.connection.setup.timeout.ms",
        "socket.keepalive.enable",
        "socket.nagle.disable",
        "socket.receive.buffer.bytes",
        "socket.send.buffer.bytes",
        "socket.timeout.ms",
        "topic.metadata.propagation.max.ms",
        "topic.metadata.refresh.interval.ms",
        "transaction.timeout.ms",
    }
)
# librdkafka's as well, but what they say follows from what logq does: nothing is committed by itself, say.
_DECIDED_HERE = frozenset(
    {
        "auto.commit.interval.ms",
        "auto.offset.reset",
        "check.crcs",
        "client.software.name",
        "client.software.version",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "heartbeat.interval.ms",
        "log_level",
        "max.poll.interval.ms",
        "partition.assignment.strategy",
        "partitioner",
        "session.timeout.ms",
        "statistics.interval.ms",
        "transactional.id",
    }
)


@dataclass(frozen=True, slots=True)
class Security:
    """How our own connections protect and prove themselves. The password never appears in a repr."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: str | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)


class Wire(Struct, frozen=True):
    """What our own client needs: where to begin, as (host, port), and how."""

    bootstrap: tuple[tuple[str, int], ...]
    security: Security
    client_id: str = "logq"


def wire(settings: KafkaSettings) -> Wire:
    """The settings of our own connections.

    Raises `UsageError` for an address without a port, an unknown property or value, a missing certificate file, and a
    way of logging in that this side does not have.
    """
    properties = checked(settings.properties)
    return Wire(addresses(settings.bootstrap), _security(properties), properties.get("client.id") or "logq")


def confluent(settings: KafkaSettings) -> dict[str, str]:
    """The same settings as a confluent-kafka configuration. Raises `UsageError` as `wire`."""
    wire(settings)
    properties = checked(settings.properties)
    properties.setdefault("client.id", "logq")
    properties["bootstrap.servers"] = settings.bootstrap
    return properties


def checked(properties: Mapping[str, str]) -> dict[str, str]:
    """The properties with known names only. Raises `UsageError` naming the closest known one."""
    known = _OURS | _DATA_PLANE
    for name in properties:
        if name == "bootstrap.servers":
            raise UsageError("bootstrap.servers is given by -b HOST:PORT or the profile's bootstrap, not as a property")
        if name not in known:
            if name.startswith("sasl.kerberos"):
                raise UsageError("Kerberos (GSSAPI) is not offered by logq")
            if name in _DECIDED_HERE:
                raise UsageError(f"the Kafka property {name} is decided by logq for each thing it does: leave it out")
            import difflib

            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else "; logq uses librdkafka's names"
            raise UsageError(f"unknown Kafka property {name!r}{hint}")
    return dict(properties)


def addresses(bootstrap: str) -> tuple[tuple[str, int], ...]:
    """The (host, port) pairs of `HOST:PORT,HOST:PORT`; IPv6 in brackets. Raises `UsageError` when one has no port."""
    found = []
    for part in (p.strip() for p in bootstrap.split(",")):
        if not part:
            continue
        host, colon, port = part.rpartition(":")
        if "://" in part:
            raise UsageError(f"the Kafka address {part!r} is not HOST:PORT: leave out what stands before ://")
        if not colon or (":" in host and not host.startswith("[")):
            raise UsageError(f"the Kafka address {part!r} has no port: write HOST:PORT, for example {part}:9092")
        if not host:
            raise UsageError(f"the Kafka address {part!r} has no host: write HOST:PORT")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise UsageError(f"the Kafka address {part!r} has a port that is not a number from 1 to 65535")
        found.append((host.strip("[]"), int(port)))
    if not found:
        raise UsageError("no Kafka address given: -b HOST:PORT")
    return tuple(found)


def _security(properties: Mapping[str, str]) -> Security:
    given = properties.get("security.protocol", "PLAINTEXT")
    protocol = next((p for p in PROTOCOLS if p == given.upper()), None)
    if protocol is None:
        raise UsageError(f"security.protocol is {given!r}; it must be one of {', '.join(PROTOCOLS)}")
    sasl = protocol.startswith("SASL")
    for name in properties:
        if name.startswith("ssl.") and not protocol.endswith("SSL"):
            raise UsageError(f"{name} is set but security.protocol is {protocol}: TLS needs SSL or SASL_SSL")
        if name.startswith("sasl.") and not sasl:
            raise UsageError(
                f"{name} is set but security.protocol is {protocol}: a login needs SASL_SSL or SASL_PLAINTEXT"
            )
    tls = _tls(properties) if protocol.endswith("SSL") else None
    if not sasl:
        return Security(protocol, tls=tls)
    mechanism = properties.get("sasl.mechanisms") or properties.get("sasl.mechanism") or ""
    if mechanism.upper() == "GSSAPI":
        raise UsageError("Kerberos (GSSAPI) is not offered by logq")
    if mechanism not in MECHANISMS:
        raise UsageError(f"sasl.mechanisms is {mechanism!r}; logq offers {', '.join(MECHANISMS)}")
    if "sasl.username" not in properties or "sasl.password" not in properties:
        raise UsageError(f"{protocol} needs sasl.username and sasl.password (or the profile's password_command)")
    return Security(protocol, mechanism, properties["sasl.username"], properties["sasl.password"], tls)


def _tls(properties: Mapping[str, str]) -> ssl.SSLContext:
    location, pem = properties.get("ssl.ca.location"), properties.get("ssl.ca.pem")
    try:
        if location and location != "probe":
            context = ssl.create_default_context(cafile=location)
        else:
            context = ssl.create_default_context(cadata=pem)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"cannot use the CA certificates {location or 'in ssl.ca.pem'}: {_reason(error)}") from None
    identification = properties.get("ssl.endpoint.identification.algorithm", "https")
    if identification not in ("https", "none"):
        raise UsageError(f"ssl.endpoint.identification.algorithm is {identification!r}; it must be https or none")
    verification = properties.get("enable.ssl.certificate.verification", "true").lower()
    if verification not in ("true", "false"):
        raise UsageError(f"enable.ssl.certificate.verification is {verification!r}; it must be true or false")
    if identification == "none" or verification == "false":
        context.check_hostname = False
    if verification == "false":
        context.verify_mode = ssl.CERT_NONE
    certificate, key = properties.get("ssl.certificate.location"), properties.get("ssl.key.location")
    if key and not certificate:
        raise UsageError("ssl.key.location is set without ssl.certificate.location")
    if certificate:
        try:
            context.load_cert_chain(certificate, key, lambda: properties.get("ssl.key.password", ""))
        except OSError as error:
            raise UsageError(f"cannot use the certificate {certificate}: {_reason(error)}") from None
    return context


def _reason(error: OSError) -> str:
    return error.strerror or getattr(error, "reason", None) or str(error) or type(error).__name__

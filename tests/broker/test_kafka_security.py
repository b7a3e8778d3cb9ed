"""TLS and logins on a real broker with a listener of each kind: that they work, and what is said when they do not."""

from __future__ import annotations

import datetime
import ipaddress
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from console.brokers import jars, jvm
from console.brokers.kafka import uuid
from console.brokers.supervise import Supervisor
from console.config import KafkaSettings
from console.errors import Denied, LogqError, Unreachable
from console.kafka import write
from console.kafka.client import KafkaClient
from console.kafka.read import read_last
from console.model import Problem

pytestmark = pytest.mark.broker

_LISTENERS = ("CONTROLLER", "PLAINTEXT", "TLS", "MTLS", "LOGIN", "SECURE")
_CONFIG = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{CONTROLLER}
listeners={listeners}
advertised.listeners={advertised}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TLS:SSL,MTLS:SSL,LOGIN:SASL_PLAINTEXT,SECURE:SASL_SSL
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.mtls.ssl.client.auth=required
listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.login.plain.sasl.jaas.config={plain}
listener.name.login.scram-sha-256.sasl.jaas.config={scram}
listener.name.login.connections.max.reauth.ms=4000
listener.name.secure.plain.sasl.jaas.config={plain}
listener.name.secure.scram-sha-512.sasl.jaas.config={scram}
"""
_PLAIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="sesame-sesame";'
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True)
class Secured:
    """A broker with a listener of each kind, and the files that go with it."""

    ports: dict[str, int]
    folder: Path

    def settings(self, listener: str, host: str = "127.0.0.1", **properties: str) -> KafkaSettings:
        named = {name.replace("_", "."): value for name, value in properties.items()}
        return KafkaSettings(f"{host}:{self.ports[listener]}", named)

    @property
    def tls(self) -> dict[str, str]:
        return {"security_protocol": "SSL", "ssl_ca_location": str(self.folder / "ca.pem")}

    def login(
        self, mechanism: str, protocol: str = "SASL_PLAINTEXT", password: str = "sesame-sesame"
    ) -> dict[str, str]:
        found = {"security_protocol": protocol, "sasl_mechanisms": mechanism}
        found |= {"sasl_username": "alice", "sasl_password": password}
        return found | ({"ssl_ca_location": str(self.folder / "ca.pem")} if protocol == "SASL_SSL" else {})


def _certificates(folder: Path) -> None:
    """ca.pem, server.pem for 127.0.0.1 alone, client.pem, and other-ca.pem that signed nothing."""
    now = datetime.datetime.now(datetime.UTC)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def made(
        subject: str, issuer: str, public: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePrivateKey, ca: bool
    ):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if ca:
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        return builder.sign(signer, hashes.SHA256())

    def pem(certificate: x509.Certificate) -> bytes:
        return certificate.public_bytes(serialization.Encoding.PEM)

    def private(key: ec.EllipticCurvePrivateKey) -> bytes:
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    ca, other, server, client = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
    (folder / "ca.pem").write_bytes(pem(made("logq test CA", "logq test CA", ca.public_key(), ca, True)))
    (folder / "other-ca.pem").write_bytes(pem(made("another CA", "another CA", other.public_key(), other, True)))
    for stem, key in (("server", server), ("client", client)):
        certificate = made(stem, "logq test CA", key.public_key(), ca, False)
        (folder / f"{stem}.pem").write_bytes(private(key) + pem(certificate))


@pytest.fixture(scope="module")
def secured(isolated: Path) -> Iterator[Secured]:
    jars.ensure("kafka")
    supervisor = Supervisor()
    try:
        folder = supervisor.directory
        _certificates(folder)
        held = jvm.Ports(len(_LISTENERS))
        supervisor.at_stop(held.release)
        ports = dict(zip(_LISTENERS, held.numbers, strict=True))
        addresses = {name: f"{name}://127.0.0.1:{port}" for name, port in ports.items()}
        text = _CONFIG.format(
            **ports,
            listeners=",".join(addresses.values()),
            advertised=",".join(a for name, a in addresses.items() if name != "CONTROLLER"),
            folder=folder,
            plain=_PLAIN,
            scram=_SCRAM,
        )
        config = folder / "server.properties"
        config.write_text(text)
        environment = jvm.environment(jars.pinned("kafka"))
        users = [
            part
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for part in ("--add-scram", f"{mechanism}=[name=alice,password=sesame-sesame]")
        ]
        tool = jvm.command(256, folder, "kafka.tools.StorageTool", "format", "-t", uuid(), "-c", str(config), *users)
        log = folder / "server.log"
        formatting = supervisor.start(tool, environment, log)
        assert supervisor.wait(formatting, 60) and supervisor.exit_code(formatting) == 0, log.read_text()[-2000:]
        broker = supervisor.start(jvm.command(400, folder, "kafka.Kafka", str(config)), environment, log)
        found = Secured(ports, folder)
        client = KafkaClient(found.settings("PLAINTEXT"), timeout=2)
        deadline = time.monotonic() + 60
        while True:
            try:
                client.snapshot()
                break
            except LogqError:
                assert supervisor.exit_code(broker) is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, log.read_text()[-2000:]
                time.sleep(0.3)
        client.close()
        write.create_topics(found.settings("PLAINTEXT"), {"secured": (1, 1, {})})
        producer = write.producer(found.settings("PLAINTEXT"))
        producer.produce("secured", b"a secret")
        assert producer.flush(30) == 0
        yield found
    finally:
        supervisor.stop()


def settings_of(secured: Secured, way: str) -> KafkaSettings:
    if way == "TLS":
        return secured.settings("TLS", **secured.tls)
    if way == "mTLS":
        mine = str(secured.folder / "client.pem")
        return secured.settings("MTLS", **secured.tls, ssl_certificate_location=mine, ssl_key_location=mine)
    protocol, mechanism = way.split(" ")
    listener = "SECURE" if protocol == "SASL_SSL" else "LOGIN"
    return secured.settings(listener, **secured.login(mechanism, protocol))


WAYS = [
    "TLS",
    "mTLS",
    "SASL_PLAINTEXT PLAIN",
    "SASL_PLAINTEXT SCRAM-SHA-256",
    "SASL_SSL PLAIN",
    "SASL_SSL SCRAM-SHA-512",
]


@pytest.mark.parametrize("way", WAYS)
def test_both_clients_get_in(secured: Secured, way: str) -> None:
    settings = settings_of(secured, way)
    client = KafkaClient(settings, timeout=15)
    seen = client.snapshot()
    assert seen.complete
    assert "secured" in {t.name for t in seen.topics}
    assert client.commit_offsets("g", {("secured", 0): 0}) == {("secured", 0): None}
    client.close()
    (record,) = read_last(settings, "secured", 1, timeout=15)
    assert record.value == b"a secret"


def said(settings: KafkaSettings, kind: type[LogqError], timeout: float = 8) -> str:
    client = KafkaClient(settings, timeout)
    try:
        started = time.monotonic()
        with pytest.raises(kind) as error:
            client.snapshot()
        assert time.monotonic() - started < timeout + 0.6
    finally:
        client.close()
    text = str(error.value)
    assert "\n" not in text
    assert "sesame" not in text and "wrong-password" not in text
    return text


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_a_wrong_password_is_one_attempt_and_one_line(secured: Secured, mechanism: str) -> None:
    settings = secured.settings("LOGIN", **secured.login(mechanism, password="wrong-password"))
    assert "refused the login: Authentication failed" in said(settings, Denied)
    # Asked again at once, nobody logs in a second time: the first answer stands for a while.
    client = KafkaClient(settings, timeout=8)
    with pytest.raises(Denied):
        client.snapshot()
    started = time.monotonic()
    with pytest.raises(Denied):
        client.snapshot()
    assert time.monotonic() - started < 0.05  # the broker delays a refusal; none was asked for
    client.close()


def test_a_mechanism_the_broker_does_not_offer(secured: Secured) -> None:
    text = said(secured.settings("LOGIN", **secured.login("SCRAM-SHA-512")), Denied)
    assert "does not offer SCRAM-SHA-512; it offers" in text and "SCRAM-SHA-256" in text


def test_a_certificate_of_an_unknown_authority(secured: Secured) -> None:
    tls = {**secured.tls, "ssl_ca_location": str(secured.folder / "other-ca.pem")}
    text = said(secured.settings("TLS", **tls), Unreachable)
    assert "is not trusted" in text and "check ssl.ca.location" in text


def test_a_certificate_for_another_host(secured: Secured) -> None:
    text = said(secured.settings("TLS", host="localhost", **secured.tls), Unreachable)
    assert "is not trusted" in text and "localhost" in text and "check the host name" in text


def test_no_client_certificate_where_one_is_asked_for(secured: Secured) -> None:
    text = said(secured.settings("MTLS", **secured.tls), Unreachable)
    assert "client certificate" in text


@pytest.mark.parametrize(
    ("listener", "protocol", "words"),
    [
        ("TLS", "PLAINTEXT", "speaks TLS: set security.protocol to SSL or SASL_SSL"),
        ("SECURE", "PLAINTEXT", "speaks TLS: set security.protocol to SSL or SASL_SSL"),
        ("LOGIN", "PLAINTEXT", "wants a login"),
        ("PLAINTEXT", "SSL", "may not speak TLS; check security.protocol"),
        ("SECURE", "SSL", "wants a login (security.protocol=SASL_SSL"),
        ("PLAINTEXT", "SASL_PLAINTEXT", "expects no SASL login: set security.protocol to PLAINTEXT"),
    ],
)
def test_the_wrong_protocol_for_a_port(secured: Secured, listener: str, protocol: str, words: str) -> None:
    properties = {
        "PLAINTEXT": {},
        "SSL": secured.tls,
        "SASL_PLAINTEXT": secured.login("PLAIN"),
    }[protocol]
    assert words in said(secured.settings(listener, **properties), LogqError)


@pytest.fixture(scope="module")
def forbidden(secured: Secured) -> str:
    """A topic and a group of the same name that alice may not see, and a group "mixed" with commits on both topics."""
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{secured.ports['PLAINTEXT']}"})
    plain = secured.settings("PLAINTEXT")
    write.create_topics(plain, {"forbidden": (1, 1, {})})
    acls = [
        AclBinding(kind, "forbidden", ResourcePatternType.LITERAL, "User:bob", "*", operation, AclPermissionType.ALLOW)
        for kind, operation in ((ResourceType.TOPIC, AclOperation.ALL), (ResourceType.GROUP, AclOperation.ALL))
    ]
    for future in admin.create_acls(acls).values():
        future.result(30)
    client = KafkaClient(plain, timeout=15)
    for group in ("mixed", "forbidden"):
        assert set(client.commit_offsets(group, {("secured", 0): 0, ("forbidden", 0): 0}).values()) == {None}
    client.close()
    return "forbidden"


def test_silence_is_not_absence(secured: Secured, forbidden: str) -> None:
    """What a user may not see is left out without a word; asked for by name it is a problem with a name."""
    client = KafkaClient(settings_of(secured, "SASL_SSL PLAIN"), timeout=15)
    seen = client.snapshot()
    assert forbidden not in {t.name for t in seen.topics}
    # Who may list groups sees its name; its offsets are a problem of this group alone.
    (group,) = [g for g in seen.groups if g.name == forbidden]
    assert group.partitions is None
    assert [p.code for p in group.problems] == ["GROUP_AUTHORIZATION_FAILED"]
    assert not seen.complete
    assert [p.topic for g in seen.groups if g.name == "mixed" for p in g.partitions or ()] == ["secured"]
    with pytest.raises(Denied, match="may not describe this topic"):
        client.topic(forbidden)
    by_name = client.committed("mixed", [("secured", 0), (forbidden, 0)])
    assert by_name[("secured", 0)] == 0
    hidden = by_name[(forbidden, 0)]
    assert isinstance(hidden, Problem) and hidden.code == "TOPIC_AUTHORIZATION_FAILED"
    for refused in (
        client.commit_offsets("mixed", {(forbidden, 0): 0}),
        client.commit_offsets(forbidden, {("secured", 0): 0}),
    ):
        (problem,) = refused.values()
        assert problem is not None and problem.code in ("TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED")
    marks = client.watermarks([(forbidden, 0)])[(forbidden, 0)]
    assert isinstance(marks, Problem) and marks.code == "TOPIC_AUTHORIZATION_FAILED"
    # A member's assignment betrays what the offsets leave out.
    address = f"127.0.0.1:{secured.ports['PLAINTEXT']}"
    consumer = Consumer({"bootstrap.servers": address, "group.id": "mixed", "enable.auto.commit": "false"})
    consumer.subscribe(["secured", forbidden])
    try:
        deadline = time.monotonic() + 30
        while not consumer.assignment():
            assert time.monotonic() < deadline
            consumer.poll(0.2)
        found = client.group("mixed")
        (told,) = found.problems
        assert told.code == "NOT_VISIBLE" and "1 topic of its members not visible" in told.message
    finally:
        consumer.close()
        client.close()


def test_a_login_is_renewed_before_it_expires(secured: Secured) -> None:
    """The listener ends a session after 4 s (connections.max.reauth.ms); nobody notices."""
    client = KafkaClient(secured.settings("LOGIN", **secured.login("SCRAM-SHA-256")), timeout=5)
    deadline = time.monotonic() + 9
    while time.monotonic() < deadline:
        seen = client.snapshot()
        assert seen.problems == () and [b.reachable for b in seen.brokers] == [True]
        time.sleep(0.5)
    client.close()

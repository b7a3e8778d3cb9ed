"""Properties under librdkafka's names: known ones only, and never PLAINTEXT by a slip of the pen."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from console.config import KafkaSettings
from console.errors import UsageError
from console.kafka.client import KafkaClient
from console.kafka.properties import addresses, confluent, wire

LOGIN = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanisms": "SCRAM-SHA-512",
    "sasl.username": "me",
    "sasl.password": "hunter2",
}


def settings(**properties: str) -> KafkaSettings:
    return KafkaSettings("h:1", {k.replace("_", "."): v for k, v in properties.items()})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a:1", (("a", 1),)),
        (" a:1 , b:65535,", (("a", 1), ("b", 65535))),
        ("[::1]:9092", (("::1", 9092),)),
    ],
)
def test_addresses(text: str, found: tuple[tuple[str, int], ...]) -> None:
    assert addresses(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("localhost", "has no port: write HOST:PORT, for example localhost:9092"),
        ("::1", "has no port"),
        ("a:b", "not a number from 1 to 65535"),
        ("a:0", "not a number"),
        ("a:65536", "not a number"),
        ("a:٣", "not a number"),
        ("a:", "not a number"),
        (":9092", "has no host"),
        ("PLAINTEXT://a:9092", "leave out what stands before ://"),
        ("", "no Kafka address given"),
        (" , ", "no Kafka address given"),
    ],
)
def test_addresses_that_make_no_sense(text: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        KafkaClient(KafkaSettings(text))
    assert words in str(error.value)


def test_plain_is_the_default_and_nothing_else_means_it() -> None:
    assert wire(settings()).security.protocol == "PLAINTEXT"
    assert wire(settings(security_protocol="plaintext")).security.protocol == "PLAINTEXT"
    for wrong in ("SASL_SSLL", "TLS", "", " ", "SASL"):
        with pytest.raises(UsageError, match="it must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"):
            wire(settings(security_protocol=wrong))


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"session.timeout.ms": "9000"}, "property session.timeout.ms is decided by logq"),
        ({"security.protcol": "SSL"}, "unknown Kafka property 'security.protcol'; did you mean security.protocol?"),
        ({"bootstrap.servers": "x:1"}, "-b HOST:PORT"),
        ({"ssl.ca.location": "/ca.pem"}, "security.protocol is PLAINTEXT: TLS needs SSL or SASL_SSL"),
        ({"sasl.username": "me"}, "security.protocol is PLAINTEXT: a login needs SASL_SSL"),
        ({**LOGIN, "sasl.mechanisms": "GSSAPI"}, "Kerberos"),
        ({"sasl.kerberos.keytab": "x"}, "Kerberos"),
        ({**LOGIN, "sasl.mechanisms": "SCRAM-SHA-1"}, "logq offers PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ({k: v for k, v in LOGIN.items() if k != "sasl.password"}, "needs sasl.username and sasl.password"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/no/such/ca.pem"}, "/no/such/ca.pem: No such file"),
        ({"security.protocol": "SSL", "ssl.certificate.location": "/no/cert.pem"}, "/no/cert.pem: No such file"),
        ({"security.protocol": "SSL", "ssl.key.location": "/no/key.pem"}, "without ssl.certificate.location"),
        ({"security.protocol": "SSL", "enable.ssl.certificate.verification": "no"}, "it must be true or false"),
        ({"security.protocol": "SSL", "ssl.endpoint.identification.algorithm": "x"}, "it must be https or none"),
    ],
)
def test_properties_that_make_no_sense(properties: dict[str, str], words: str) -> None:
    for use in (wire, confluent):
        with pytest.raises(UsageError) as error:
            use(KafkaSettings("h:1", properties))
        assert words in str(error.value)
        assert "hunter2" not in str(error.value)


def test_tls_checks_certificates_unless_told_not_to() -> None:
    strict = wire(settings(security_protocol="SSL")).security.tls
    assert strict is not None and strict.check_hostname and strict.verify_mode == ssl.CERT_REQUIRED
    names = {"security.protocol": "SSL", "ssl.endpoint.identification.algorithm": "none"}
    no_name = wire(KafkaSettings("h:1", names)).security.tls
    assert no_name is not None and not no_name.check_hostname and no_name.verify_mode == ssl.CERT_REQUIRED
    trusting = {"security.protocol": "SSL", "enable.ssl.certificate.verification": "false"}
    loose = wire(KafkaSettings("h:1", trusting)).security.tls
    assert loose is not None and loose.verify_mode == ssl.CERT_NONE


def test_a_ca_file_that_is_no_certificate(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")
    with pytest.raises(UsageError, match="cannot use the CA certificates"):
        wire(KafkaSettings("h:1", {"security.protocol": "SSL", "ssl.ca.location": str(file)}))


def test_both_clients_get_the_same_login() -> None:
    given = KafkaSettings("a:1,b:2", LOGIN)
    security = wire(given).security
    assert (security.protocol, security.mechanism) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (security.username, security.password) == ("me", "hunter2")
    assert "hunter2" not in repr(wire(given))
    assert confluent(given) == {**LOGIN, "bootstrap.servers": "a:1,b:2", "client.id": "logq"}

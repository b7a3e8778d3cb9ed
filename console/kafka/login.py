"""SASL logins on our own connections: PLAIN and SCRAM (RFC 5802, by scramp). Passwords are never logged or shown."""

from __future__ import annotations

import asyncio
from typing import Any

from console.kafka import codes
from console.kafka.messages import SASL_AUTHENTICATE, SASL_HANDSHAKE
from console.kafka.properties import Security
from console.kafka.wire import Connection, WireError

_RENEW_AT = 0.8  # of the session's life, where the broker limits it (connections.max.reauth.ms, KIP-368)


async def log_in(connection: Connection, security: Security, deadline: float) -> None:
    """Log in on a connection that knows its versions, once. Raises `WireError` (AUTH) with the broker's reason."""
    answer = await connection.ask(SASL_HANDSHAKE, {"mechanism": security.mechanism}, deadline)
    if answer.error_code:
        if not answer.mechanisms:
            without = "SSL" if security.tls else "PLAINTEXT"
            raise WireError("AUTH", f"{connection.where} expects no SASL login: set security.protocol to {without}")
        offered = ", ".join(answer.mechanisms)
        raise WireError("AUTH", f"{connection.where} does not offer {security.mechanism}; it offers {offered}")
    if security.mechanism == "PLAIN":
        token = f"\0{security.username}\0{security.password}".encode()
        last = await _send(connection, token, deadline)
    else:
        last = await _scram(connection, security, deadline)
    life = getattr(last, "session_lifetime", None)
    seconds = life.total_seconds() if life is not None else 0.0
    if seconds > 0:
        connection.expires = asyncio.get_running_loop().time() + seconds * _RENEW_AT


async def _scram(connection: Connection, security: Security, deadline: float) -> Any:
    from scramp import ScramClient, ScramException  # type: ignore[import-untyped]

    client = ScramClient([security.mechanism or ""], security.username, security.password)
    try:
        first = await _send(connection, client.get_client_first().encode(), deadline)
        client.set_server_first(first.auth_bytes.decode())
        last = await _send(connection, client.get_client_final().encode(), deadline)
        client.set_server_final(last.auth_bytes.decode())
    except (ScramException, UnicodeDecodeError) as error:
        raise WireError("AUTH", f"{connection.where} could not prove that it knows the password: {error}") from None
    return last


async def _send(connection: Connection, token: bytes, deadline: float) -> Any:
    answer = await connection.ask(SASL_AUTHENTICATE, {"auth_bytes": token}, deadline)
    if answer.error_code:
        reason = answer.error_message or codes.words(answer.error_code)
        raise WireError("AUTH", f"{connection.where} refused the login: {reason}")
    return answer

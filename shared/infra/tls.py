"""TLS to NATS and Postgres: trusted certificates, and the refusals that no retry can fix.

Postgres' own parameters in DATABASE_URL (`sslmode`, `sslrootcert`, `sslcert`, `sslkey`) have the same meaning as in every
Postgres client. NATS has its own settings for this (`shared.infra.settings.Nats`).
"""

import asyncio
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError

from shared.errors import ConfigurationError
from shared.infra.settings import NATS_TLS, Nats

_NATS_PORT = 4222
_PATIENCE_S = 10
_ABOUT_OURS = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE")
"""Words in an alert with which a server refuses a client because its certificate is invalid or missing."""


def context(ca: Path | None, certificate: Path | None, key: Path | None, names: tuple[str, str, str]) -> ssl.SSLContext:
    """Return a client context that verifies certificate and host name; without `ca`, against this system's authorities.

    names: the names of the three files for errors. Raises ConfigurationError for a file that cannot be read or used.
    """
    try:
        made = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigurationError(f"{names[0]}: {ca} cannot be used as a file of CA certificates (PEM): {exc}.") from exc
    if certificate is not None:
        try:
            made.load_cert_chain(certificate, key, password="")  # an encrypted key must not prompt at a terminal
        except (OSError, ssl.SSLError) as exc:
            raise ConfigurationError(
                f"{names[1]} and {names[2]}: {certificate} and {key} cannot be used as certificate and private key (PEM): {exc}."
            ) from exc
    return made


def nats_context(settings: Nats) -> ssl.SSLContext | None:
    """Return the context that verifies NATS; None when NATS_URL does not use TLS. Raises ConfigurationError for unusable files."""
    if not settings.nats_url.startswith("tls://"):
        return None
    return context(settings.nats_tls_ca, settings.nats_tls_cert, settings.nats_tls_key, NATS_TLS)


def check_database_files(url: str) -> None:
    """Check that the files named in DATABASE_URL can be used. Raises ConfigurationError."""
    query = parse_qs(urlsplit(url).query)
    ca, certificate, key = (Path(query[name][-1]) if name in query else None for name in ("sslrootcert", "sslcert", "sslkey"))
    if ca or certificate:
        password = query.get("sslpassword")
        context(ca, None if password else certificate, key, ("sslrootcert in DATABASE_URL", "sslcert", "sslkey"))


def refusal(error: BaseException) -> str | None:
    """Return, as half a sentence, why no retry can make this connection; None for an error that may pass."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    reason = str(getattr(error, "reason", ""))
    if isinstance(error, ssl.SSLError) and "ALERT" in reason and any(word in reason for word in _ABOUT_OURS):
        return f"it does not accept our certificate ({reason})"
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        return str(error)
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return "it offers no TLS, which sslmode demands"
    return None


def check_database_error(error: BaseException) -> None:
    """Raise ConfigurationError for a Postgres connection error that no retry can fix."""
    if why := refusal(error):
        raise ConfigurationError(f"Postgres cannot be used: {why}. Check DATABASE_URL: host, sslmode, sslrootcert.") from error


async def connect_postgres(url: str) -> Any:
    """Connect to Postgres. Raises ConfigurationError for errors that no retry can fix, else asyncpg's errors."""
    check_database_files(url)
    try:
        return await asyncpg.connect(url)
    except Exception as exc:
        check_database_error(exc)
        raise


class _OnlyWithTls(Client):  # type: ignore[misc]  # nats-py has no types
    """A nats-py client that requires encryption: it sends no password to a server that does not require TLS."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if not info.get("tls_required"):
            raise NatsError("nats: the server does not require TLS any more")
        await super()._process_info(info, initial_connection)


async def connect_nats(url: str, trusted: ssl.SSLContext | None, **options: Any) -> Client:
    """Return a connected client; `options` as for `nats.connect`. trusted: for `tls://`, else None.

    Raises ConfigurationError for errors that no retry can fix, and nats.errors.Error, OSError or TimeoutError for the rest.
    """
    await _check_nats(url, trusted)
    client = Client() if trusted is None else _OnlyWithTls()
    await client.connect(url, **options if trusted is None else options | {"tls": trusted})
    return client


async def _check_nats(url: str, trusted: ssl.SSLContext | None) -> None:
    """Do one TLS handshake first, because nats-py hangs or retries repeatedly when a certificate is refused."""
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or _NATS_PORT
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                required = _requires_tls(await reader.readline())
                if required and trusted is None:
                    raise ConfigurationError(f"NATS at {host}:{port} demands TLS. Write tls:// in NATS_URL, and set NATS_TLS_CA.")
                if trusted is None:
                    return
                if not required:
                    raise ConfigurationError(
                        f"NATS at {host}:{port} does not demand TLS, but NATS_URL begins with tls://. Set up TLS in the server."
                    )
                await writer.start_tls(trusted, server_hostname=host)
                writer.write(b"PING\r\n")
                await reader.readline()  # a server refuses a client's certificate only now (TLS 1.3)
            finally:
                writer.close()
    except OSError as exc:
        if why := refusal(exc):
            raise ConfigurationError(
                f"NATS at {host}:{port} cannot be used: {why}. "
                f"Check the host in NATS_URL, and the files in NATS_TLS_CA, NATS_TLS_CERT and NATS_TLS_KEY."
            ) from exc
        raise


def _requires_tls(greeting: bytes) -> bool:
    """Return whether a NATS server's first line (`INFO {...}`) demands TLS. Raises ConnectionError for any other line."""
    try:
        return bool(msgspec.json.decode(greeting.removeprefix(b"INFO "), type=dict[str, Any]).get("tls_required"))
    except msgspec.MsgspecError as exc:
        raise ConnectionError("What answers there is no NATS server.") from exc

"""A TLS endpoint: its WebSockets stay with stock Daphne, and still work."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect

from config.testing.program import free_port
from proxy.server.tests.conftest import serving


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "gateway.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


async def test_a_tls_endpoint_serves_websockets_and_drains(certificate: Path) -> None:
    port = free_port()
    endpoint = f"ssl:{port}:interface=127.0.0.1:privateKey={certificate}:certKey={certificate}"
    context = ssl.create_default_context(cafile=certificate)
    with serving(endpoints=[endpoint], drain_seconds=0.1) as server:
        await server.ask("ready")  # both listen before the first request is served
        url = f"wss://127.0.0.1:{port}/echo"
        async with asyncio.timeout(10), connect(url, ssl=context, proxy=None) as client:
            await client.send("through TLS")
            assert await client.recv() == "through TLS"
            server.terminate()
            await client.wait_closed()
        assert server.wait(10) == 0

"""The certificate with which a local stack speaks TLS: made here, trusted by nobody else."""

import ipaddress
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

NAMES: Final = ("localhost",)
ADDRESSES: Final = ("127.0.0.1", "::1")
GOOD_FOR: Final = timedelta(days=397)
"""No client takes one that is good for longer."""
RENEWED_AFTER: Final = timedelta(days=90)


def ensure_certificate(directory: Path) -> tuple[Path, Path]:
    """Return the files of the certificate and its key, made anew if they are missing or old."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    if not (certificate.exists() and key.exists() and _age(certificate) < RENEWED_AFTER):
        directory.mkdir(parents=True, exist_ok=True)
        key.unlink(missing_ok=True)
        key.touch(mode=0o600)
        certificate_pem, key_pem = _make()
        key.write_bytes(key_pem)
        certificate.write_bytes(certificate_pem)
    return certificate, key


def _age(file: Path) -> timedelta:
    return timedelta(seconds=time.time() - file.stat().st_mtime)


def _make() -> tuple[bytes, bytes]:
    # Seldom needed, and the process that supervises a stack stays small.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Reli, a local stack")])
    now = datetime.now(UTC)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (
            x509.SubjectAlternativeName(
                [
                    *(x509.DNSName(name) for name in NAMES),
                    *(x509.IPAddress(ipaddress.ip_address(one)) for one in ADDRESSES),
                ]
            ),
            False,
        ),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A client's clock may be a little behind ours.
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + GOOD_FOR - timedelta(hours=1))
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return (
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )

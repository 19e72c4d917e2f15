"""The local certificate: kept while it is young, for this machine's names, its key ours alone."""

import os
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from app.stack.certificate import RENEWED_AFTER, ensure_certificate


def test_it_is_kept_and_made_anew_once_it_is_old_or_a_file_is_gone(tmp_path: Path) -> None:
    certificate, key = ensure_certificate(tmp_path / "tls")
    first = certificate.read_bytes()

    assert ensure_certificate(tmp_path / "tls") == (certificate, key)
    assert certificate.read_bytes() == first

    old = (datetime.now(UTC) - RENEWED_AFTER).timestamp() - 1
    os.utime(certificate, (old, old))
    ensure_certificate(tmp_path / "tls")
    second = certificate.read_bytes()
    assert second != first

    key.unlink()
    ensure_certificate(tmp_path / "tls")
    assert certificate.read_bytes() != second


def test_it_is_good_for_this_machine_and_for_nothing_else(tmp_path: Path) -> None:
    certificate, key = ensure_certificate(tmp_path)
    read = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    basics = read.extensions.get_extension_for_class(x509.BasicConstraints).value

    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert not basics.ca
    assert key.stat().st_mode & 0o777 == 0o600

"""TLS at the front door: modern versions, modern ciphers, HTTP/2 before HTTP/1.1."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adapters.envoy.typed import typed

# What TLS 1.2 may still use: forward secrecy and authenticated encryption. TLS 1.3 has no others.
_CIPHERS: Final = tuple(
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "CHACHA20-POLY1305", "AES256-GCM-SHA384")
    for key in ("ECDSA", "RSA")
)
_CURVES: Final = ("X25519", "P-256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Where the front door speaks TLS, and as whom; both files are PEM."""

    port: int
    certificate: Path
    key: Path


def transport_socket(tls: Tls) -> dict[str, Any]:
    """Return what encrypts the connections of a listener."""
    context = {
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_2",
            "tls_maximum_protocol_version": "TLSv1_3",
            "cipher_suites": list(_CIPHERS),
            "ecdh_curves": list(_CURVES),
        },
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(tls.certificate)},
                "private_key": {"filename": str(tls.key)},
            }
        ],
        "alpn_protocols": ["h2", "http/1.1"],
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(
            "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            common_tls_context=context,
        ),
    }

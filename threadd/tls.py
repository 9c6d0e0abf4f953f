"""The certificate and key that the doors speak TLS with."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from store.errors import StatusCode, ThreaddError


class TlsError(ThreaddError):
    """There is no certificate and key where the settings say."""

    code: ClassVar[StatusCode] = StatusCode.FAILED_PRECONDITION


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate and its key.

    Args:
        certificate: PEM; the certificate first, then those that lead to its authority.
        key: PEM.
        context: Both, for web doors: they speak HTTP/1.1 and websockets, which start as that.
        grpc_context: Both, for gRPC doors: they speak HTTP/2.
    """

    certificate: bytes
    key: bytes
    context: ssl.SSLContext
    grpc_context: ssl.SSLContext

    @classmethod
    def load(cls, certificate: Path, key: Path) -> Self:
        """Read both.

        Args:
            certificate: The file of the certificate, PEM.
            key: The file of its key, PEM, without a password.

        Raises:
            TlsError: One cannot be read, or they do not belong together.
        """
        context, grpc_context = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
        context.set_alpn_protocols(["http/1.1"])
        grpc_context.set_alpn_protocols(["h2"])
        try:
            made = cls(certificate.read_bytes(), key.read_bytes(), context, grpc_context)
        except OSError as error:
            raise TlsError(f"cannot read {error.filename}: {error.strerror}; threadd certs makes both files") from error
        try:
            # A key with a password would be asked for on the terminal.
            for each in (context, grpc_context):
                each.load_cert_chain(certificate, key, password=b"")
        except (ssl.SSLError, ValueError) as error:
            raise TlsError(
                f"{certificate} and {key} are not a certificate and its key, in PEM and without a password: {error}"
            ) from error
        return made

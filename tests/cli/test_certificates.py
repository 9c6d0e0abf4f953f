"""The certificates that `threadd certs` makes, and the doors that speak TLS with them."""

import datetime as dt
import http.client
import json
import socket
import ssl
import stat
from pathlib import Path

import grpc
import pytest
from daemons import DaemonError, free_ports, prepare_threadd
from grpc_health.v1 import health_pb2

from threadd import certificates
from threadd.certificates import CertificateError
from threadd.tls import Tls, TlsError

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


def test_files_are_for_their_owner_alone(tmp_path):
    certificates.make(tmp_path / "tls", NOW)
    found = sorted(path.name for path in (tmp_path / "tls").iterdir())
    assert found == ["ca-key.pem", "ca.pem", "cert.pem", "key.pem"]
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    for path in (tmp_path / "tls").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_authority_stays_and_the_certificate_is_renewed(tmp_path):
    files = certificates.make(tmp_path, NOW)
    before = [path.read_bytes() for path in (files.authority, files.certificate, files.key)]
    certificates.make(tmp_path, NOW + dt.timedelta(days=800))
    after = [path.read_bytes() for path in (files.authority, files.certificate, files.key)]
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert after[2] != before[2]
    Tls.load(files.certificate, files.key)


def test_an_authority_that_cannot_sign_is_told(tmp_path):
    files = certificates.make(tmp_path, NOW)
    with pytest.raises(CertificateError, match="too soon to sign"):
        certificates.make(tmp_path, NOW + dt.timedelta(days=3000))
    (tmp_path / "ca-key.pem").write_bytes(files.key.read_bytes())
    with pytest.raises(CertificateError, match="are not a certificate and its key"):
        certificates.make(tmp_path, NOW)
    (tmp_path / "ca-key.pem").write_text("nothing")
    with pytest.raises(CertificateError, match="cannot be read"):
        certificates.make(tmp_path, NOW)
    with pytest.raises(CertificateError, match="cannot write"):
        certificates.make(files.key / "folder", NOW)


def test_what_is_no_certificate_is_told(tmp_path):
    files = certificates.make(tmp_path / "one", NOW)
    other = certificates.make(tmp_path / "other", NOW)
    with pytest.raises(TlsError, match=r"cannot read .*absent\.pem"):
        Tls.load(tmp_path / "absent.pem", files.key)
    for certificate, key in ((files.certificate, other.key), (files.key, files.key)):
        with pytest.raises(TlsError, match="are not a certificate and its key"):
            Tls.load(certificate, key)


@pytest.fixture
def tls_daemon(start_daemon, tmp_path):
    """A daemon that speaks TLS, where its certificates are, and HOST:PORT of its gateway."""
    files = certificates.make(tmp_path / "tls", dt.datetime.now(dt.UTC))
    gateway = f"127.0.0.1:{free_ports(1)[0]}"
    flags = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key), "--gateway", gateway)
    return start_daemon(*flags), files, gateway


def agreed(address, context):
    """The protocol that a door settles on with a client that speaks both."""
    host, _, port = address.rpartition(":")
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        return connection.selected_alpn_protocol()


def test_every_door_speaks_tls_under_every_name(tls_daemon):
    daemon, files, gateway = tls_daemon
    for address in (daemon.hub_api, daemon.threads_api):
        for name in ("localhost", "127.0.0.1", "api.hub.textile.io"):
            options = [("grpc.ssl_target_name_override", name)]
            trusted = grpc.ssl_channel_credentials(files.authority.read_bytes())
            with grpc.secure_channel(address, trusted, options) as channel:
                check = channel.unary_unary("/grpc.health.v1.Health/Check")
                assert health_pb2.HealthCheckResponse.FromString(check(b"", timeout=10)).status == 1
    context = ssl.create_default_context(cafile=str(files.authority))
    for address, place in ((daemon.hub_web, "/"), (daemon.threads_web, "/"), (gateway, "/healthz")):
        port = int(address.rpartition(":")[2])
        for name in ("localhost", "127.0.0.1"):
            connection = http.client.HTTPSConnection(name, port, timeout=10, context=context)
            connection.request("GET", place)
            assert connection.getresponse().status == 200
            connection.close()
    for address in (daemon.hub_api, daemon.threads_api):
        assert agreed(address, context) == "h2"
    for address in (daemon.hub_web, daemon.threads_web, gateway):
        assert agreed(address, context) == "http/1.1"
    assert "without TLS" not in daemon.said()
    daemon.stop()


def test_a_door_with_tls_speaks_nothing_else(tls_daemon):
    daemon, _, gateway = tls_daemon
    with grpc.insecure_channel(daemon.hub_api) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=3)
    for address in (daemon.hub_web, gateway):
        host, _, port = address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        connection.request("GET", "/")
        with pytest.raises((http.client.HTTPException, OSError)):
            connection.getresponse()
        connection.close()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--tls-cert", "absent.pem"], "belong together"),
        (["--tls-cert", "absent.pem", "--tls-key", "absent.pem"], "threadd certs makes both"),
    ],
)
def test_settings_that_name_no_certificate_are_refused(tmp_path, flags, said):
    daemon = prepare_threadd(tmp_path, *flags)
    with pytest.raises(DaemonError, match=said):
        daemon.start()


def test_the_command_tells_what_to_do(start_daemon):
    daemon = start_daemon()
    answer = json.loads(daemon.run("certs", "--json"))
    assert Tls.load(answer_path(answer, "cert"), answer_path(answer, "key"))
    text = daemon.run("certs")
    for part in (
        "update-ca-certificates",
        "/etc/hosts",
        "127.0.0.1 api.hub.textile.io",
        f"--tls-cert {answer['cert']}",
    ):
        assert part in text


def answer_path(answer, name):
    path = answer[name]
    assert path.startswith("/")
    return Path(path)

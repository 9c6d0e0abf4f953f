"""Programs that were written for the hosted Hub, with its name, its port and TLS in them, run as they are.

What an operator does with the hosts file and the system's authorities is done here for one process: Go's gRPC asks the
proxy of the environment for the name, and each runtime reads its authorities where the environment says.
"""

import json
import os
import select
import socket
import socketserver
import subprocess
import threading

import pytest

pytestmark = pytest.mark.timeout(900)

API = "api.hub.textile.io"
WEB = "webapi.hub.textile.io"


class Proxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy that leads to one address only, whatever is asked for."""

    daemon_threads = True

    def __init__(self, address):
        super().__init__(("127.0.0.1", 0), Tunnel)
        host, _, port = address.rpartition(":")
        self.target = (host, int(port))
        self.asked = []


class Tunnel(socketserver.StreamRequestHandler):
    rbufsize = 0

    def handle(self):
        self.server.asked.append(self.rfile.readline().decode().strip())
        while self.rfile.readline().strip():
            pass
        with socket.create_connection(self.server.target) as target:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            other = {self.connection: target, target: self.connection}
            while True:
                for ready in select.select(list(other), [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    other[ready].sendall(data)


@pytest.fixture
def tls_daemon(start_daemon):
    """A daemon with a certificate that it made, the files, and a user group key."""
    files = json.loads(start_daemon().run("certs", "--json"))
    daemon = start_daemon("--tls-cert", files["cert"], "--tls-key", files["key"])
    key = json.loads(daemon.run("keys", "create", "--type", "user", "--json"))
    return daemon, files, key


def checks_of(command, environment):
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, timeout=90, check=False)
    checks = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(check["ok"] for check in checks)
    return len(checks)


def test_the_first_program_in_go(go_programs, tls_daemon):
    daemon, files, key = tls_daemon
    with Proxy(daemon.hub_api) as proxy:
        threading.Thread(target=proxy.serve_forever).start()
        command = [str(go_programs / "hubtls"), "-user-key", key["key"], "-user-secret", key["secret"]]
        try:
            reached = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.server_address[1]}", "SSL_CERT_FILE": files["ca"]}
            assert checks_of(command, reached) == 4
        finally:
            proxy.shutdown()
        assert set(proxy.asked) == {f"CONNECT {API}:443 HTTP/1.1"}
    daemon.stop()


def test_the_first_program_in_js(js_programs, tls_daemon):
    daemon, files, key = tls_daemon
    port = daemon.hub_web.rpartition(":")[2]
    hosts, program = js_programs / "lib" / "hosts.js", js_programs / "first.js"
    command = ["node", "--require", str(hosts), str(program), key["key"], key["secret"]]
    assert checks_of(command, {"NODE_EXTRA_CA_CERTS": files["ca"], "HOSTED": WEB, "PORT": port}) == 4
    daemon.stop()

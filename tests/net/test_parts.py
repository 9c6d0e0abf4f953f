"""What of py-libp2p is imported."""

import subprocess
import sys

UNUSED = ("aioquic.asyncio", "requests", "httpx", "zeroconf", "dns", "trio_websocket", "miniupnpc")


def test_a_host_is_imported_without_what_it_does_not_use():
    code = "import sys, net.host.host; print([name for name in sys.argv[1:] if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, *UNUSED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

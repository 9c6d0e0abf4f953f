"""py-libp2p in parts.

What stands at the front of its packages imports all that the library can do, QUIC, websockets and certificates from the
internet among it. To import that takes a second and 20 MB of memory, and none of it is used here.
"""

import importlib.machinery
import sys
import types
from typing import Final

_PACKAGES: Final = (
    "libp2p",
    "libp2p.crypto",
    "libp2p.identity",
    "libp2p.io",
    "libp2p.network",
    "libp2p.peer",
    "libp2p.protocol_muxer",
    "libp2p.pubsub",
    "libp2p.security",
    "libp2p.stream_muxer",
    "libp2p.transport",
)


def take_apart() -> None:
    """Have the modules of py-libp2p imported without the fronts of their packages; call it before the first of them.

    Raises:
        ImportError: The library is not there.
    """
    if _PACKAGES[0] in sys.modules:
        return
    for name in _PACKAGES:
        parent, _, last = name.rpartition(".")
        above = sys.modules.get(parent)
        spec = importlib.machinery.PathFinder.find_spec(name, None if above is None else above.__path__)
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError(f"there is no package {name}", name=name)
        package = types.ModuleType(name)
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__ = spec
        sys.modules[name] = package
        if above is not None:
            setattr(above, last, package)

"""The services of a daemon on the rooms of a test."""

import os
import time

from net.multiaddr import Multiaddr
from threadd.api.doors import Services


def services_of(rooms, health):
    """What doors answer with, for rooms that are open.

    Args:
        rooms: The rooms.
        health: What health checks ask.
    """
    return Services.build(
        manager=rooms.databases,
        network=rooms.network,
        replication=rooms.peering.replication,
        buckets=rooms.buckets,
        host_key=rooms.host_key,
        listen=Multiaddr.from_text("/ip4/0.0.0.0/tcp/4006"),
        randomness=os.urandom,
        clock=time.time_ns,
        health=health,
    )

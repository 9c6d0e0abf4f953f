"""GossipSub 1.1 without input and output: which peers hear of a message, and what they are told (libp2p's pubsub spec).

Every message is signed by whoever made it (StrictSign, as go-libp2p-pubsub has it by default). A message of a peer goes
on only once its receiver finds it good. py-libp2p's own router is not used: it is tied to its swarm, which the host
does without, and takes messages of any size.
"""

import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from net import varints
from net.errors import NetError
from net.host.library import RPC, ControlMessage, PubSubMessage
from net.keys import PrivateKey, PublicKey

PROTOCOLS = ("/meshsub/1.1.0", "/meshsub/1.0.0")

MAX_MESSAGE_BYTES = 2**20
"""How long a message between two peers may be; go-libp2p-pubsub takes no longer ones."""

MAX_TOPICS = 10_000
"""How many topics of a peer are remembered."""

MAX_TOPIC_BYTES = 128
"""A longer topic is none: the text of a thread ID has 59 bytes."""

MAX_QUEUED = 512
"""How many messages wait for a peer; more are not sent to it."""

MAX_QUEUED_BYTES = 8 * 2**20
"""How many bytes wait for it."""

MAX_SEEN = 20_000
"""How many messages are remembered, so that each is taken once."""

SEEN_SECONDS = 120.0
HEARTBEAT_SECONDS = 1.0
MESH, MESH_LOW, MESH_HIGH = 6, 5, 12
BACKOFF_SECONDS = 60.0

_SIGN_PREFIX = b"libp2p-pubsub:"
_OVERHEAD = 16
_GOSSIPED_TO = 6
_HISTORY = 5
_GOSSIPED_HISTORY = 3
_MAX_HISTORY = 1000
_MAX_IDS = 1000
_MAX_BACKOFFS = 10_000


class BadGossipError(ValueError):
    """A peer sends what is no message of GossipSub."""


@dataclass(frozen=True, slots=True)
class Gossip:
    """A message of somebody else, signed by its author.

    Args:
        topic: Its topic, which was joined.
        data: What it says.
        id: Names it.
    """

    topic: str
    data: bytes
    id: bytes


@dataclass(slots=True, eq=False)
class _Peer:
    topics: set[str] = field(default_factory=set)
    queue: deque[bytes] = field(default_factory=deque)
    queued: int = 0


@dataclass(slots=True, eq=False)
class _Topic:
    peers: set[bytes] = field(default_factory=set)
    mesh: set[bytes] = field(default_factory=set)


class GossipRouter:
    """The state of GossipSub towards all peers.

    Args:
        key: The host's key.
        seqno: The number of the first message, higher after each start.
        clock: Seconds from any moment.
        wake: Is told a peer's ID when there is something to send to it.
        chance: Picks peers.

    Attributes:
        dropped: How many messages were not sent since their peer does not take them fast enough.
    """

    def __init__(
        self,
        key: PrivateKey,
        seqno: int,
        clock: Callable[[], float],
        wake: Callable[[bytes], None],
        chance: random.Random,
    ) -> None:
        self._key = key
        self._own = key.public.peer_id
        self._seqno = seqno
        self._clock = clock
        self._wake = wake
        self._chance = chance
        self._peers: dict[bytes, _Peer] = {}
        self._topics: dict[str, _Topic] = {}
        self._unsettled: set[str] = set()
        self._backoffs: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._history: OrderedDict[bytes, tuple[int, PubSubMessage]] = OrderedDict()
        self._beats = 0
        self.dropped = 0

    def join(self, topic: str) -> None:
        """Hear of a topic."""
        if topic in self._topics:
            return
        self._topics[topic] = _Topic({peer for peer, state in self._peers.items() if topic in state.topics})
        self._unsettled.add(topic)
        for peer in self._peers:
            self._send(peer, RPC(subscriptions=[RPC.SubOpts(subscribe=True, topicid=topic)]))

    def leave(self, topic: str) -> None:
        """Hear of a topic no longer."""
        state = self._topics.pop(topic, None)
        if state is None:
            return
        self._unsettled.discard(topic)
        for peer in self._peers:
            rpc = RPC(subscriptions=[RPC.SubOpts(subscribe=False, topicid=topic)])
            if peer in state.mesh:
                _prune(rpc, topic)
            self._send(peer, rpc)

    def connect(self, peer: bytes) -> None:
        """A peer takes messages: it is told of all topics."""
        self._peers[peer] = _Peer()
        names = list(self._topics)
        for first in range(0, len(names), _MAX_IDS):
            said = [RPC.SubOpts(subscribe=True, topicid=name) for name in names[first : first + _MAX_IDS]]
            self._send(peer, RPC(subscriptions=said), always=True)

    def disconnect(self, peer: bytes) -> None:
        """A peer takes messages no longer."""
        state = self._peers.pop(peer, None)
        for topic in () if state is None else state.topics:
            self._part(peer, topic)

    def publish(self, topic: str, data: bytes) -> bool:
        """Tell all peers that hear of a topic.

        Args:
            topic: The topic, which was joined.
            data: What to say.

        Returns:
            Whether it is short enough, and the topic one that was joined.
        """
        state = self._topics.get(topic)
        if state is None:
            return False
        self._seqno += 1
        message = PubSubMessage(from_id=self._own, data=data, seqno=self._seqno.to_bytes(8, "big"), topicIDs=[topic])
        message.signature = self._key.sign(_SIGN_PREFIX + message.SerializeToString())
        rpc = RPC(publish=[message])
        if rpc.ByteSize() > MAX_MESSAGE_BYTES - _OVERHEAD:
            return False
        self._notice(_id(message))
        self._keep(message)
        for peer in state.peers:
            self._send(peer, rpc)
        return True

    def pass_on(self, gossip: Gossip, sender: bytes) -> None:
        """Tell others of a message that was found good.

        Args:
            gossip: The message.
            sender: Who brought it.
        """
        kept, state = self._history.get(gossip.id), self._topics.get(gossip.topic)
        if kept is None or state is None:
            return
        for peer in state.mesh - {sender, kept[1].from_id}:
            self._send(peer, RPC(publish=[kept[1]]))

    def forget(self, gossip: Gossip) -> None:
        """Let nobody have a message that was not found good."""
        self._history.pop(gossip.id, None)

    def receive(self, peer: bytes, data: bytes) -> list[Gossip]:
        """Take a message between two peers.

        Args:
            peer: Who sent it.
            data: Its bytes.

        Returns:
            What it brings that is new, signed and about topics that were joined.

        Raises:
            BadGossipError: It is none, or one of the messages in it is not signed by its author.
        """
        try:
            rpc = RPC.FromString(data)
        except DecodeError as error:
            raise BadGossipError("no message of pubsub") from error
        for said in rpc.subscriptions[: MAX_TOPICS + 1]:
            self._subscribed(peer, said.topicid, subscribes=said.subscribe)
        found = [each for message in rpc.publish for each in self._take(message)]
        if rpc.HasField("control"):
            self._control(peer, rpc.control)
        return found

    def beat(self) -> None:
        """Do what is done every `HEARTBEAT_SECONDS`: mend the mesh, and tell of messages those outside of it."""
        self._beats += 1
        now = self._clock()
        while self._seen and next(iter(self._seen.values())) < now - SEEN_SECONDS:
            self._seen.popitem(last=False)
        while self._backoffs and next(iter(self._backoffs.values())) < now:
            self._backoffs.popitem(last=False)
        for topic in list(self._unsettled):
            self._mend(topic, self._topics[topic])
        recent: dict[str, list[bytes]] = {}
        while self._history and next(iter(self._history.values()))[0] <= self._beats - _HISTORY:
            self._history.popitem(last=False)
        for id_, (beat, message) in self._history.items():
            if beat > self._beats - _GOSSIPED_HISTORY:
                recent.setdefault(message.topicIDs[0], []).append(id_)
        for topic, ids in recent.items():
            state = self._topics.get(topic)
            outside = [] if state is None else list(state.peers - state.mesh)
            for peer in self._chance.sample(outside, min(_GOSSIPED_TO, len(outside))):
                rpc = RPC()
                rpc.control.ihave.add(topicID=topic, messageIDs=ids)
                self._send(peer, rpc)

    def data_to_send(self, peer: bytes) -> bytes:
        """Give what is to be written to a peer next, with its length before it; nothing where there is nothing."""
        state = self._peers.get(peer)
        if state is None or not state.queue:
            return b""
        data = state.queue.popleft()
        state.queued -= len(data)
        return data

    def peers_of(self, topic: str) -> set[bytes]:
        """Give the peers that hear of a topic, which was joined."""
        state = self._topics.get(topic)
        return set() if state is None else set(state.peers)

    def _subscribed(self, peer: bytes, topic: str, *, subscribes: bool) -> None:
        state = self._peers.get(peer)
        if state is None or len(topic) > MAX_TOPIC_BYTES:
            return
        if not subscribes:
            state.topics.discard(topic)
            self._part(peer, topic)
        elif len(state.topics) < MAX_TOPICS:
            state.topics.add(topic)
            if topic in self._topics:
                self._topics[topic].peers.add(peer)
                self._unsettled.add(topic)

    def _part(self, peer: bytes, topic: str) -> None:
        known = self._topics.get(topic)
        if known is not None:
            known.peers.discard(peer)
            known.mesh.discard(peer)
            self._unsettled.add(topic)

    def _take(self, message: PubSubMessage) -> Iterable[Gossip]:
        if len(message.topicIDs) != 1 or message.topicIDs[0] not in self._topics or message.from_id == self._own:
            return
        id_ = _id(message)
        if id_ in self._seen:
            return
        if not _is_signed(message):
            raise BadGossipError("a message is not signed by its author")
        self._notice(id_)
        self._keep(message)
        yield Gossip(message.topicIDs[0], message.data, id_)

    def _control(self, peer: bytes, control: ControlMessage) -> None:
        answer = RPC()
        wanted = [id_ for said in control.ihave if said.topicID in self._topics for id_ in said.messageIDs[:_MAX_IDS]]
        unknown = list(dict.fromkeys(id_ for id_ in wanted if id_ not in self._seen))[:_MAX_IDS]
        if unknown:
            answer.control.iwant.add(messageIDs=unknown)
        for graft in control.graft:
            if not self._graft(peer, graft.topicID):
                _prune(answer, graft.topicID)
        for prune in control.prune:
            if prune.topicID in self._topics:
                self._topics[prune.topicID].mesh.discard(peer)
                self._unsettled.add(prune.topicID)
                self._back_off(prune.topicID, peer)
        if answer.ByteSize():
            self._send(peer, answer)
        asked = dict.fromkeys(id_ for said in control.iwant for id_ in said.messageIDs[:_MAX_IDS])
        for id_ in list(asked)[:_MAX_IDS]:
            if id_ in self._history:
                self._send(peer, RPC(publish=[self._history[id_][1]]))

    def _graft(self, peer: bytes, topic: str) -> bool:
        """Take a peer into the mesh of a topic; tells whether it may be in it, or nothing need be said of it."""
        state = self._topics.get(topic)
        if state is None or peer in state.mesh or peer not in state.peers:
            return True
        if (topic, peer) in self._backoffs or len(state.mesh) >= MESH_HIGH:
            self._back_off(topic, peer)
            return False
        state.mesh.add(peer)
        return True

    def _mend(self, topic: str, state: _Topic) -> None:
        if len(state.mesh) < MESH_LOW:
            others = [peer for peer in state.peers - state.mesh if (topic, peer) not in self._backoffs]
            for peer in self._chance.sample(others, min(MESH - len(state.mesh), len(others))):
                state.mesh.add(peer)
                rpc = RPC()
                rpc.control.graft.add(topicID=topic)
                self._send(peer, rpc)
        if len(state.mesh) >= min(MESH_LOW, len(state.peers)):
            self._unsettled.discard(topic)

    def _back_off(self, topic: str, peer: bytes) -> None:
        self._backoffs[topic, peer] = self._clock() + BACKOFF_SECONDS
        self._backoffs.move_to_end((topic, peer))
        if len(self._backoffs) > _MAX_BACKOFFS:
            self._backoffs.popitem(last=False)

    def _notice(self, id_: bytes) -> None:
        self._seen[id_] = self._clock()
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)

    def _keep(self, message: PubSubMessage) -> None:
        self._history[_id(message)] = (self._beats, message)
        if len(self._history) > _MAX_HISTORY:
            self._history.popitem(last=False)

    def _send(self, peer: bytes, rpc: RPC, *, always: bool = False) -> None:
        state = self._peers.get(peer)
        if state is None:
            return
        data = rpc.SerializeToString()
        if not always and (len(state.queue) >= MAX_QUEUED or state.queued + len(data) > MAX_QUEUED_BYTES):
            self.dropped += 1
            return
        state.queue.append(varints.encode(len(data)) + data)
        state.queued += len(state.queue[-1])
        self._wake(peer)


def _id(message: PubSubMessage) -> bytes:
    return message.from_id + message.seqno


def _is_signed(message: PubSubMessage) -> bool:
    try:
        author = PublicKey.from_peer_id(message.from_id)
    except NetError:
        return False
    bare = PubSubMessage()
    bare.CopyFrom(message)
    bare.ClearField("signature")
    bare.ClearField("key")
    return author.verify(_SIGN_PREFIX + bare.SerializeToString(), message.signature)


def _prune(rpc: RPC, topic: str) -> None:
    rpc.control.prune.add(topicID=topic, backoff=int(BACKOFF_SECONDS))

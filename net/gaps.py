"""Records that a host no longer hands out by `GetRecords`: fetched block by block, back from what it gives.

A go-threads daemon gives only the newest 10,000 records of a thread, shared among its logs (threads-protocol.md); the
older ones it still has as blocks.
"""

from collections.abc import Sequence

from net import records
from net.arrivals import place_of
from net.crypto import Cipher
from net.errors import NetError
from net.keys import PublicKey
from net.network import Network
from net.peer_client import PeerClient
from net.peer_errors import InvalidReplyError, PeerUnreachableError
from net.records import Envelope, RecordBlocks
from net.thread_id import ThreadID
from net.thread_info import LogInfo, ThreadInfo
from store.engine import Engine

MAX_WALKED = 1_000_000
"""How many records are fetched so in one go."""

_AT_ONCE = 128


class GapFiller:
    """Fetches what is missing between the head of a log here and what a host gives.

    Args:
        engine: The store.
        network: Takes records.
        client: Asks other hosts.
    """

    def __init__(self, engine: Engine, network: Network, client: PeerClient) -> None:
        self._engine = engine
        self._network = network
        self._client = client

    async def fill(self, peer: bytes, thread: ThreadInfo, log: LogInfo, given: RecordBlocks) -> None:
        """Fetch the records before one, back to one that is here.

        Args:
            peer: The host.
            thread: The thread.
            log: The log as it is here.
            given: A record of the log, or of another history of it.

        Raises:
            PeerUnreachableError: The host does not give the blocks.
            NetError: As `PeerClient`, or a record is not what it should be; all before it is kept.
        """
        cipher = Cipher(thread.key.service)
        walked: list[Envelope] = []
        blocks: list[bytes] = []
        cid = self._open(given.record, cipher, log.public_key).previous
        while cid is not None and not place_of(self._engine, thread.number, log.number, cid)[0]:
            if len(walked) >= MAX_WALKED:
                raise InvalidReplyError("the peer lacks too many records of a log")
            block = (await self._fetch(peer, [cid]))[0]
            envelope = self._open(block, cipher, log.public_key)
            walked.append(envelope)
            blocks.append(block)
            cid = envelope.previous
        walked.reverse()
        blocks.reverse()
        for first in range(0, len(walked), _AT_ONCE):
            some = walked[first : first + _AT_ONCE]
            await self._take(peer, thread.id, log.id, some, blocks[first : first + _AT_ONCE])

    async def is_of(self, peer: bytes, thread: ThreadInfo, log: LogInfo, record: bytes) -> bool:
        """Tell whether a record that a host names is there, and signed by the owner of a log.

        Args:
            peer: The host.
            thread: The thread.
            log: The log.
            record: The record's CID.

        Raises:
            NetError: As `PeerClient`.
        """
        block = (await self._client.fetch(peer, [record])).get(record)
        if block is None:
            return False
        try:
            self._open(block, Cipher(thread.key.service), log.public_key)
        except NetError:
            return False
        return True

    async def _take(
        self, peer: bytes, thread: ThreadID, log_id: bytes, envelopes: Sequence[Envelope], blocks: Sequence[bytes]
    ) -> None:
        events = await self._fetch(peer, [envelope.event_cid for envelope in envelopes])
        links = [records.event_links(event) for event in events]
        headers = await self._fetch(peer, [header for header, _ in links])
        bodies = await self._fetch(peer, [body for _, body in links])
        whole = [RecordBlocks(*parts) for parts in zip(blocks, events, headers, bodies, strict=True)]
        await self._network.add_records(thread, log_id, whole)

    @staticmethod
    def _open(block: bytes, cipher: Cipher, log_key: PublicKey) -> Envelope:
        """Open a record that the owner of the log has signed, so that nobody else can send us walking."""
        envelope = records.open_envelope(block, cipher)
        records.verify_envelope(envelope, log_key)
        return envelope

    async def _fetch(self, peer: bytes, cids: Sequence[bytes]) -> list[bytes]:
        found = await self._client.fetch(peer, list(dict.fromkeys(cids)))
        try:
            return [found[cid] for cid in cids]
        except KeyError as error:
            raise PeerUnreachableError("the peer lacks blocks of a log that it serves") from error

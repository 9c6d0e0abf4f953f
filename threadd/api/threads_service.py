"""`threads.pb.API`: databases over threads.

Each method reads the request, calls one verb of `threadd.db` and writes the reply; the rules are there. Refusals go out
as statuses: `transactionError` of a reply is for operations inside of a transaction stream only. An rpc without a
method here answers UNIMPLEMENTED. The streams are in `threads_streams`.
"""

from collections.abc import AsyncIterator, Iterable

from net.keys import parse_log_key
from net.multiaddr import Multiaddr
from net.thread_id import ThreadID
from net.thread_key import ThreadKey
from proto import threads_pb2 as pb
from threadd.api import threads_streams
from threadd.api.addresses import HostAddresses
from threadd.api.dispatcher import Call
from threadd.api.statuses import InvalidRequestError
from threadd.api.token_flow import TokenFlow
from threadd.db.collections import CollectionConfig, Index
from threadd.db.database import Database
from threadd.db.joining import Joining
from threadd.db.manager import Manager

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["API"]


class ThreadsService:
    """The servicer.

    Args:
        manager: All databases.
        joining: Brings databases from other hosts.
        token_flow: Gives tokens.
        addresses: Where this host is reached.
    """

    def __init__(self, manager: Manager, joining: Joining, token_flow: TokenFlow, addresses: HostAddresses) -> None:
        self._manager = manager
        self._joining = joining
        self._token_flow = token_flow
        self._addresses = addresses

    def get_token(
        self,
        _call: Call,
        requests: AsyncIterator[pb.GetTokenRequest],
    ) -> AsyncIterator[pb.GetTokenReply]:
        """Give a token to whoever proves to be an identity; see `TokenFlow.run`."""
        return self._token_flow.run(requests, pb.GetTokenReply)

    async def new_db(self, call: Call, request: pb.NewDBRequest) -> pb.NewDBReply:
        """Create a thread and a database over it."""
        await self._manager.new_db(
            ThreadID.from_bytes(request.dbID),
            key=ThreadKey.from_bytes(request.key) if request.key else None,
            log_key=parse_log_key(request.logKey) if request.logKey else None,
            name=request.name,
            collections=[_config(config) for config in request.collections],
            identity=call.identity,
        )
        return pb.NewDBReply()

    async def new_db_from_addr(self, call: Call, request: pb.NewDBFromAddrRequest) -> pb.NewDBReply:
        """Join the database at an address."""
        await self._joining.join(
            Multiaddr.from_bytes(request.addr),
            key=ThreadKey.from_bytes(request.key),
            log_key=parse_log_key(request.logKey) if request.logKey else None,
            name=request.name,
            collections=[_config(config) for config in request.collections],
            identity=call.identity,
            block=request.block,
        )
        return pb.NewDBReply()

    async def list_dbs(self, _call: Call, _request: pb.ListDBsRequest) -> pb.ListDBsReply:
        """Tell of all databases."""
        return pb.ListDBsReply(
            dbs=[
                pb.ListDBsReply.DB(dbID=database.thread_id.bytes, info=self._info(database))
                for database in self._manager.list_dbs()
            ],
        )

    async def get_db_info(self, _call: Call, request: pb.GetDBInfoRequest) -> pb.GetDBInfoReply:
        """Tell the name, the addresses and the key of a database."""
        return self._info(self._database(request.dbID))

    async def delete_db(self, _call: Call, request: pb.DeleteDBRequest) -> pb.DeleteDBReply:
        """Delete a database and its thread."""
        await self._manager.delete_db(ThreadID.from_bytes(request.dbID))
        return pb.DeleteDBReply()

    async def new_collection(self, _call: Call, request: pb.NewCollectionRequest) -> pb.NewCollectionReply:
        """Add a collection."""
        await self._database(request.dbID).new_collection(_given_config(request))
        return pb.NewCollectionReply()

    async def update_collection(self, _call: Call, request: pb.UpdateCollectionRequest) -> pb.UpdateCollectionReply:
        """Give a collection another schema, other indexes, another validator or filter."""
        await self._database(request.dbID).update_collection(_given_config(request))
        return pb.UpdateCollectionReply()

    async def delete_collection(self, _call: Call, request: pb.DeleteCollectionRequest) -> pb.DeleteCollectionReply:
        """Delete a collection with all that is in it."""
        await self._database(request.dbID).delete_collection(request.name)
        return pb.DeleteCollectionReply()

    async def get_collection_info(
        self,
        _call: Call,
        request: pb.GetCollectionInfoRequest,
    ) -> pb.GetCollectionInfoReply:
        """Tell how a collection was made."""
        return _collection_info(self._database(request.dbID).collection(request.name))

    async def get_collection_indexes(
        self,
        _call: Call,
        request: pb.GetCollectionIndexesRequest,
    ) -> pb.GetCollectionIndexesReply:
        """Tell the indexes of a collection."""
        config = self._database(request.dbID).collection(request.name)
        return pb.GetCollectionIndexesReply(indexes=_indexes(config))

    async def list_collections(self, _call: Call, request: pb.ListCollectionsRequest) -> pb.ListCollectionsReply:
        """Tell of all collections."""
        configs = self._database(request.dbID).list_collections()
        return pb.ListCollectionsReply(collections=map(_collection_info, configs))

    async def create(self, call: Call, request: pb.CreateRequest) -> pb.CreateReply:
        """Create instances; the reply has their IDs in the order of the request."""
        database = self._database(request.dbID)
        ids = await database.create(request.collectionName, request.instances, call.identity)
        return pb.CreateReply(instanceIDs=ids)

    async def verify(self, call: Call, request: pb.VerifyRequest) -> pb.VerifyReply:
        """Tell whether a save would be accepted."""
        await self._database(request.dbID).verify(request.collectionName, request.instances, call.identity)
        return pb.VerifyReply()

    async def save(self, call: Call, request: pb.SaveRequest) -> pb.SaveReply:
        """Replace instances, or create those that are not there."""
        await self._database(request.dbID).save(request.collectionName, request.instances, call.identity)
        return pb.SaveReply()

    async def delete(self, call: Call, request: pb.DeleteRequest) -> pb.DeleteReply:
        """Delete instances."""
        await self._database(request.dbID).delete(request.collectionName, request.instanceIDs, call.identity)
        return pb.DeleteReply()

    async def has(self, call: Call, request: pb.HasRequest) -> pb.HasReply:
        """Tell whether all of the instances exist."""
        database = self._database(request.dbID)
        return pb.HasReply(exists=await database.has(request.collectionName, request.instanceIDs, call.identity))

    async def find(self, call: Call, request: pb.FindRequest) -> pb.FindReply:
        """Find instances by a query."""
        database = self._database(request.dbID)
        return pb.FindReply(
            instances=await database.find(request.collectionName, request.queryJSON, call.identity),
        )

    async def find_by_id(self, call: Call, request: pb.FindByIDRequest) -> pb.FindByIDReply:
        """Find one instance by its ID."""
        database = self._database(request.dbID)
        return pb.FindByIDReply(
            instance=await database.find_by_id(request.collectionName, request.instanceID, call.identity),
        )

    def read_transaction(
        self,
        call: Call,
        requests: AsyncIterator[pb.ReadTransactionRequest],
    ) -> AsyncIterator[pb.ReadTransactionReply]:
        """Read one state as often as the client likes."""
        return threads_streams.read_transaction(self._manager, call, requests)

    def write_transaction(
        self,
        call: Call,
        requests: AsyncIterator[pb.WriteTransactionRequest],
    ) -> AsyncIterator[pb.WriteTransactionReply]:
        """Read and write until the client ends the stream."""
        return threads_streams.write_transaction(self._manager, call, requests)

    def listen(self, call: Call, request: pb.ListenRequest) -> AsyncIterator[pb.ListenReply]:
        """Tell of changes until the client goes away."""
        return threads_streams.listen(self._manager, call, request)

    def _database(self, thread_id: bytes) -> Database:
        return self._manager.get(ThreadID.from_bytes(thread_id))

    def _info(self, database: Database) -> pb.GetDBInfoReply:
        info = database.info()
        return pb.GetDBInfoReply(
            name=info.name,
            addrs=self._addresses.of_thread(database.thread_id),
            key=info.key.bytes,
        )


def _given_config(request: pb.NewCollectionRequest | pb.UpdateCollectionRequest) -> CollectionConfig:
    if not request.HasField("config"):
        raise InvalidRequestError("config is required: give the collection's name and schema")
    return _config(request.config)


def _config(config: pb.CollectionConfig) -> CollectionConfig:
    return CollectionConfig(
        name=config.name,
        schema=config.schema,
        indexes=tuple(Index(index.path, index.unique) for index in config.indexes),
        write_validator=config.writeValidator,
        read_filter=config.readFilter,
    )


def _collection_info(config: CollectionConfig) -> pb.GetCollectionInfoReply:
    return pb.GetCollectionInfoReply(
        name=config.name,
        schema=config.schema,
        indexes=_indexes(config),
        writeValidator=config.write_validator,
        readFilter=config.read_filter,
    )


def _indexes(config: CollectionConfig) -> Iterable[pb.Index]:
    return [pb.Index(path=index.path, unique=index.unique) for index in config.indexes]

"""A client for programs in Python: asyncio, typed, over the services that all clients of the Hub speak.

    async with Client("127.0.0.1:6006") as client:
        await client.authenticate(Identity.random())
        db = await client.new_db(name="first")
        people = await db.new_collection("people")
        [ada] = await people.create([{"name": "Ada", "born": 1815}])
        found = await people.find(where("born").lt(1900).order_by("name"))

At the Hub's door add ``api_key=ApiKey(key, secret)``. ``threadd.client.testing`` starts a daemon for tests.
"""

from threadd.client.buckets import Bucket, BucketInfo, Buckets, Item, Links, Role
from threadd.client.client import Client
from threadd.client.collections import Collection
from threadd.client.credentials import ApiKey, Identity
from threadd.client.databases import CollectionConfig, Database, DatabaseInfo
from threadd.client.errors import BadKeyError, ClientError, OperationRefusedError, RefusedError
from threadd.client.listening import Action, Event
from threadd.client.queries import Query, where
from threadd.client.transactions import ReadTransaction, WriteTransaction

__all__ = [
    "Action",
    "ApiKey",
    "BadKeyError",
    "Bucket",
    "BucketInfo",
    "Buckets",
    "Client",
    "ClientError",
    "Collection",
    "CollectionConfig",
    "Database",
    "DatabaseInfo",
    "Event",
    "Identity",
    "Item",
    "Links",
    "OperationRefusedError",
    "Query",
    "ReadTransaction",
    "RefusedError",
    "Role",
    "WriteTransaction",
    "where",
]

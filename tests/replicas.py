"""Two daemons' rooms in one process: what one of them has is given to the other by hand, records and blocks apart."""

from net.keys import PublicKey
from net.records import RecordBlocks
from store import records as record_rows
from store import tables
from store import threads as thread_rows
from threadd.buckets import access


async def give_records(source, target, thread):
    """Give all records of a thread, and its logs with them, as peers do."""
    row = thread_rows.get_thread(source.engine, thread.bytes)
    key = source.databases.get(thread).info().key
    if target.databases.app_of(thread) is None:
        await target.databases.new_db(
            thread, key=key, collections=[access.CONFIG], identity=target.host_key.public, name="joined"
        )
    for log in thread_rows.logs_of(source.engine, row.number):
        known = {each.id for each in target.network.get_thread(thread).logs}
        if log.id not in known:
            public = PublicKey.from_bytes(log.public_key)
            await target.network.create_thread(thread, identity=public, key=key, log_key=public)
        records = [
            RecordBlocks(each.record, each.event, each.header, each.body)
            for _, each in record_rows.records_from(source.engine, row.number, log.number)
        ]
        if records:
            await target.network.add_records(thread, log.id, records)


def blocks_of(rooms):
    """The digests of all blocks that are kept."""
    return {tables.digest_of(key) for key, _ in rooms.buckets._blocks._engine.scan(*tables.file_blocks())}


async def give_blocks(source, target, digests=None):
    """Give blocks, all or those of some digests, as the import of a CAR file does."""
    async with target.buckets._blocks.uploading() as upload:
        for key, block in list(source.buckets._blocks._engine.scan(*tables.file_blocks())):
            digest = tables.digest_of(key)
            if digests is None or digest in digests:
                await upload.put(b"\x01\x70\x12\x20" + digest, block)
        await upload.sync()


async def push(rooms, thread, actor, key, files, root=""):
    """Put files into a bucket; returns it as it was saved."""
    async with rooms.buckets.pushing(thread, actor, key, root) as pushed:
        for path, data in files.items():
            file = await pushed.begin(path)
            await file.add(data)
            await pushed.finish(file)
        return await pushed.save()


async def pulled(rooms, thread, actor, key, path):
    """The bytes of a file of a bucket."""
    bucket = await rooms.buckets.get(thread, actor, key)
    return b"".join([piece async for piece in (await rooms.buckets.contents.file(bucket, path)).read()])

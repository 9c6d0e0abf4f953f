"""Schemas of what is imported are as costly as whoever made the file liked."""

import json

import pytest
from costly_schemas import TOO_COSTLY_TO_COMPILE, loop_stays_free

from net.thread_id import ThreadID
from store.copies import open_to_read
from threadd.maintenance.exporting import export
from threadd.maintenance.importing import ImportFileError
from threadd.maintenance.lines import encode
from threadd.rooms import open_rooms
from threadd.verbs import ImportDatabase


async def test_a_database_whose_schema_takes_too_long_to_compile_is_not_imported(written, tmp_path):
    repo, thread = written
    with open_to_read(repo) as (reader, _):
        lines = [json.loads(encode(line)) for line in export(reader, ThreadID.from_bytes(thread))]
    for line in lines:
        if line["type"] == "collection":
            line["schema"] = TOO_COSTLY_TO_COMPILE["patterns that repeat repeats"].decode()
    file = tmp_path / "costly.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    async with open_rooms(tmp_path / "other") as rooms:
        with loop_stays_free(), pytest.raises(ImportFileError, match="compiling it takes too long"):
            await rooms.operator.handle(ImportDatabase(str(file)))
        assert rooms.databases.list_dbs() == []

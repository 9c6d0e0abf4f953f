"""Asking a collection's scripts on behalf of somebody: may this be written, what may be seen."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from net.keys import PublicKey
from net.patches import Patch, PatchType
from threadd.db.collections import Collection, CollectionConfig
from threadd.db.scripts import ScriptRunner

_TYPE_NAMES = {PatchType.CREATE: "create", PatchType.SAVE: "save", PatchType.DELETE: "delete"}


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks the scripts.

    Args:
        scripts: Runs them.
        identity: Whoever reads or writes.
        host: The host itself. It acts for callers without a token, who have no name for a filter.
    """

    scripts: ScriptRunner
    identity: PublicKey
    host: PublicKey

    async def check_write(self, collection: Collection, patch: Patch, before: bytes | None) -> None:
        """Ask the write validator, if there is one.

        Args:
            collection: The collection.
            patch: What is written.
            before: JSON text of the instance before, or None.

        Raises:
            WriteDeniedError, ScriptError: As `ScriptRunner.validate`.
        """
        if collection.config.write_validator:
            await self.scripts.validate(
                collection.config.write_validator,
                self.identity.text,
                event_of(patch),
                before,
            )

    async def shown(self, collection: Collection, text: bytes) -> bytes | None:
        """What of an instance may be seen.

        Args:
            collection: The collection.
            text: JSON text of the instance.

        Returns:
            JSON text, or None where that is nothing.

        Raises:
            ScriptError: As `ScriptRunner.filter`.
        """
        if not collection.config.read_filter:
            return text
        reader = None if self.identity == self.host else self.identity.text
        return await self.scripts.filter(collection.config.read_filter, reader, text)

    def filter_of(self, collection: Collection) -> Callable[[bytes], Awaitable[bytes | None]] | None:
        """What `shown` does for one collection; None where everything may be seen."""
        if not collection.config.read_filter:
            return None
        return lambda text: self.shown(collection, text)


def event_of(patch: Patch) -> bytes:
    """JSON text of a patch as validators see it (threads protocol, "DB semantics")."""
    parts = [f'"type":"{_TYPE_NAMES[patch.type]}","instance_id":{json.dumps(patch.instance_id)}'.encode()]
    if patch.json is not None:
        parts.append(b'"json_patch":' + patch.json)
    head = f'{{"timestamp":{patch.timestamp},"_id":{json.dumps(patch.instance_id)},'
    return f'{head}"collection_name":{json.dumps(patch.collection)},"patch":{{'.encode() + b",".join(parts) + b"}}"


async def check_scripts(scripts: ScriptRunner, config: CollectionConfig) -> None:
    """Refuse a configuration whose scripts do not compile.

    Raises:
        InvalidScriptError: With the place and the reason.
    """
    if config.write_validator:
        await scripts.check(config.write_validator, validator=True)
    if config.read_filter:
        await scripts.check(config.read_filter, validator=False)

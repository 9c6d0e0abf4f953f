"""The collection that buckets are in: its schema, and the rules that every daemon of the thread runs.

The rules are those of the hosted Hub (hub-protocol.md, section 5, "Stored instance"), so that all daemons that share a
thread judge alike; they are written for the oldest JavaScript among them.
"""

import json
from typing import Any, Final

from threadd.db.collections import CollectionConfig, Index

COLLECTION: Final = "buckets"

DENIED: Final = "permission denied"
"""What the rules answer to whoever may not do something."""

_DRAFT: Final = "http://json-schema.org/draft-04/schema#"
_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer"}


def _ref(name: str, *, with_draft: bool = True) -> dict[str, Any]:
    reference = {"$ref": f"#/definitions/{name}"}
    return {"$schema": _DRAFT, **reference} if with_draft else reference


def _map(values: dict[str, Any]) -> dict[str, Any]:
    return {"patternProperties": {".*": values}, "type": "object"}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
        "type": "object",
    }


SCHEMA: Final = {
    "$schema": _DRAFT,
    **_object(
        "_id owner name version path metadata archives created_at updated_at",
        _id=_TEXT,
        archives=_ref("Archives"),
        created_at=_NUMBER,
        key=_TEXT,
        metadata=_map(_ref("Metadata")),
        name=_TEXT,
        owner=_TEXT,
        path=_TEXT,
        updated_at=_NUMBER,
        version=_NUMBER,
    ),
    "definitions": {
        "Archive": _object("cid deals", cid=_TEXT, deals={"items": _ref("Deal"), "type": "array"}),
        "Archives": _object(
            "current history",
            current=_ref("Archive"),
            history={"items": _ref("Archive", with_draft=False), "type": "array"},
        ),
        "Deal": _object("proposal_cid miner", miner=_TEXT, proposal_cid=_TEXT),
        "Metadata": _object("roles updated_at", key=_TEXT, roles=_map(_NUMBER), updated_at=_NUMBER),
    },
}

_ROLE_AT: Final = """
// The highest role of somebody at a path: that of its entry or of any above it.
function roleAt(metadata, path, who) {
  var highest = 0;
  var at = path;
  for (;;) {
    var entry = metadata[at];
    var role = entry && entry.roles ? entry.roles[who] || 0 : 0;
    if (role > highest) { highest = role; }
    if (at === "") { return highest; }
    var slash = at.lastIndexOf("/");
    at = slash < 0 ? "" : at.substring(0, slash);
  }
}
"""

_WRITE_VALIDATOR: Final = (
    _ROLE_AT
    + """
var DENIED = "permission denied";
if (instance && !instance.version) { return true; }  // a bucket from before there were rules
var patch = event.patch;
var change = patch.json_patch || {};
if (patch.type === "create") {
  return change.owner === "" || change.owner === writer ? true : DENIED;
}
var owner = instance ? instance.owner : "";
if (owner === "") { return true; }
var isOwner = writer === owner;
if (patch.type === "delete") { return isOwner ? true : DENIED; }

if (!isOwner) {
  var kept = ["owner", "name", "version", "key", "archives", "created_at"];
  for (var k = 0; k < kept.length; k++) {
    if (change[kept[k]]) { return DENIED; }
  }
  if (change.path && !change.metadata) { return DENIED; }
}
var paths = Object.keys(change.metadata || {});
for (var p = 0; p < paths.length; p++) {
  var path = paths[p];
  if (!instance.metadata[path]) {
    if (!isOwner) { return DENIED; }  // only the owner makes entries
    continue;
  }
  var own = roleAt(instance.metadata, path, writer);
  var entry = change.metadata[path];
  if ((!entry || entry.roles) && own < 3) { return DENIED; }  // to remove it, to change who may do what
  if (own < 2 && roleAt(instance.metadata, path, "*") < 2) { return DENIED; }
}
return true;
"""
)

_READ_FILTER: Final = (
    _ROLE_AT
    + """
if (!instance.version || instance.owner === "") { return instance; }
var shown = {};
var paths = Object.keys(instance.metadata);
for (var p = 0; p < paths.length; p++) {
  var path = paths[p];
  if (roleAt(instance.metadata, path, reader) > 0 || roleAt(instance.metadata, path, "*") > 0) {
    shown[path] = instance.metadata[path];
  }
}
instance.metadata = shown;
if (Object.keys(shown).length === 0) { delete instance.key; }
return instance;
"""
)

CONFIG: Final = CollectionConfig(
    name=COLLECTION,
    schema=json.dumps(SCHEMA).encode(),
    indexes=(Index("path"),),
    write_validator=_WRITE_VALIDATOR,
    read_filter=_READ_FILTER,
)

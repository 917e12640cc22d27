"""The schemas of what the API takes and gives (JSON Schema 2020-12, as OpenAPI 3.1 has it).

`SCHEMAS` has those that answers are made of; the rest are the words that they are written in.
"""

from __future__ import annotations

from typing import Any, Final

from store.server.keys import SCOPES
from store.server.records import NAME, ROLES, VISIBILITIES

Schema = dict[str, Any]


def typed(kind: str, text: str = "", **more: object) -> Schema:
    return {"type": kind, **({"description": text} if text else {}), **more}


def fields_of(words: str = "", may_lack: str = "", /, **fields: Schema) -> Schema:
    """An object: `words` are name:kind (see KINDS), without a kind a text; ? = it may be null.

    `may_lack` are further words, and names among `fields`, of what need not be in the object.
    """
    pairs = [word.partition(":")[::2] for word in f"{words} {may_lack}".split()]
    simple = {name: _kind(kind) for name, kind in pairs if name not in fields}
    made = {"type": "object", "properties": {**simple, **fields}}
    lacking = {word.partition(":")[0] for word in may_lack.split()}
    required = [name for name in made["properties"] if name not in lacking]
    return {**made, "required": required} if required else made


def _kind(text: str) -> Schema:
    schema = KINDS[text.removesuffix("?")]
    return {**schema, "type": [schema["type"], "null"]} if text.endswith("?") else schema


def list_of(items: Schema, text: str = "") -> Schema:
    return typed("array", text, items=items)


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def map_of(values: Schema, text: str = "") -> Schema:
    return typed("object", text, additionalProperties=values)


TEXT: Final = typed("string")
WHOLE: Final = typed("integer")
NUMBER: Final = typed("number")
FLAG: Final = typed("boolean")
ANYTHING: Final[Schema] = {}
TIME: Final = typed("number", "seconds since 1970")
FOR_MEMBERS: Final[Schema] = {"type": ["string", "null"], "description": "for members"}
KINDS: Final = {
    "": TEXT,
    "text": TEXT,
    "whole": WHOLE,
    "number": NUMBER,
    "flag": FLAG,
    "time": TIME,
    "object": typed("object"),
    "any": ANYTHING,
}
RUN_NAME: Final = {**list_of(TEXT, "entity, project, run"), "minItems": 3, "maxItems": 3}
SHA256: Final = typed("string", pattern="^[0-9a-f]{64}$")
SIZES: Final = {**map_of(WHOLE, "sizes by SHA-256"), "propertyNames": SHA256}
NEW_NAME: Final = typed("string", pattern=f"^{NAME}$")
SCOPE: Final = typed("string", enum=list(SCOPES))
ROLE: Final = typed("string", enum=list(ROLES))
VISIBILITY: Final = typed("string", enum=list(VISIBILITIES))
POSITION: Final = list_of(ANYTHING, "the number of the last row, and the digest up to it in hex")
POSITIONS: Final = map_of(POSITION, "by source uuid")

SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": fields_of(error=fields_of("code message hint:text?", "retry_after:number")),
    "Project": fields_of(
        "entity name",
        "created:time member:flag runs:whole running:whole updated:time?",
        visibility=VISIBILITY,
    ),
    "Run": fields_of(
        "entity project id name state created:time? updated:time? ended:time? group:text?"
        " job_type:text? notes:text? rows:whole steps:whole? points:whole size:whole"
        " writers:whole stubs:whole config:object summary:object",
        "host commit",
        tags=list_of(TEXT),
        nan=list_of(TEXT, "keys of the summary that are NaN, which JSON cannot say"),
        **dict.fromkeys(("host", "commit"), FOR_MEMBERS),
    ),
    "Source": fields_of(
        "uuid kind label:text? parent:text? position:whole digest step:whole? state"
        " exit_code:whole? opened:time? latest:time?",
        "pid:whole? host store",
        **dict.fromkeys(("host", "store"), FOR_MEMBERS),
    ),
    "Metric": fields_of("key points:whole min:number? max:number? last:any step_metric:text?"),
    "Series": fields_of(
        "x from:number to:number points:whole",
        "missing",
        missing=list_of(TEXT),
        series=list_of(
            fields_of(
                "run key total:whole",
                "source mean_x mean_y",
                x=list_of(NUMBER),
                y=list_of({"type": ["number", "null"]}, "null is NaN"),
                mean_x=list_of(NUMBER, "the middle of each column"),
                mean_y=list_of(NUMBER, "the mean of its values"),
            )
        ),
    ),
    "Line": fields_of("seq:whole time:time stream text source writer:text?"),
    "ObjectKey": fields_of("key count:whole first:whole last:whole", types=list_of(TEXT)),
    "Object": fields_of("seq:whole step:whole time:time type data:any"),
    "File": fields_of("name size:whole? sha256:text? here:flag"),
    "User": fields_of("name admin:flag disabled:flag created:time"),
    "Key": fields_of(
        "id prefix user label:text? created:time expires:time? last_used:time? revoked:time?",
        scopes=list_of(SCOPE),
    ),
    "Entity": fields_of("name kind role:text?", "created:time"),
    "Member": fields_of("entity project:text? user", role=ROLE),
}

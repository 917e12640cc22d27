"""The OpenAPI 3.1 document, made from the table of routes: GET /api/v1/openapi.json.

What a handler takes and gives stands in `OPERATIONS`, under the handler's name; what everybody
takes and gives (path, key, errors) is made from the table itself.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.responses import Response

from store import __version__
from store.server.files import SHOWN_TYPES
from store.server.keys import SCOPES
from store.server.library import answer
from store.server.records import NAME, ROLES, VISIBILITIES
from store.server.selection import LIMIT
from store.server.series import CONTENT_TYPE as SERIES
from store.server.series import MAX_COLUMNS
from store.sync.wire import CONTENT_TYPE as BATCH

if TYPE_CHECKING:
    from starlette.requests import Request

    from store.server.routes import Endpoint

Schema = dict[str, Any]
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"


def _typed(kind: str, text: str = "", **more: object) -> Schema:
    return {"type": kind, **({"description": text} if text else {}), **more}


def _object(words: str = "", may_lack: str = "", /, **fields: Schema) -> Schema:
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


def _list(items: Schema, text: str = "") -> Schema:
    return _typed("array", text, items=items)


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _map(values: Schema, text: str = "") -> Schema:
    return _typed("object", text, additionalProperties=values)


TEXT: Final = _typed("string")
WHOLE: Final = _typed("integer")
NUMBER: Final = _typed("number")
FLAG: Final = _typed("boolean")
ANYTHING: Final[Schema] = {}
TIME: Final = _typed("number", "seconds since 1970")
FOR_MEMBERS: Final[Schema] = {"type": ["string", "null"], "description": "for members"}
KINDS: Final = {
    "": TEXT,
    "text": TEXT,
    "whole": WHOLE,
    "number": NUMBER,
    "flag": FLAG,
    "time": TIME,
    "object": _typed("object"),
    "any": ANYTHING,
}
RUN_NAME: Final = {**_list(TEXT, "entity, project, run"), "minItems": 3, "maxItems": 3}
SHA256: Final = _typed("string", pattern="^[0-9a-f]{64}$")
SIZES: Final = {**_map(WHOLE, "sizes by SHA-256"), "propertyNames": SHA256}
NEW_NAME: Final = _typed("string", pattern=f"^{NAME}$")
SCOPE: Final = _typed("string", enum=list(SCOPES))
ROLE: Final = _typed("string", enum=list(ROLES))
VISIBILITY: Final = _typed("string", enum=list(VISIBILITIES))
POSITION: Final = _list(ANYTHING, "the number of the last row, and the digest up to it in hex")
POSITIONS: Final = _map(POSITION, "by source uuid")


class Operation(NamedTuple):
    """What a handler takes and gives: `query` by name, media types with their schemas.

    `needs` are those of `query` that must be given.
    """

    query: Mapping[str, Schema] = MappingProxyType({})
    body: Mapping[str, Schema] = MappingProxyType({})
    gives: Mapping[str, Schema] = MappingProxyType({})
    status: int = 200
    summary: str | None = None
    needs: tuple[str, ...] = ()


SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": _object(error=_object("code message hint:text?", "retry_after:number")),
    "Project": _object(
        "entity name",
        "created:time member:flag runs:whole running:whole updated:time?",
        visibility=VISIBILITY,
    ),
    "Run": _object(
        "entity project id name state created:time? updated:time? ended:time? group:text?"
        " job_type:text? notes:text? rows:whole steps:whole? points:whole size:whole"
        " writers:whole stubs:whole config:object summary:object",
        "host commit",
        tags=_list(TEXT),
        nan=_list(TEXT, "keys of the summary that are NaN, which JSON cannot say"),
        **dict.fromkeys(("host", "commit"), FOR_MEMBERS),
    ),
    "Source": _object(
        "uuid kind label:text? parent:text? position:whole digest step:whole? state"
        " exit_code:whole? opened:time? latest:time?",
        "pid:whole? host store",
        **dict.fromkeys(("host", "store"), FOR_MEMBERS),
    ),
    "Metric": _object("key points:whole min:number? max:number? last:any step_metric:text?"),
    "Series": _object(
        "x from:number to:number points:whole",
        "missing",
        missing=_list(TEXT),
        series=_list(
            _object(
                "run key total:whole",
                "mean_x mean_y",
                x=_list(NUMBER),
                y=_list({"type": ["number", "null"]}, "null is NaN"),
                mean_x=_list(NUMBER, "the middle of each column"),
                mean_y=_list(NUMBER, "the mean of its values"),
            )
        ),
    ),
    "Line": _object("seq:whole time:time stream text source writer:text?"),
    "ObjectKey": _object("key count:whole first:whole last:whole", types=_list(TEXT)),
    "Object": _object("seq:whole step:whole time:time type data:any"),
    "File": _object("name size:whole? sha256:text? here:flag"),
    "User": _object("name admin:flag disabled:flag created:time"),
    "Key": _object(
        "id prefix user label:text? created:time expires:time? last_used:time? revoked:time?",
        scopes=_list(SCOPE),
    ),
    "Entity": _object("name kind role:text?", "created:time"),
    "Member": _object("entity project:text? user", role=ROLE),
}

_SERIES_QUERY: Final[dict[str, Schema]] = {
    "key": _list(TEXT, "names of metrics"),
    "points": _typed("integer", "pixel columns of the chart", maximum=MAX_COLUMNS, default=1000),
    "from": _typed("number", "where the chart begins, in units of x"),
    "to": _typed("number", "where it ends"),
    "x": _typed("string", enum=["step", "time", "relative", "metric"]),
    "x_key": _typed("string", "with x=metric: the metric whose values are x"),
    "mean": _typed("string", "1: also the mean of each column", enum=["0", "1"]),
    "source": _typed("string", "only what this source logged"),
    "type": _typed("string", "of y in a binary answer", enum=["float64", "float32"]),
}
_SERIES: Final = {_JSON: _ref("Series"), SERIES: _typed("string", format="binary")}
_FILE: Final = {_BYTES: _typed("string", format="binary")}
_MADE: Final = 201
_GONE: Final = 204
NO: Final = ("4XX", "503")
"""The statuses of answers that are a Problem."""

OPERATIONS: Final[dict[str, Operation]] = {
    "about": Operation(
        gives={_JSON: _object("name version", wire=_list(WHOLE), limits=_map(WHOLE))}
    ),
    "me": Operation(
        gives={
            _JSON: _object(
                "user admin:flag default_entity", key=_ref("Key"), entities=_list(_ref("Entity"))
            )
        }
    ),
    "list_users": Operation(gives={_JSON: _object(users=_list(_ref("User")))}),
    "create_user": Operation(
        body={_JSON: _object("", "admin:flag?", name=NEW_NAME)},
        gives={_JSON: _ref("User")},
        status=_MADE,
    ),
    "change_user": Operation(
        body={_JSON: _object("", "admin:flag? disabled:flag?")}, gives={_JSON: _ref("User")}
    ),
    "delete_user": Operation(status=_GONE),
    "list_keys": Operation(
        query={"user": _typed("string", "whose; * is everybody's")},
        gives={_JSON: _object(keys=_list(_ref("Key")))},
    ),
    "create_key": Operation(
        body={_JSON: _object("", "user:text? label:text? expires:time?", scopes=_list(SCOPE))},
        gives={_JSON: {"allOf": [_ref("Key"), _object("key")]}},
        status=_MADE,
    ),
    "revoke_key": Operation(status=_GONE),
    "list_entities": Operation(gives={_JSON: _object(entities=_list(_ref("Entity")))}),
    "create_team": Operation(
        body={_JSON: _object("", "admin:text?", name=NEW_NAME)},
        gives={_JSON: _ref("Entity")},
        status=_MADE,
    ),
    "delete_team": Operation(status=_GONE),
    "list_members": Operation(gives={_JSON: _object(members=_list(_ref("Member")))}),
    "set_member": Operation(
        body={_JSON: _object("user", "project:text?", role=ROLE)},
        gives={_JSON: _ref("Member")},
        status=_MADE,
    ),
    "change_member": Operation(
        body={_JSON: _object("", "project:text?", role=ROLE)}, gives={_JSON: _ref("Member")}
    ),
    "remove_member": Operation(query={"project": TEXT}, status=_GONE),
    "change_project": Operation(
        body={_JSON: _object(visibility=VISIBILITY)}, gives={_JSON: _ref("Project")}
    ),
    "positions": Operation(
        body={_JSON: _object("", "restore:flag send:flag", runs=_list(RUN_NAME))},
        gives={_JSON: _object(runs=_list(_object("", "error:object sources", sources=POSITIONS)))},
        summary="Where the sources of runs stand, at most 1000 runs at once.",
    ),
    "batches": Operation(
        query={"restore": _typed("string", "1: lift the deletion of the run")},
        body={BATCH: _typed("string", format="binary")},
        gives={_JSON: _object(sources=POSITIONS, refused=_list(_list(ANYTHING)))},
        summary="Take rows of a run; answered once they are on the disk.",
    ),
    "missing_blobs": Operation(
        body={_JSON: _object("", "held", run=RUN_NAME, hashes=SIZES, held=_list(SHA256))},
        gives={_JSON: _object(missing=_map(WHOLE, "bytes that are here, by SHA-256"))},
        summary="Which contents of files have not come yet.",
    ),
    "put_blob": Operation(
        query={"entity": TEXT, "project": TEXT, "run": TEXT, "offset": WHOLE, "size": WHOLE},
        body=_FILE,
        gives={_JSON: _object("offset:whole complete:flag")},
        summary="Take a part of the content of a file.",
        needs=("entity", "project", "run", "offset", "size"),
    ),
    "show_openapi": Operation(gives={_JSON: _typed("object")}),
    "list_projects": Operation(
        query={"entity": TEXT}, gives={_JSON: _object(projects=_list(_ref("Project")))}
    ),
    "show_project": Operation(gives={_JSON: _ref("Project")}),
    "list_runs": Operation(
        query={
            "state": _list(TEXT, "any of these"),
            "tag": _list(TEXT, "all of these"),
            "group": TEXT,
            "job_type": TEXT,
            "name": _list(TEXT, "parts of the name or the id"),
            "filter": _list(TEXT, "such as config.lr<0.1 or summary.loss>=0.3; = != < <= > >="),
            "sort": _typed("string", "a field, config.KEY or summary.KEY; - for greatest first"),
            "limit": _typed("integer", minimum=1, maximum=LIMIT, default=100),
            "after": _typed("string", "what the answer before called next"),
        },
        gives={_JSON: _object("total:whole next:text?", runs=_list(_ref("Run")))},
    ),
    "show_project_series": Operation(
        query={"run": _list(TEXT), **_SERIES_QUERY}, gives=_SERIES, needs=("run", "key")
    ),
    "show_run": Operation(
        gives={
            _JSON: {
                "allOf": [
                    _ref("Run"),
                    _object(
                        "member:flag attributes:object has_console:flag has_files:flag",
                        metrics=_list(_ref("Metric")),
                        refused=_map(WHOLE),
                        sources=_list(_ref("Source")),
                    ),
                ]
            }
        }
    ),
    "delete_run": Operation(gives={_JSON: _object("by at:time", deleted=RUN_NAME)}),
    "list_rows": Operation(
        query={
            "source": _typed("string", "uuid of one source"),
            "after": _typed("integer", "number of its last row that is known"),
            "seq_after": _typed("integer", "instead: of all sources, what arrived behind this"),
            "limit": WHOLE,
        },
        gives={BATCH: _typed("string", format="binary")},
    ),
    "show_series": Operation(query=_SERIES_QUERY, gives=_SERIES, needs=("key",)),
    "show_console": Operation(
        query={
            "after": _typed("integer", "lines behind this seq"),
            "before": _typed("integer", "instead: the last lines before this seq"),
            "limit": WHOLE,
            "search": _typed("string", "only lines with this text"),
        },
        gives={_JSON: _object("more:flag", "next:whole before:whole", lines=_list(_ref("Line")))},
    ),
    "list_files": Operation(gives={_JSON: _object(files=_list(_ref("File")))}),
    "show_file": Operation(
        query={"view": _typed("string", enum=["download", "inline"])},
        gives=dict.fromkeys((_BYTES, *SHOWN_TYPES), _FILE[_BYTES]),
    ),
    "list_objects": Operation(gives={_JSON: _object(keys=_list(_ref("ObjectKey")))}),
    "show_objects": Operation(
        query={"after": _typed("integer", "values behind this seq"), "limit": WHOLE},
        gives={_JSON: _object("next:whole more:flag", objects=_list(_ref("Object")))},
    ),
    "change_run": Operation(
        body={_JSON: _object("", "notes:text? name:text? tags", tags=_list(TEXT))},
        gives={_JSON: _object("name notes:text?", changed=_list(TEXT))},
    ),
    "show_project_events": Operation(gives={"text/event-stream": _object("event data")}),
    "show_events": Operation(
        query={"after": _typed("integer", "seq that is known")},
        gives={"text/event-stream": _object("id event data")},
    ),
}


async def show_openapi(_request: Request) -> Response:
    """This document."""
    from store.server.routes import ROUTES

    return answer(make_document(ROUTES))


def make_document(routes: tuple[Endpoint, ...]) -> dict[str, Any]:
    """The OpenAPI document of a table of routes."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in routes:
        path = endpoint.path.replace(":path}", "}")
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, path)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Runstore",
            "version": __version__,
            "description": "Version 1 of the API of a Runstore server.",
        },
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "responses": {"Problem": _answer("No, and why.", {_JSON: _ref("Problem")})},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, path: str) -> dict[str, Any]:
    said = OPERATIONS.get(endpoint.handler.__name__, Operation())
    need = endpoint.need.name
    is_open = need in ("ANYBODY", "READ_PROJECT")
    made: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": said.summary or (inspect.getdoc(endpoint.handler) or "").partition("\n")[0],
        "description": f"For: {endpoint.need.value}.",
        "parameters": [*_path_parameters(path), *_query_parameters(said)],
        "security": [{}, {"key": []}] if is_open else [{"key": []}],
        "responses": {
            str(said.status): _answer("Done.", said.gives),
            **{no: {"$ref": "#/components/responses/Problem"} for no in NO},
        },
    }
    if said.body:
        made["requestBody"] = {"required": True, "content": _content(said.body)}
    return made


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": SHA256 if name == "sha256" else TEXT,
        }
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameters(said: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": name in said.needs, "schema": schema}
        for name, schema in said.query.items()
    ]


def _answer(text: str, media: Mapping[str, Schema]) -> dict[str, Any]:
    return {"description": text, **({"content": _content(media)} if media else {})}


def _content(media: Mapping[str, Schema]) -> dict[str, Any]:
    return {name: {"schema": schema} for name, schema in media.items()}

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
from store.server.library import answer
from store.server.schemas import (
    ANYTHING,
    NEW_NAME,
    POSITIONS,
    ROLE,
    RUN_NAME,
    SCHEMAS,
    SCOPE,
    SHA256,
    SIZES,
    TEXT,
    VISIBILITY,
    WHOLE,
    Schema,
    fields_of,
    list_of,
    map_of,
    ref,
    typed,
)
from store.server.selection import LIMIT
from store.server.series import CONTENT_TYPE as SERIES
from store.server.series import MAX_COLUMNS
from store.sync.wire import CONTENT_TYPE as BATCH

if TYPE_CHECKING:
    from starlette.requests import Request

    from store.server.routes import Endpoint

_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"


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


_SERIES_QUERY: Final[dict[str, Schema]] = {
    "key": list_of(TEXT, "names of metrics"),
    "points": typed("integer", "pixel columns of the chart", maximum=MAX_COLUMNS, default=1000),
    "from": typed("number", "where the chart begins, in units of x"),
    "to": typed("number", "where it ends"),
    "x": typed("string", enum=["step", "time", "relative", "metric"]),
    "x_key": typed("string", "with x=metric: the metric whose values are x"),
    "mean": typed("string", "1: also the mean of each column", enum=["0", "1"]),
    "source": typed("string", "only what this source logged"),
    "by": typed("string", "source: each source has series of its own", enum=["run", "source"]),
    "type": typed("string", "of y in a binary answer", enum=["float64", "float32"]),
}
_SERIES: Final = {_JSON: ref("Series"), SERIES: typed("string", format="binary")}
_FILE: Final = {_BYTES: typed("string", format="binary")}
_STANDS: Final = fields_of("", "error:object sources", sources=POSITIONS)
_MORE_LINES: Final = "next:whole before:whole"
_MADE: Final = 201
_GONE: Final = 204
NO: Final = ("4XX", "503")
"""The statuses of answers that are a Problem."""

OPERATIONS: Final[dict[str, Operation]] = {
    "about": Operation(
        gives={_JSON: fields_of("name version", wire=list_of(WHOLE), limits=map_of(WHOLE))}
    ),
    "me": Operation(
        gives={
            _JSON: fields_of(
                "user admin:flag default_entity", key=ref("Key"), entities=list_of(ref("Entity"))
            )
        }
    ),
    "list_users": Operation(gives={_JSON: fields_of(users=list_of(ref("User")))}),
    "create_user": Operation(
        body={_JSON: fields_of("", "admin:flag?", name=NEW_NAME)},
        gives={_JSON: ref("User")},
        status=_MADE,
    ),
    "change_user": Operation(
        body={_JSON: fields_of("", "admin:flag? disabled:flag?")}, gives={_JSON: ref("User")}
    ),
    "delete_user": Operation(status=_GONE),
    "list_keys": Operation(
        query={"user": typed("string", "whose; * is everybody's")},
        gives={_JSON: fields_of(keys=list_of(ref("Key")))},
    ),
    "create_key": Operation(
        body={_JSON: fields_of("", "user:text? label:text? expires:time?", scopes=list_of(SCOPE))},
        gives={_JSON: {"allOf": [ref("Key"), fields_of("key")]}},
        status=_MADE,
    ),
    "revoke_key": Operation(status=_GONE),
    "list_entities": Operation(gives={_JSON: fields_of(entities=list_of(ref("Entity")))}),
    "create_team": Operation(
        body={_JSON: fields_of("", "admin:text?", name=NEW_NAME)},
        gives={_JSON: ref("Entity")},
        status=_MADE,
    ),
    "delete_team": Operation(status=_GONE),
    "list_members": Operation(gives={_JSON: fields_of(members=list_of(ref("Member")))}),
    "set_member": Operation(
        body={_JSON: fields_of("user", "project:text?", role=ROLE)},
        gives={_JSON: ref("Member")},
        status=_MADE,
    ),
    "change_member": Operation(
        body={_JSON: fields_of("", "project:text?", role=ROLE)}, gives={_JSON: ref("Member")}
    ),
    "remove_member": Operation(query={"project": TEXT}, status=_GONE),
    "change_project": Operation(
        body={_JSON: fields_of(visibility=VISIBILITY)}, gives={_JSON: ref("Project")}
    ),
    "positions": Operation(
        body={_JSON: fields_of("", "restore:flag send:flag", runs=list_of(RUN_NAME))},
        gives={
            _JSON: fields_of(runs=list_of(fields_of("", "error:object sources", sources=POSITIONS)))
        },
        summary="Where the sources of runs stand, at most 1000 runs at once.",
    ),
    "batches": Operation(
        query={"restore": typed("string", "1: lift the deletion of the run")},
        body={BATCH: typed("string", format="binary")},
        gives={_JSON: fields_of(sources=POSITIONS, refused=list_of(list_of(ANYTHING)))},
        summary="Take rows of a run; answered once they are on the disk.",
    ),
    "missing_blobs": Operation(
        body={_JSON: fields_of("", "held", run=RUN_NAME, hashes=SIZES, held=list_of(SHA256))},
        gives={_JSON: fields_of(missing=map_of(WHOLE, "bytes that are here, by SHA-256"))},
        summary="Which contents of files have not come yet.",
    ),
    "put_blob": Operation(
        query={"entity": TEXT, "project": TEXT, "run": TEXT, "offset": WHOLE, "size": WHOLE},
        body=_FILE,
        gives={_JSON: fields_of("offset:whole complete:flag")},
        summary="Take a part of the content of a file.",
        needs=("entity", "project", "run", "offset", "size"),
    ),
    "show_openapi": Operation(gives={_JSON: typed("object")}),
    "list_projects": Operation(
        query={"entity": TEXT}, gives={_JSON: fields_of(projects=list_of(ref("Project")))}
    ),
    "show_project": Operation(gives={_JSON: ref("Project")}),
    "list_runs": Operation(
        query={
            "state": list_of(TEXT, "any of these"),
            "tag": list_of(TEXT, "all of these"),
            "group": TEXT,
            "job_type": TEXT,
            "name": list_of(TEXT, "parts of the name or the id"),
            "filter": list_of(TEXT, "such as config.lr<0.1 or summary.loss>=0.3; = != < <= > >="),
            "sort": typed("string", "a field, config.KEY or summary.KEY; - for greatest first"),
            "limit": typed("integer", minimum=1, maximum=LIMIT, default=100),
            "after": typed("string", "what the answer before called next"),
        },
        gives={_JSON: fields_of("total:whole next:text?", runs=list_of(ref("Run")))},
    ),
    "show_project_series": Operation(
        query={"run": list_of(TEXT), **_SERIES_QUERY}, gives=_SERIES, needs=("run", "key")
    ),
    "show_run": Operation(
        gives={
            _JSON: {
                "allOf": [
                    ref("Run"),
                    fields_of(
                        "member:flag attributes:object has_console:flag has_files:flag",
                        metrics=list_of(ref("Metric")),
                        refused=map_of(WHOLE),
                        sources=list_of(ref("Source")),
                    ),
                ]
            }
        }
    ),
    "delete_run": Operation(gives={_JSON: fields_of("by at:time", deleted=RUN_NAME)}),
    "list_rows": Operation(
        query={
            "source": typed("string", "uuid of one source"),
            "after": typed("integer", "number of its last row that is known"),
            "seq_after": typed("integer", "instead: of all sources, what arrived behind this"),
            "limit": WHOLE,
        },
        gives={BATCH: typed("string", format="binary")},
    ),
    "show_series": Operation(query=_SERIES_QUERY, gives=_SERIES, needs=("key",)),
    "show_console": Operation(
        query={
            "after": typed("integer", "lines behind this seq"),
            "before": typed("integer", "instead: the last lines before this seq"),
            "limit": WHOLE,
            "search": typed("string", "only lines with this text"),
        },
        gives={
            _JSON: fields_of("more:flag", "next:whole before:whole", lines=list_of(ref("Line")))
        },
    ),
    "list_files": Operation(gives={_JSON: fields_of(files=list_of(ref("File")))}),
    "show_file": Operation(
        query={"view": typed("string", enum=["download", "inline"])},
        gives=dict.fromkeys((_BYTES, *SHOWN_TYPES), _FILE[_BYTES]),
    ),
    "list_objects": Operation(gives={_JSON: fields_of(keys=list_of(ref("ObjectKey")))}),
    "show_objects": Operation(
        query={"after": typed("integer", "values behind this seq"), "limit": WHOLE},
        gives={_JSON: fields_of("next:whole more:flag", objects=list_of(ref("Object")))},
    ),
    "change_run": Operation(
        body={_JSON: fields_of("", "notes:text? name:text? tags", tags=list_of(TEXT))},
        gives={_JSON: fields_of("name notes:text?", changed=list_of(TEXT))},
    ),
    "show_project_events": Operation(gives={"text/event-stream": fields_of("event data")}),
    "show_events": Operation(
        query={"after": typed("integer", "seq that is known")},
        gives={"text/event-stream": fields_of("id event data")},
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
            "responses": {"Problem": _answer("No, and why.", {_JSON: ref("Problem")})},
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

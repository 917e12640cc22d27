"""The addresses of the pages, in the same form as those of the API: each says who may call it.

A local store (`store ui`) has those of the pages and of the API that read, its SQL page, and the
change of a run's notes and tags.
"""

from __future__ import annotations

from typing import Final

from store.server import editing
from store.server.pages import (
    account,
    compare,
    licenses,
    projects,
    run,
    runs,
    signin,
    sql,
    static,
)
from store.server.routes import ROUTES, Endpoint, Need

_PROJECT: Final = "/{entity}/{project}"

SHARED: Final[tuple[Endpoint, ...]] = (
    Endpoint("GET", "/", projects.show_projects, Need.ANYBODY),
    Endpoint("GET", "/static/{path:path}", static.show_static, Need.ANYBODY),
    Endpoint("GET", "/licenses", licenses.show_licenses, Need.ANYBODY),
    Endpoint("GET", _PROJECT, runs.show_runs, Need.READ_PROJECT),
    Endpoint("GET", f"{_PROJECT}/rows", runs.show_rows, Need.READ_PROJECT),
    Endpoint("GET", f"{_PROJECT}/compare", compare.show_compare, Need.READ_PROJECT),
    Endpoint("GET", f"{_PROJECT}/runs/{{run}}", run.show_run_page, Need.READ_PROJECT),
)
"""Pages of servers and of local stores."""

PAGES: Final[tuple[Endpoint, ...]] = (
    Endpoint("GET", "/login", signin.show_login, Need.ANYBODY),
    Endpoint("POST", "/login", signin.sign_in, Need.ANYBODY),
    Endpoint("POST", "/logout", signin.sign_out, Need.ANYBODY),
    Endpoint("GET", "/account", account.show_account, Need.SIGNED_IN),
    Endpoint("POST", "/account/keys", account.create_key, Need.OWN_ACCOUNT),
    Endpoint("POST", "/account/keys/{key}/revoke", account.revoke_key, Need.OWN_ACCOUNT),
    *SHARED,
)
ALL_ROUTES: Final = (*ROUTES, *PAGES)
LOCAL_ROUTES: Final = (
    *(
        route
        for route in ROUTES
        if route.need is Need.READ_PROJECT
        or route.path.endswith("/projects")
        or route.handler is editing.change_run
    ),
    Endpoint("GET", "/sql", sql.show_sql, Need.ANYBODY),
    Endpoint("POST", "/sql", sql.ask_sql, Need.ANYBODY),
    *SHARED,
)

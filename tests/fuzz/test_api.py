"""The short form of the API's fuzz, and that it finds what is wrong."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse

from tests.fuzz.api import Busy, fuzz, subject


def test_no_request_gets_what_the_document_does_not_name(tmp_path: Path) -> None:
    tally = fuzz(*subject(tmp_path), 1, 1, ("examples", "fuzzing", "stateful"))
    assert tally.failures == {}
    # Else what is sent would not come as far as what it is meant for.
    assert tally.cases > 60
    assert {200, 201, 202, 404, 409, 422} <= set(tally.statuses)


def test_answers_that_the_document_does_not_name_are_found(tmp_path: Path) -> None:
    here, app = Busy(tmp_path), FastAPI()

    def fails() -> JSONResponse:
        return JSONResponse({}, 500)

    def lies() -> PlainTextResponse:
        return PlainTextResponse("no JSON", 418)

    app.add_api_route("/api/v1/fails", fails)
    app.add_api_route("/api/v1/environments/{environment}/fleets/{fleet}", lies, responses={200: {"links": {}}})
    found = " ".join(fuzz(here, app, 1, 1, ("fuzzing",)).failures)
    assert "GET /api/v1/fails not_a_server_error" in found
    assert "fleets/{fleet} status_code_conformance" in found

"""The application's OpenAPI document: what FastAPI makes of it, and the one document of all errors."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from orchestrator.api.v1.answers import Problem


class Application(FastAPI):
    """FastAPI's, with `Problem` in its document."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        made = self.openapi_schema is not None
        document = super().openapi()
        if not made:
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            document["components"]["schemas"].update({**problem.pop("$defs"), "Problem": problem})
        return document

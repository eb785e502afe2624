"""flask-openapi3, loaded without building the models of an OpenAPI document.

It has 38 of them, needed only where a document is made (SERVE_OPENAPI); building them takes a tenth
of an API's start.
"""

from pydantic import BaseModel

BaseModel.model_config["defer_build"] = True
try:
    from flask_openapi3.models.info import Info
    from flask_openapi3.openapi import OpenAPI
finally:
    del BaseModel.model_config["defer_build"]

__all__ = ["Info", "OpenAPI"]

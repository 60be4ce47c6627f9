"""From a MIME bundle, as IPython makes them, to one result of the wire."""

import base64

from caisson_runtime.tables import json_value

TABLE = "application/vnd.caisson.table+json"
CHART = "application/vnd.caisson.chart+json"
PLAIN = "application/vnd.caisson.plain+json"
_TEXT = {
    "text/plain": "text",
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "text/latex": "latex",
    "application/javascript": "javascript",
}
_BINARY = {"image/png": "png", "image/jpeg": "jpeg", "application/pdf": "pdf"}


def rich(bundle, is_main):
    result = {"isMainResult": is_main}
    extra = {}
    for mime, value in bundle.items():
        if value is None:
            continue
        if mime in _TEXT:
            result[_TEXT[mime]] = value if isinstance(value, str) else str(value)
        elif mime in _BINARY:
            result[_BINARY[mime]] = _base64(value)
        elif mime == "application/json":
            result["json"] = json_value(value)
        elif mime == TABLE:
            result["data"] = value
        elif mime == CHART:
            result["chart"] = value
        elif mime == PLAIN:
            result.setdefault("json", value)
        else:
            extra[str(mime)] = _base64(value) if isinstance(value, bytes) else json_value(value)
    if extra:
        result["extra"] = extra
    return result


def _base64(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    return str(value).replace("\n", "")

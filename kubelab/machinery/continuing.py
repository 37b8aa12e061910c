"""The token between two pages of a list: base64 of the revision that all its pages show, and where the next begins.

    {"v":"meta.k8s.io/v1","rv":10,"start":"default/a\\0"} ◄─► eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MTAs...

Models:    k8s.io/apiserver/pkg/storage/continue.go
"""

from __future__ import annotations

import base64
import posixpath

import orjson

from kubelab.machinery.base64_check import base64_error
from kubelab.machinery.decoding import json_type
from kubelab.machinery.errors import ApiError, bad_request
from kubelab.machinery.serializer import Malformed, read_json

VERSION = "meta.k8s.io/v1"
NOW = -1  # as a revision: whatever there is when the next page is asked for
_TYPES = {"v": (str, "string"), "rv": (int, "int64"), "start": (str, "string")}


def encode(revision: int, last_key: str) -> str:
    """Return the token of the page after `last_key`."""
    token = {"v": VERSION, "rv": revision, "start": last_key + "\0"}
    return base64.urlsafe_b64encode(orjson.dumps(token)).rstrip(b"=").decode()


def decode(text: str) -> tuple[int, str]:
    """Return the revision and the key to begin at. Raises `BadRequest`."""
    wrong = base64_error(text, padded=False, symbols="-_")
    if wrong is not None:
        raise _invalid(wrong)
    try:
        token, _ = read_json(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except Malformed as error:
        raise _invalid(str(error)) from None
    if not isinstance(token, dict):
        raise _invalid(f"json: cannot unmarshal {json_type(token)} into Go value of type storage.continueToken")
    for name, (type_, go) in _TYPES.items():
        if type(token.get(name, type_())) is not type_:
            raise _invalid(f"json: cannot unmarshal {json_type(token[name])} into Go struct field continueToken.{name} "
                           f"of type {go}")
    version, revision, start = token.get("v", ""), token.get("rv", 0), token.get("start", "")
    if version != VERSION:
        raise _invalid(f"server does not recognize this encoded version {version}")
    if not revision or not start:
        raise _invalid(f"{'encoded start key empty' if revision else 'incorrect encoded start resourceVersion'} "
                       f"(version {VERSION})")
    if posixpath.normpath(f"/{start.removeprefix('/')}") != f"/{start.removeprefix('/')}":  # no way out of the prefix
        raise _invalid(start)
    return revision, start


def _invalid(why: str) -> ApiError:
    return bad_request(f"invalid continue token: continue key is not valid: {why}")

"""Continue tokens go there and back, and what is none is refused with its reason."""

from __future__ import annotations

import base64
import json

import pytest

from kubelab.machinery.continuing import decode, encode
from kubelab.machinery.errors import ApiError

V1 = "meta.k8s.io/v1"


def test_a_token_says_where_the_next_page_begins() -> None:
    """Behind the last key, at the same revision."""
    assert decode(encode(10, "default/a")) == (10, "default/a\0")


@pytest.mark.parametrize(("token", "why"), [
    ("x", "illegal base64 data at input byte 0"),
    ("abc=", "illegal base64 data at input byte 3"),
    (b"hello", "invalid character 'h' looking for beginning of value"),
    ([], "json: cannot unmarshal array into Go value of type storage.continueToken"),
    ({"v": V1, "rv": "x"}, "json: cannot unmarshal string into Go struct field continueToken.rv of type int64"),
    ({"v": "v2", "rv": 1, "start": "a"}, "server does not recognize this encoded version v2"),
    ({"v": V1, "start": "a"}, f"incorrect encoded start resourceVersion (version {V1})"),
    ({"v": V1, "rv": 1}, f"encoded start key empty (version {V1})"),
    ({"v": V1, "rv": 1, "start": "../pods"}, "../pods")])
def test_what_is_no_token_is_refused(token: object, why: str) -> None:
    """By its encoding, its JSON, its version, its parts; none leads out of its resource."""
    if not isinstance(token, str):
        raw = token if isinstance(token, bytes) else json.dumps(token).encode()
        token = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    with pytest.raises(ApiError) as refused:
        decode(token)
    assert refused.value.message == f"invalid continue token: continue key is not valid: {why}"

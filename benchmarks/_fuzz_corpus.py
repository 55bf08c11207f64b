"""Requests made by hand to break a service: what a hostile or broken client sends, byte for byte."""

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Case", "corpus", "mutations"]

JSON = "application/json"
ROUTES = ("/predict", "/predict_rows", "/score", "/v2/models/fraud/infer")
ODD: tuple[str, ...] = (
    *("null", "true", "[]", "{}", "[[]]", '""', '"\\ud800"', '"\\u0000"', '"nan"', "-0", "1e308", "-1e308", "1e-400"),
    *("NaN", "Infinity", "-Infinity", "1e999", "0x10", "1_000", "01", "+1", ".5", "1.", "9" * 400, "-" + "9" * 5000),
    *('"2018-13-45"', '"2018-02-30T25:61:61"', '"0000-00-00"', '"9999-12-31T23:59:59.999999Z"', '"' + "x" * 5000 + '"'),
    *("9223372036854775808", "-9223372036854775809", "1" + "0" * 100_000, '"\\n\\r\\t\\u202e"', "'x'", "undefined", ""),
)
"""JSON values, or what is none, in the place of a field."""
MIB = 2**20


@dataclass(frozen=True)
class Case:
    """One connection. `head`: the request line and headers, ends included; `body`: in one go, or with a `pause`
    of so many seconds behind each byte; `reads`: whether the client takes its answer."""

    name: str
    head: bytes
    body: bytes = b""
    pause: float = 0.0
    reads: bool = True
    repeat: int = 1
    """How often the body is sent."""


def request(name: str, path: str, body: bytes, key: str, kind: str = JSON, method: str = "POST", **more: Any) -> Case:
    """With the headers that a good client sends."""
    extra = "".join(f"{each}: {value}\r\n" for each, value in more.pop("headers", {}).items())
    length = "" if "transfer-encoding" in extra.lower() else f"Content-Length: {len(body)}\r\n"
    known = f"Host: 127.0.0.1\r\nX-API-Key: {key}\r\nContent-Type: {kind}\r\n"
    return Case(name, f"{method} {path} HTTP/1.1\r\n{known}{extra}{length}\r\n".encode(), body, **more)


def corpus(good: dict[str, dict[str, Any]], key: str) -> Iterator[Case]:
    """`good`: route -> a body that it answers."""
    for route in ROUTES:
        yield from _broken_json(route, good[route], key)
        yield from _large(route, key)
    for route in ("/predict", "/score"):
        yield from _odd_fields(route, good[route], key)
    yield from _tensors(good["/v2/models/fraud/infer"], key)
    yield from _http(json.dumps(good["/predict"]).encode(), key)
    yield from _slow(good, key)


def _broken_json(route: str, good: dict[str, Any], key: str) -> Iterator[Case]:
    text = json.dumps(good)
    bodies: dict[str, bytes] = {
        "nothing": b"",
        "cut off": text[:-1].encode(),
        "two values": (text + text).encode(),
        "byte order mark": b"\xef\xbb\xbf" + text.encode(),
        "utf-16": text.encode("utf-16"),
        "latin-1": text.replace("}", ', "ä": "ö"}', 1).encode("latin-1"),
        "bytes that are no text": b'{"\xff\xfe": "\x80"}',
        "zero bytes": b"\x00" * 1000,
        "compressed": gzip.compress(text.encode()),
        "same key twice": (text[:-1] + ", " + text[1:]).encode(),
        "same key 10,000 times": b"{" + b'"amount": 1, ' * 10_000 + b'"amount": 2}',
        "deep lists": b"[" * 100_000,
        "deep lists, closed": b"[" * 100_000 + b"]" * 100_000,
        "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "deep in rows": b'{"rows": [' + b"[" * 50_000 + b"]" * 50_000 + b"]}",
        "many unknown fields": json.dumps({f"field {n}": n for n in range(20_000)}).encode(),
        "a long name": json.dumps({"x" * 100_000: 1}).encode(),
        "many rows that are none": json.dumps({"rows": [None, 1, "x", [], {}] * 500}).encode(),
        "half a million rows": b'{"rows": [' + b"{}," * 500_000 + b"{}]}",
        "rows in rows": json.dumps({"rows": [{"rows": [good]}]}).encode(),
        "a number": b"1",
        "a text": b'"x"',
        "null": b"null",
    }
    for name, body in bodies.items():
        yield request(f"{route}: {name}", route, body, key)
    for kind in ("", "text/plain", "application/json; charset=utf-16", "application/vnd.bentoml+pickle", "a" * 5000):
        yield request(f"{route}: as {kind[:40]!r}", route, text.encode(), key, kind)
    yield request(f"{route}: said to be compressed", route, text.encode(), key, headers={"Content-Encoding": "gzip"})


def _large(route: str, key: str) -> Iterator[Case]:
    part = b'"' + b"x" * (MIB - 2) + b'"'
    announced = {"Content-Length": str(100 * MIB)}
    head = request("", route, b"", key, headers=announced).head.replace(b"Content-Length: 0\r\n", b"")
    yield Case(f"{route}: 100 MB, announced", head, part, repeat=100)
    chunked = request("", route, b"", key, headers={"Transfer-Encoding": "chunked"}).head
    yield Case(f"{route}: 100 MB in chunks", chunked, b"%x\r\n%s\r\n" % (len(part), part), repeat=100)
    tiny = b"1\r\n[\r\n" * 100_000
    yield Case(f"{route}: a chunk for each byte", chunked, tiny + b"0\r\n\r\n")


def _odd_fields(route: str, good: dict[str, Any], key: str) -> Iterator[Case]:
    for field in good:
        for odd in ODD:
            told = json.dumps({**good, field: "HERE"}).replace('"HERE"', odd)
            yield request(f"{route}: {field} is {odd[:30]}", route, told.encode(), key)


def _tensors(good: dict[str, Any], key: str) -> Iterator[Case]:
    route = "/v2/models/fraud/infer"
    first = good["inputs"][0]
    for name, change in {
        "negative shape": {"shape": [-1]},
        "huge shape": {"shape": [2**62]},
        "shapes whose product is huge": {"shape": [2**31, 2**31]},
        "many dimensions": {"shape": [1] * 10_000},
        "shape of texts": {"shape": ["1"]},
        "unknown type": {"datatype": "FP128"},
        "no data": {"data": None},
        "too little data": {"shape": [1000]},
        "nested data": {"data": [[[[1]]]]},
        "raw bytes that are not there": {"parameters": {"binary_data_size": 10**9}},
        "negative raw bytes": {"parameters": {"binary_data_size": -1}},
        "no name": {"name": None},
    }.items():
        told = json.dumps({**good, "inputs": [{**first, **change}, *good["inputs"][1:]]}).encode()
        yield request(f"tensors: {name}", route, told, key)
    text = json.dumps(good).encode()
    for length in ("-1", "1e3", "9" * 5000, "0", str(len(text) + 1), "x"):
        named = {"Inference-Header-Content-Length": length}
        yield request(f"tensors: JSON of {length[:20]} bytes", route, text, key, headers=named)
    yield request("tensors: another model", "/v2/models/%00/infer", text, key)
    yield request("tensors: another version", "/v2/models/fraud/versions/999/infer", text, key)


def _http(body: bytes, key: str) -> Iterator[Case]:
    for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "BREW", "post"):
        for path in (*ROUTES, "/", "/readyz", "/metrics", "/openapi.json"):
            yield request(f"{method} {path}", path, b"", key, method=method)
    for path in (
        *(
            "/predict/",
            "//predict",
            "/predict?x=" + "y" * 10_000,
            "/../../etc/passwd",
            "/static/..%2f..%2fetc%2fpasswd",
        ),
        *("/%00", "/%ff%fe", "/" + "a" * 20_000, "*", "http://elsewhere.example/predict", "/v2/models/" + "a" * 20_000),
    ):
        yield request(f"path {path[:30]}", path, body, key)
    good = request("", "/predict", body, key).head
    for name, head in {
        "no key": good.replace(key.encode(), b""),
        "a wrong key": good.replace(key.encode(), b"mlp_wrong"),
        "a key of 60 KB": good.replace(key.encode(), b"k" * 60_000),
        "headers of 200 KB": good.replace(b"Host:", b"X-A: " + b"x" * 200_000 + b"\r\nHost:"),
        "3,000 headers": good.replace(b"Host:", b"".join(b"X-%d: 1\r\n" % n for n in range(3000)) + b"Host:"),
        "two lengths": good.replace(b"Content-Length", b"Content-Length: 3\r\nContent-Length"),
        "length and chunks": good.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length"),
        "a negative length": good.replace(b"Content-Length: ", b"Content-Length: -"),
        "a length of 5,000 digits": good.replace(b"Content-Length: ", b"Content-Length: " + b"0" * 5000),
        "no host": good.replace(b"Host: 127.0.0.1\r\n", b""),
        "bytes in a header": good.replace(b"Host:", b"X-Request-ID: \xff\xfe<script>\r\nHost:"),
        "HTTP/9.9": good.replace(b"HTTP/1.1", b"HTTP/9.9"),
        "HTTP/1.0": good.replace(b"HTTP/1.1", b"HTTP/1.0"),
        "an upgrade to a websocket": good.replace(b"Host:", b"Upgrade: websocket\r\nConnection: Upgrade\r\nHost:"),
        "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
        "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "expects 100-continue": good.replace(b"Host:", b"Expect: 100-continue\r\nHost:"),
    }.items():
        yield Case(name, head, body)


def _slow(good: dict[str, dict[str, Any]], key: str) -> Iterator[Case]:
    """Their number stays below what a worker takes at once."""
    body = json.dumps(good["/predict"]).encode()
    plain = request("", "/predict", body, key)
    for number in range(20):
        yield Case(f"slow headers {number}", b"", plain.head + body, pause=0.5)
        yield Case(f"slow body {number}", plain.head + body[:-40], body[-40:], pause=0.5)
        yield Case(f"a body that never comes {number}", plain.head)
        row = {name: value for name, value in good["/predict"].items() if name != "explain"}
        many = json.dumps({"rows": [row] * 4000, "explain": False}).encode()
        asked = request("", "/predict", many, key)
        yield Case(f"answers that nobody reads {number}", b"", asked.head + many, reads=False, repeat=40)


def mutations(good: dict[str, dict[str, Any]], key: str, seed: int) -> Iterator[Case]:
    """Endless: good bodies with some values replaced, or some bytes changed, left out, or doubled."""
    drawn = random.Random(seed)
    while True:
        route = drawn.choice(ROUTES)
        change = drawn.choice((_values_changed, _bytes_changed))
        yield request(f"{route}: {change.__name__}", route, change(good[route], drawn), key)


def _values_changed(good: dict[str, Any], drawn: random.Random) -> bytes:
    """What is still JSON, the most of the time."""
    body = json.loads(json.dumps(good))
    for _ in range(drawn.randint(1, 3)):
        at: Any = body
        while True:
            place = drawn.choice(list(at) if isinstance(at, dict) else range(len(at)))
            if not isinstance(at[place], dict | list) or not at[place] or drawn.random() < 0.1:
                break
            at = at[place]
        wrapped = ([at[place]], {"x": at[place]})
        at[place] = drawn.choice((0, 1, -1.5, 1e300, 2**53, True, None, "", "x", [], {}, *wrapped))
        if drawn.random() < 0.2:
            at[place] = f"HERE{drawn.randrange(len(ODD))}"
    text = json.dumps(body)
    for number, odd in enumerate(ODD):
        text = text.replace(f'"HERE{number}"', odd)
    return text.encode()


def _bytes_changed(good: dict[str, Any], drawn: random.Random) -> bytes:
    body = bytearray(json.dumps(good).encode())
    for _ in range(drawn.randint(1, 6)):
        at = drawn.randrange(len(body))
        match drawn.randrange(4):
            case 0:
                body[at] = drawn.randrange(256)
            case 1:
                del body[at : at + drawn.randint(1, 30)]
            case 2:
                body[at:at] = body[at : at + drawn.randint(1, 60)]
            case _:
                body[at:at] = drawn.choice(ODD).encode()[:2000]
        body = body or bytearray(b"{")
    return bytes(body)

"""A JSON text read value by value is the one that Python reads at once, wherever pieces of it end."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headframe.errors import DataError
from headframe.prediction.schema import parse_json
from headframe.serving import json_stream
from headframe.serving.json_stream import JsonStream, TooLarge

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


def whole(stream: JsonStream) -> Any:
    """Read a value step by step as far down as there are lists and objects."""
    kind = stream.kind()
    if kind == "list":
        return [whole(stream) for _ in stream.elements(1000, "elements")]
    if kind == "object":
        return {key: whole(stream) for key in stream.members()}
    return stream.value()


def all_of(stream: JsonStream, read: Callable[[JsonStream], Any] = whole) -> Any:
    found = read(stream)
    stream.end()
    return found


@pytest.mark.parametrize("read", [whole, JsonStream.value])
@settings(max_examples=150, derandomize=True, deadline=None)
@given(value=VALUES, piece=st.integers(1, 9), indent=st.none() | st.just(1), ascii_only=st.booleans())
def test_the_value_is_the_same_wherever_pieces_end(read, value: Any, piece: int, indent: Any, ascii_only: bool) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "PIECE", piece)
        try:
            body.decode()
        except UnicodeDecodeError:
            with pytest.raises(DataError, match="not UTF-8"):
                read(JsonStream(body, 1000))
            return
        found = all_of(JsonStream(body, 100_000), read)
    assert json.dumps(found) == json.dumps(json.loads(body))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(text=st.text('[]{}",:0123456789.eE+- tfnrulasx\\\n', max_size=30), piece=st.integers(1, 5))
def test_what_python_refuses_is_refused_and_nothing_else(text: str, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "PIECE", piece)
        patch.setattr(json_stream, "TAIL", 64)
        stream = JsonStream(text.encode(), 1000)
        try:
            expected = parse_json(text.encode())
        except ValueError:
            with pytest.raises(DataError, match="the body is no JSON: "):
                all_of(stream)
        else:
            assert all_of(stream) == expected


@pytest.mark.parametrize("piece", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("text", "place"),
    [("x", 1), (" \n x", 4), ("[1, }", 5), ('{"a" 1}', 6), ("[1] 2", 5), ('["é\U0001f600", ]', 8), ("[1", 3)],
)
def test_a_fault_is_at_its_character_wherever_pieces_end(text: str, place: int, piece: int, monkeypatch) -> None:
    monkeypatch.setattr(json_stream, "PIECE", piece)
    with pytest.raises(DataError, match=rf"\(character {place}\)"):
        all_of(JsonStream(text.encode(), 1000))


def test_a_value_may_have_so_many_characters_and_no_more() -> None:
    for length, fits in ((998, True), (999, False), (1_000_000, False)):
        body = json.dumps(["a" * length, 1]).encode()
        stream = JsonStream(body, 1000)
        places = stream.elements(2, "rows")
        next(places)
        if fits:
            assert stream.value() == "a" * length
        else:
            with pytest.raises(TooLarge, match="a row or value of the body has more than 1,000 characters"):
                stream.value()


def test_an_object_with_very_many_keys_is_refused_at_once() -> None:
    pairs = ",".join(f'"{number}":0' for number in range(60_000))
    with pytest.raises(DataError, match="key '0' came twice in one object"):
        JsonStream(f'{{{pairs},"0":1}}'.encode(), 10**6).value()
    with pytest.raises(TooLarge, match="more than 10,000 keys came in one object"):
        whole(JsonStream(f"{{{pairs}}}".encode(), 10**6))

"""Strict JSON, read value by value: no value is parsed that is longer than one may be, and none is kept unasked."""

import codecs
import json
import re
from collections.abc import Iterator
from json.decoder import JSONDecodeError
from typing import Any

from headframe.errors import DataError
from headframe.prediction.schema import STRICT, json_type, refuse_equal_names

PIECE = 2**16
"""Bytes that are decoded at first, and sixteen times as many each time that a value needs more and is parsed again."""

TAIL = 16
"""Characters at the end of what was decoded in which an error may come from what follows."""

BLANKS = re.compile(r"[ \t\n\r]*")

MOST_COLUMNS = 10_000
"""Keys of one object whose values are read one by one."""


class TooLarge(DataError):
    """A request has more rows, or a longer value, than one may have."""


class JsonStream:
    """A position in a JSON text. What is read is parsed by Python's parser in C, other threads in between.

    Args:
        body: UTF-8.
        longest: characters of one value.
    """

    def __init__(self, body: bytes | bytearray, longest: int) -> None:
        self._body = memoryview(body)
        self._longest = longest
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._decoder = json.JSONDecoder(**STRICT)
        self._text = ""
        self._at = 0
        self._decoded = 0  # bytes
        self._before = 0  # characters before `_text`
        self._piece = PIECE

    def kind(self) -> str:
        """Return the type of the next value, as messages call it."""
        names = {"{": "object", "[": "list", '"': "string", "t": "truth value", "f": "truth value", "n": "null"}
        return names.get(self._next(), "number")

    def value(self) -> Any:
        """Return the next value.

        Raises:
            TooLarge: it is longer than a value may be.
            DataError: it is no JSON, or has a key twice, or is a number that JSON does not have.
        """
        self._next()
        while True:
            waiting = len(self._text) - self._at
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except JSONDecodeError as error:
                is_cut = error.pos >= len(self._text) - TAIL or error.msg.startswith("Unterminated string")
                if is_cut and waiting <= self._longest and self._more():
                    continue
                if is_cut and waiting > self._longest:
                    raise self._too_long() from error
                raise self._fault(error.msg, error.pos) from error
            except RecursionError:
                raise self._fault("its lists or objects are nested too deeply to be read") from None
            except ValueError as error:
                raise DataError(f"the body is no JSON: {error}") from error
            if len(self._text) - end < TAIL and self._more():
                continue  # a number may go on
            if end - self._at > self._longest:
                raise self._too_long()
            self._at = end
            self._piece = PIECE
            return value

    @property
    def position(self) -> int:
        """Characters before the next value."""
        return self._before + self._at

    def elements(self, most: int, what: str) -> Iterator[int]:
        """Yield the number of each element of the next value, a list, from 1; the caller reads the element.

        Raises:
            TooLarge: there are more than `most`.
        """
        self._take("[")
        if self._next() == "]":
            self._take("]")
            return
        number = 1
        while number <= most:
            yield number
            number += 1
            if self._take(",]") == "]":
                return
        raise TooLarge(f"more than {most:,} {what} came in one request; send several requests")

    def members(self, most: int = MOST_COLUMNS) -> Iterator[str]:
        """Yield the keys of the next value, an object; the caller reads the value of each."""
        self._take("{")
        if self._next() == "}":
            self._take("}")
            return
        seen: list[str] = []
        while len(seen) <= most:
            if self._next() != '"':
                raise self._fault("Expecting property name enclosed in double quotes")
            key: str = self.value()
            seen.append(key)
            self._take(":")
            yield key
            if self._take(",}") == "}":
                try:
                    refuse_equal_names(seen)
                except ValueError as error:
                    raise DataError(f"the body is no JSON: {error}") from error
                return
        raise TooLarge(f"more than {most:,} keys came in one object; send fewer")

    def end(self) -> None:
        """Check that nothing follows."""
        if self._next(may_end=True):
            raise self._fault("Extra data")

    def _too_long(self) -> TooLarge:
        return TooLarge(f"a row or value of the body has more than {self._longest:,} characters; send shorter ones")

    def _next(self, *, may_end: bool = False) -> str:
        """Skip blanks, and return the next character; empty at the end."""
        while True:
            blanks = BLANKS.match(self._text, self._at)
            self._at = blanks.end() if blanks else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                if may_end:
                    return ""
                raise self._fault("it ends too early" if self._decoded else "it is empty")

    def _take(self, allowed: str) -> str:
        found = self._next()
        if found not in allowed:
            raise self._fault(f"Expecting {' or '.join(map(repr, allowed))}")
        self._at += 1
        return found

    def _more(self) -> bool:
        """Decode further bytes; False where there are none."""
        if self._decoded >= len(self._body):
            return False
        piece = self._body[self._decoded : self._decoded + self._piece]
        self._decoded += len(piece)
        self._piece *= 16
        try:
            text = self._decode(piece, self._decoded >= len(self._body))
        except UnicodeDecodeError as error:
            raise DataError(f"the body is no JSON: it is not UTF-8 ({error.reason})") from error
        self._before += self._at
        self._text, self._at = self._text[self._at :] + text, 0
        return True

    def _fault(self, reason: str, position: int | None = None) -> DataError:
        place = self.position if position is None else self._before + position
        return DataError(f"the body is no JSON: {reason} (character {place + 1:,})")


def require_kind(stream: JsonStream, kind: str, what: str, expected: str) -> None:
    """Check the type of the next value of a stream."""
    if (came := stream.kind()) != kind:
        raise DataError(f"{what} is a JSON {came}; expected {expected}")


def require_type(value: Any, kind: type, what: str, expected: str) -> None:
    """Check the type of a value that was read."""
    if not isinstance(value, kind):
        raise DataError(f"{what} is a JSON {json_type(value)}; expected {expected}")

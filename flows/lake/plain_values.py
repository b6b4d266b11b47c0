"""Texts whose value no two readers could take differently: a sign, digits, a point; a date as `2024-01-31`.

They are cast here, many times as fast as Spark casts them. What any other text means is left to Spark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
# From "-" to "9": the sign, the point and the digits, and the slash, which no cast takes.
_FIRST, _LAST = ord("-"), ord("9")


@dataclass(frozen=True)
class PlainValues:
    """`pattern` is what a plain text of the type looks like, of at most `longest` bytes. Where zeros at the front say
    something, `keeps_zeros` is false: such a text may be a code that was taken for a number."""

    type: pa.DataType
    pattern: str
    longest: int
    keeps_zeros: bool = True

    @classmethod
    def of(cls, type_: str) -> PlainValues | None:
        """For a type as `bronze_types.canonical` writes it; None if its texts are Spark's alone."""
        if decimal := _DECIMAL.fullmatch(type_):
            digits, scale = int(decimal[1]), int(decimal[2])
            # Zeros behind the last digit say nothing.
            fraction = rf"[0-9]{{1,{scale}}}0*" if scale else "0+"
            return cls(pa.decimal128(digits, scale), rf"^-?[0-9]{{1,{max(1, digits - scale)}}}(\.{fraction})?$", 40)
        return _PLAIN.get(type_)

    def values(self, texts: pa.StringArray) -> pa.Array:
        """The values, NULL for what is not plain."""
        if not self._may_be_odd(texts):
            try:
                return texts.cast(self.type)
            except pa.ArrowInvalid:
                pass
        plain = pc.and_(pc.match_substring_regex(texts, self.pattern), self._short(texts))
        try:
            return pc.if_else(plain, texts, pa.scalar(None, pa.string())).cast(self.type)
        except pa.ArrowInvalid:  # too large, or no day of the calendar
            return pa.nulls(len(texts), self.type)

    def _may_be_odd(self, texts: pa.StringArray) -> bool:
        """Whether one of the texts has other characters than plain ones, is too long, or is a code. Much cheaper than
        the pattern, which is asked for each text only if so."""
        import numpy as np

        # Below the first the difference of unsigned bytes is a large one.
        if ((_bytes(texts) - np.uint8(_FIRST)) > _LAST - _FIRST).any():
            return True
        if not pc.all(self._short(texts), min_count=0).as_py():
            return True
        return not self.keeps_zeros and bool(pc.any(_is_code(texts), min_count=0).as_py())

    def _short(self, texts: pa.StringArray) -> pa.BooleanArray:
        return pc.less_equal(pc.binary_length(texts), self.longest)


def _is_code(texts: pa.StringArray) -> pa.BooleanArray:
    """Zeros at the front of a whole number."""
    zero = pc.and_(pc.starts_with(texts, "0"), pc.greater(pc.binary_length(texts), 1))
    return pc.or_(zero, pc.starts_with(texts, "-0"))


def _bytes(texts: pa.StringArray) -> NDArray[np.uint8]:
    """What all the texts are written in."""
    import numpy as np

    _, offsets, data = texts.buffers()
    if data is None:
        return np.empty(0, np.uint8)
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]


def _whole(type_: pa.DataType, digits: int) -> PlainValues:
    return PlainValues(type_, rf"^(0|-?[1-9][0-9]{{0,{digits - 1}}})$", digits + 1, keeps_zeros=False)


_PLAIN = {
    "bigint": _whole(pa.int64(), 18),
    "int": _whole(pa.int32(), 9),
    "smallint": _whole(pa.int16(), 4),
    "tinyint": _whole(pa.int8(), 2),
    # So many characters, and no exponent: the nearest double is written as the text is.
    "double": PlainValues(pa.float64(), r"^-?[0-9]+(\.[0-9]+)?$", 15),
    "date": PlainValues(pa.date32(), r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", 10),
}

"""An arithmetic coder in integers: symbols with integer frequencies to bytes, and back.

A range coder (Martin 1979) of 64 bits. Since a range is never under 2^56 and frequencies sum to
less than 2^32, a symbol of frequency f out of n costs log2(n / f) bits within 2^-24 of a bit; the
end of a stream costs a byte or two.
"""

from bisect import bisect_right
from collections.abc import Sequence

WHOLE = 1 << 64
LEAST = 1 << 56
MOST = 1 << 32  # what frequencies may sum to


class Encoder:
    """`add` symbols in order, then take the bytes of `finish`."""

    def __init__(self) -> None:
        self.low, self.range, self.bytes = 0, WHOLE, bytearray()

    def add(self, start: int, frequency: int, total: int) -> None:
        """A symbol of `frequency`, whose predecessors in the alphabet have `start` together."""
        if not (0 <= start and 0 < frequency <= total - start and total < MOST):
            raise ValueError(f"frequency {frequency} from {start} on does not fit into {total}")
        unit = self.range // total
        self.low, self.range = self.low + unit * start, unit * frequency
        if self.low >= WHOLE:
            self.carry()
        while self.range < LEAST:
            self.bytes.append(self.low >> 56)
            self.low, self.range = (self.low << 8) % WHOLE, self.range << 8

    def carry(self) -> None:
        self.low -= WHOLE
        last = len(self.bytes) - 1
        while self.bytes[last] == 255:
            self.bytes[last] = 0
            last -= 1
        self.bytes[last] += 1

    def finish(self) -> bytes:
        """The shortest bytes that name a number of the range; zeros that would follow are left."""
        for zeros in range(64, -1, -8):
            value = -(-self.low >> zeros) << zeros
            if value < self.low + self.range:
                break
        self.low = value
        if self.low >= WHOLE:
            self.carry()
        return bytes(self.bytes + self.low.to_bytes(8, "big")).rstrip(b"\0")


class Decoder:
    """Gives back the symbols of an Encoder's bytes, being told the same frequencies."""

    def __init__(self, coded: bytes) -> None:
        self.coded, self.next, self.range = coded, 8, WHOLE
        self.offset = int.from_bytes(coded[:8].ljust(8, b"\0"), "big")  # above the range's low end

    def take(self, cumulative: Sequence[int]) -> int:
        """The next symbol. `cumulative` holds the frequencies of all before each, and their sum."""
        unit = self.range // int(cumulative[-1])
        place = min(self.offset // unit, int(cumulative[-1]) - 1)  # wrong bytes may lie above
        symbol = bisect_right(cumulative, place) - 1
        start = int(cumulative[symbol])
        self.offset -= unit * start
        self.range = unit * (int(cumulative[symbol + 1]) - start)
        while self.range < LEAST:
            byte = self.coded[self.next] if self.next < len(self.coded) else 0
            self.offset, self.range = (self.offset << 8) | byte, self.range << 8
            self.next += 1
        return symbol

"""How large the tuples in a pickle are, found without making them."""

from __future__ import annotations

from typing import Any

_PUSH = frozenset(')N]}KMJGcUX\x88\x89\x8a\x8f')
_POPPED = {'a': 1, 'b': 1, 's': 2}  # opcode → values that it takes from the stack, giving none
_REPLACED = {'Q': 1, 'R': 2, '\x81': 2}  # likewise, giving one
_TUPLES = {'\x85': 1, '\x86': 2, '\x87': 3}
_LARGEST, _DEEPEST = 200_000, 50  # ImageNet-21k has a tuple of 21,841 names
_LARGEST_KEY = 1000
PLAIN = (1, 0)


class TupleSizes:
    """Follows the opcodes of a pickle with a stack of sizes, and says what is too large.

    The size of a tuple is one more than those of its items, as often as they occur in it; all else
    has the size 1. A key of a dictionary is hashed in a time that grows with its size, and by a
    recursion as deep as its nesting, which ends the process where it is too deep. A pickle of a
    few bytes may hold a tuple of any size, because items may be shared.
    """

    def __init__(self) -> None:
        self.stack: list[tuple[int, int]] = []  # size and depth
        self._marks: list[int] = []
        self.memo: dict[int, tuple[int, int]] = {}

    def follow(self, code: str, argument: Any = None) -> bool:
        """Obey an opcode of :mod:`pickletools`, one that torch's weights-only reader takes.

        Returns:
            bool: False where it makes or hashes a tuple larger than any that weights need.

        Raises:
            LookupError: If the pickle is damaged.
        """
        stack = self.stack
        if code in _PUSH:
            stack.append(PLAIN)
        elif code in ('h', 'j'):
            stack.append(self.memo[argument])
        elif code in ('q', 'r'):
            self.memo[argument] = stack[-1]
        elif code == '(':
            self._marks.append(len(stack))
        elif code == 't' or code in _TUPLES:
            return self._join(self._marks.pop() if code == 't' else len(stack) - _TUPLES[code])
        elif code in ('e', 'u'):
            start = self._marks.pop()
            keys = stack[start::2] if code == 'u' else []
            del stack[start:]
            return all(size <= _LARGEST_KEY for size, _ in keys)
        elif code in _POPPED:
            size, _ = stack[-_POPPED[code]]
            del stack[-_POPPED[code] :]
            return code != 's' or size <= _LARGEST_KEY
        elif code in _REPLACED:
            size, _ = stack[-1]
            stack[-_REPLACED[code] :] = [PLAIN]
            return code != 'Q' or size <= _LARGEST_KEY  # the key of a storage is in it
        return True

    def _join(self, start: int) -> bool:
        if start < 0:
            raise IndexError('a tuple of more than there is')
        items = self.stack[start:]
        size, depth = 1 + len(items), 1
        if items.count(PLAIN) < len(items):
            size = 1 + sum(size for size, _ in items)
            depth = 1 + max(depth for _, depth in items)
        self.stack[start:] = [(size, depth)]
        return size <= _LARGEST and depth <= _DEEPEST

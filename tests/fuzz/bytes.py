"""Bytes that are changed a little."""

from random import Random

TELLING = (0, 1, 2, 4, 8, 16, 32, 64, 127, 128, 254, 255)
LETTERS = "\0\x1b\t\r\n{}[]()<>&*!|>%@`'\"#:,?-é\u202e\ud7ff😀"


def mutated(content: bytes, rng: Random) -> bytes:
    """Content with a few changes of one kind."""
    change = rng.choice([_changed, _changed, _changed, _cut, _repeated, _longer, _moved])
    return change(bytearray(content), rng)


def mutated_text(text: str, rng: Random) -> str:
    """A text with a few changes of letters, words or lines."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        match rng.randrange(4):
            case 0:
                text = text[:at] + rng.choice(LETTERS) * rng.choice([1, 1, 3, 200]) + text[at:]
            case 1:
                text = text[:at] + text[at + rng.randint(1, 20) :]
            case 2:
                lines = text.splitlines(keepends=True)
                rng.shuffle(lines)
                text = "".join(lines)
            case 3:
                text = text[:at] + text[: rng.randint(0, len(text))] + text[at:]
    return text


def _changed(content: bytearray, rng: Random) -> bytes:
    for _ in range(rng.randint(1, 8) if content else 0):
        content[rng.randrange(len(content))] = rng.choice([*TELLING, rng.randrange(256)])
    return bytes(content)


def _cut(content: bytearray, rng: Random) -> bytes:
    return bytes(content[: rng.randint(0, len(content))])


def _repeated(content: bytearray, rng: Random) -> bytes:
    start = rng.randint(0, len(content))
    return bytes(content[:start] + content[start : start + rng.randint(1, 64)] + content[start:])


def _longer(content: bytearray, rng: Random) -> bytes:
    return bytes(content) + rng.randbytes(rng.choice([1, 7, 64, 4096]))


def _moved(content: bytearray, rng: Random) -> bytes:
    start, n = rng.randint(0, len(content)), rng.randint(1, 32)
    return bytes(content[:start] + content[start + n :] + content[start : start + n])

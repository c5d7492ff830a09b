"""Messages are found in streams that lose, add and change bytes, and no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.tiles.boards.frames import MAX_BYTES, Frames, framed

MESSAGES = st.binary(max_size=60)
NOISE = st.one_of(st.binary(max_size=40), st.sampled_from([b"X", b"XB", b"XB\1\0", b"XBXB\1"]))


@st.composite
def damaged(draw):
    """A frame that lacks its end, or has a bit that is another one."""
    frame = bytearray(framed(draw(MESSAGES)))
    if draw(st.booleans()):
        return bytes(frame[: draw(st.integers(0, len(frame) - 1))])
    bit = draw(st.integers(0, 8 * len(frame) - 1))
    frame[bit // 8] ^= 1 << bit % 8
    return bytes(frame)


def fed(stream, sizes=(1 << 20,)):
    """What is found in a stream that comes in chunks of some sizes in turn, and then ends."""
    frames, found, at = Frames(), [], 0
    while at < len(stream):
        size = sizes[len(found) % len(sizes)]
        found += frames.fed(stream[at : at + size])
        at += size
    return [*found, *frames.given_up()]


@given(
    parts=st.lists(st.one_of(MESSAGES.map(lambda m: (m, framed(m))),
                             NOISE.map(lambda n: (None, n)),
                             damaged().map(lambda d: (None, d))), max_size=12),
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=4),
)  # fmt: skip
def test_whole_frames_are_found_and_nothing_else(parts, sizes):
    stream = b"".join(part for _, part in parts)

    assert fed(stream, sizes) == [message for message, _ in parts if message is not None]


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), min_size=1, max_size=4))
def test_noise_is_no_message(noise, sizes):
    assert fed(noise, sizes) == []


def test_a_frame_of_another_version_or_too_long_is_skipped():
    other = bytearray(framed(b"later"))
    other[2] = 2
    long = framed(bytes(MAX_BYTES + 1))

    assert fed(bytes(other) + long + framed(b"now")) == [b"now"]


@pytest.mark.parametrize("cut", [1, 11, 12, 13, 30])
def test_what_a_cut_frame_has_swallowed_comes_out_after_a_silence(cut):
    frames = Frames()
    whole = framed(bytes(1000))

    assert [*frames.fed(whole[:cut] + framed(b"a") + framed(b"b"))] in ([], [b"a", b"b"])
    assert [*frames.given_up()] in ([], [b"a", b"b"])
    assert [*frames.fed(framed(b"c"))] == [b"c"]
    assert frames.damaged >= 1 or cut == 1

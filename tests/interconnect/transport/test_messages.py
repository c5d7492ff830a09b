"""Messages survive the wire unchanged, and nothing else passes for one."""

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crossmesh.interconnect.transport import messages
from crossmesh.interconnect.transport.messages import (
    DTYPES,
    KINDS,
    MAX_AXES,
    Message,
    decode,
    encode,
)

COUNTS = st.integers(0, 2**63 - 1)
PAYLOADS = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=5))
)
FIELDS = {
    "generation": 1,
    "micro_batch": 2,
    "edge": 3,
    "kind": "error",
    "dtype": "<f4",
    "shape": (2,),
}
BODY = bytes(8)


def header(**changes) -> bytes:
    return msgpack.packb(list((FIELDS | changes).values()))


@given(COUNTS, COUNTS, COUNTS, st.sampled_from(KINDS), PAYLOADS)
def test_decode_inverts_encode(generation, micro_batch, edge, kind, payload):
    sent = Message(generation, micro_batch, edge, kind, payload)

    got = decode([bytes(frame) for frame in encode(sent)])

    assert (got.generation, got.micro_batch, got.edge, got.kind) == (
        generation,
        micro_batch,
        edge,
        kind,
    )
    assert got.payload.dtype == payload.dtype
    assert got.payload.shape == payload.shape
    assert got.payload.tobytes() == payload.tobytes()


@pytest.mark.parametrize("view", [np.s_[:, ::2], np.s_[::-1], np.s_[..., None, 1]])
def test_payload_in_another_order_arrives_in_c_order(view):
    payload = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4))[view]

    got = decode(encode(Message(0, 0, 0, "gradient", payload)))

    np.testing.assert_array_equal(got.payload, payload)
    assert got.payload.flags.c_contiguous


def test_payload_is_a_view_of_an_aligned_frame():
    frames = encode(Message(0, 0, 0, "activation", np.zeros((2, 3), np.float32)))

    assert np.shares_memory(decode(frames).payload, frames[1])


def test_payload_of_an_unaligned_frame_is_aligned():
    first, *frame = np.arange(9, dtype=np.uint8).tobytes()
    unaligned = memoryview(bytes([first, *frame]))[1:]

    got = decode([header(), unaligned]).payload

    assert got.flags.aligned
    assert got.tobytes() == bytes(frame)


@given(st.binary(max_size=40), st.binary(max_size=16))
def test_garbage_is_refused(garbage, body):
    with pytest.raises(ValueError, match="header must be"):
        decode([garbage, body])


@pytest.mark.parametrize(
    ("frames", "rule"),
    [
        ([header()], "must have 2 frames, got 1"),
        ([header(), BODY, BODY], "must have 2 frames, got 3"),
        ([header() + bytes(300), BODY], "header must have <= 256 bytes, got 3"),
        ([header() + b"\0", BODY], "header must be msgpack"),
        ([msgpack.packb([1, 2, 3]), BODY], r"header must be \(generation"),
        ([header(generation=True), BODY], r"header must be \(generation"),
        ([header(edge=1.0), BODY], r"header must be \(generation"),
        ([header(kind=b"error"), BODY], r"header must be \(generation"),
        ([header(micro_batch=-1), BODY], r"micro_batch and edge must be >= 0, got \(1, -1, 3\)"),
        ([header(kind="weight"), BODY], "kind must be one of .* got 'weight'"),
        ([header(dtype="|O"), BODY], r"payload must be of dtype .* got '\|O'"),
        ([header(dtype=">f4"), BODY], "payload must be of dtype .* got '>f4'"),
        ([header(shape=(3,)), BODY], r"shape \(3,\) and dtype <f4 must have 12 bytes, got 8"),
        ([header(shape=(1,)), BODY], "must have 4 bytes, got 8"),
        ([header(shape=(-2, -1)), BODY], "shape must be"),
        ([header(shape=(2.0,)), BODY], "shape must be"),
        ([header(shape=(True, 2)), BODY], "shape must be"),
        ([header(shape=(1,) * (MAX_AXES + 1)), BODY], "shape must be <= 8 whole numbers"),
        ([header(shape=(0, 2**40)), b""], "shape must be"),
        ([header(shape=(2**27, 2**27)), BODY], "payload must have <= 2147483648 bytes, got"),
    ],
)
def test_frames_that_are_no_message_are_refused(frames, rule):
    with pytest.raises(ValueError, match=rule):
        decode(frames)


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (np.array([None]), r"payload must be of dtype .* got \|O"),
        (np.zeros(1, "M8[s]"), r"payload must be of dtype .* got <M8\[s\]"),
        (np.zeros(1, [("a", "f4")]), r"payload must be of dtype .* got \|V4"),
        (np.zeros((1,) * 9), "payload must have <= 8 axes, got 9"),
    ],
)
def test_payload_that_cannot_travel_is_refused(payload, rule):
    with pytest.raises(ValueError, match=rule):
        Message(0, 0, 0, "activation", payload)


def test_oversized_payload_is_refused(monkeypatch):
    monkeypatch.setattr(messages, "MAX_PAYLOAD_BYTES", 7)

    with pytest.raises(ValueError, match="payload must have <= 7 bytes, got 8"):
        Message(0, 0, 0, "activation", np.zeros(2, np.float32))

"""Messages survive the wire unchanged, and nothing else passes for one."""

from struct import Struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crossmesh.interconnect.transport import messages
from crossmesh.interconnect.transport.messages import (
    DTYPES,
    KINDS,
    Message,
    decode,
    encode,
)

COUNTS = st.integers(0, 2**63 - 1)
PAYLOADS = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=5))
)
FIELDS = {"kind": 2, "dtype": 0, "generation": 1, "micro_batch": 2, "edge": 3}
BODY = bytearray(8)


def header(shape=(2,), n_axes=None, **changes) -> bytes:
    fields = (FIELDS | changes).values()
    first = len(shape) if n_axes is None else n_axes
    return Struct(f"<BBBx3Q{len(shape)}Q").pack(first, *fields, *shape)


@given(COUNTS, COUNTS, COUNTS, st.sampled_from(KINDS), PAYLOADS)
def test_decode_inverts_encode(generation, micro_batch, edge, kind, payload):
    sent = Message(generation, micro_batch, edge, kind, payload)

    encoded, body = encode(sent)
    got = decode(encoded, bytearray(body))

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

    encoded, body = encode(Message(0, 0, 0, "gradient", payload))
    got = decode(encoded, bytearray(body))

    np.testing.assert_array_equal(got.payload, payload)
    assert got.payload.flags.c_contiguous


def test_payload_is_the_body_itself_aligned_and_writable():
    body = bytearray(24)

    payload = decode(header((2, 3)), body).payload
    payload[0, 0] = 1

    assert body[:4] == np.float32(1).tobytes()
    assert payload.flags.aligned


@given(st.binary(max_size=40), st.binary(max_size=16))
def test_garbage_is_refused(garbage, body):
    with pytest.raises(ValueError, match=r"must (be|have)"):
        decode(garbage, bytearray(body))


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        (b"", "header must be that of <= 8 axes, got b''"),
        (header() + b"\0", "header must be that of <= 8 axes"),
        (header()[:-1], "header must be that of <= 8 axes"),
        (header(n_axes=3), "header must be that of <= 8 axes"),
        (header((1,) * 9), "header must be that of <= 8 axes"),
        (header(kind=4), "have a kind < 4 and a dtype < 11, got 4 and 0"),
        (header(dtype=11), "have a kind < 4 and a dtype < 11, got 2 and 11"),
        (header((3,)), r"shape \(3,\) and dtype <f4 must have 12 bytes, .*, got 8"),
        (header((1,)), "must have 4 bytes, .*, got 8"),
        (header((2**33, 2**33)), "must have .* bytes, <= 2147483648, got 8"),
        (header((0, 2**40)), "must have 0 bytes, <= 2147483648, got 8"),
    ],
)
def test_what_is_no_message_is_refused(header, rule):
    with pytest.raises(ValueError, match=rule):
        decode(header, BODY)


def test_a_shape_that_no_payload_has_is_refused():
    with pytest.raises(ValueError, match="must have 0 bytes, <= 2147483648, got 0"):
        decode(header((0, 2**40)), bytearray())


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

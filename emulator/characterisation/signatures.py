"""What a file is that is no table, by its first bytes."""

_SIGNATURES = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"II*\x00": "a TIFF picture",
    b"MM\x00*": "a TIFF picture",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"\x89HDF": "an HDF5 file",
    b"MATLAB 5.0": "a MATLAB file",
    b"\x93NUMPY": "a NumPy array",
    b"CPYA": "an Origin project; export its worksheet as text",
    b"CPYUA": "an Origin project; export its worksheet as text",
}
_NAMED_OTHERWISE = {
    b"PK\x03\x04": "a workbook or a ZIP archive; a workbook's name must end in .xlsx or .ods",
    b"\xd0\xcf\x11\xe0": "a workbook whose name does not end in .xls",
    b"PAR1": "a Parquet file whose name does not end in .parquet",
}
_LOOKED_AT = 4096  # bytes
_MOST_CONTROL = 0.02  # share of control characters in a text


def other_kind(body: bytes, *, is_text: bool) -> str | None:
    """What a file is, if it is no table.

    Args:
        body: Its bytes.
        is_text: Whether it must be text, by its name.

    >>> other_kind(b"PAR1...", is_text=True), other_kind(b"up,down", is_text=True)
    ('a Parquet file whose name does not end in .parquet', None)
    """
    known = _SIGNATURES | (_NAMED_OTHERWISE if is_text else {})
    for signature, kind in known.items():
        if body.startswith(signature):
            return kind
    head = body[:_LOOKED_AT]
    controls = sum(byte < 9 or 13 < byte < 32 for byte in head if byte)
    return "bytes that are no text" if is_text and controls > _MOST_CONTROL * len(head) else None

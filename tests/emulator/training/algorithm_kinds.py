"""Training algorithms as tests use them: each with what it needs to write within few examples."""

from typing import Any

KINDS: dict[str, dict[str, Any]] = {
    "tiki_taka": {"kind": "tiki_taka", "every": 2, "reads": 2, "fast_rate": 0.2},
    "residual": {
        "kind": "tiki_taka", "arrays": 3, "visible": 0.3, "every": [1, 5], "line": "bit",
        "transfer_rate": [1.0, 0.5], "rate_scales": False,
    },
    "tiki_taka_2": {"kind": "tiki_taka_2", "granularity": 0.05, "longest": 3, "forget": False},
    "chopped_tiki_taka_2": {
        "kind": "chopped_tiki_taka_2", "granularity": 0.05, "chop": 0.5, "chop_at_random": True,
    },
    "agad": {
        "kind": "agad", "chop": 1.0, "granularity": 0.05, "auto_rate": True, "fast_rate": 0.3,
        "every_counts": "examples", "in_parallel": True,
    },
    "mixed_precision": {"kind": "mixed_precision", "input_bins": 30, "error_bins": 30},
    "batches": {"kind": "mixed_precision", "every_counts": "batches", "lines": 5, "line": "bit"},
    "momentum": {
        "kind": "mixed_precision", "every": 2,
        "optimizer": {"kind": "sgd", "momentum": 0.9, "nesterov": True},
    },
    "adam": {"kind": "mixed_precision", "every": 3, "optimizer": {"kind": "adam"}},
}  # fmt: skip
# Cells that have transfers of their own, or take every update exactly.
REFUSED = {"ideal": "a number", "pcm_3t1c": "transfers of its own"}

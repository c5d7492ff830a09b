"""What a config can say, read off the config's own classes: so a new kind is found by itself."""

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from crossmesh.common.registry import KindName, Kinds
from crossmesh.tiles.analog.devices import DEVICES, ConstantStep
from tests.jobs import TABLES

Tree = dict[str, Any]
Choice = tuple[str, Tree]  # what a test calls it, and what it lays on the object it is a choice of

TRANSFERS = ("TikiTaka", "TikiTaka2", "ChoppedTikiTaka2", "Agad")
# Values where the class alone does not tell one: of a class's fields, or of a whole class.
FIELDS: dict[str, Any] = {
    "Chip.height": 9,
    "Chip.interval_s": 1.0,
    "Chip.io_ports": 2,
    "Chip.link_cycles": 3,
    "Chip.memory_bits": 10**9,
    "Chip.table": "prices.yaml",
    "Chip.width": 9,
    "CheckpointConfig.every_examples": 4,
    "CheckpointConfig.storage": "storage",
    "ConvLayer.dilation": 2,
    "ConvLayer.stride": [2, 1],
    "DataConfig.augment": {"shift": 2, "fill": "mirror", "flip": 0.5, "cutout": 2},
    "DataConfig.normalise": {"mean": [0.3], "std": [0.4]},
    "DataConfig.only_classes": [8, 7, 6, 5, 4, 3, 2, 1, 0],
    "DataConfig.test_fraction": 0.5,
    "DataConfig.validation": 0.2,
    "Electrical.area_um2": 1.0,
    "Electrical.pulse_j": 1e-15,
    "JumpTable.tables": TABLES,
    "Mapping.vectors_per_tile": 16,
    "Phases.conversion_s": 5e-9,
    "Phases.dac_s": 1e-9,
    "OperatorLayer.operator": "maximum",
    "OperatorLayer.start": 0.5,
    "PoolLayer.stride": [1, 2],
    **{f"{kind}.learning_rate": 0.02 for kind in ("GradientDescent", "Adam", "AdamW")},
    **{f"Measured{kind}.node_nm": 40.0 for kind in ("Adc", "Dac", "Memory")},
    "MixedPrecision.granularity": 0.002,
    "NeurosimSarAdc.column_ohm": 1e4,
    "NeurosimFlashAdc.column_ohm": 1e4,
    "VoltageDac.volts": 0.8,
    "MixedPrecision.input_bins": 30,
    "MixedPrecision.error_bins": 20,
    "MixedPrecision.lines": 2,
    "MixedPrecision.start": 3,
    "MixedPrecision.optimizer": {"kind": "adam", "betas": [0.8, 0.99]},  # without decay or a rate
    **{f"{kind}.fast_cell": {"kind": "linear_step"} for kind in TRANSFERS},
    **{f"{kind}.read": {"output_noise": 0.1} for kind in TRANSFERS},
    **{f"{kind}.write": {"length": 3} for kind in (*TRANSFERS, "MixedPrecision")},
    "ReadConfig.input_range": 0.5,
    "ReadConfig.wire_resistance": 1e-5,
    "SharedReference.reference": 0.1,
    "Stuck.devices": [
        {"row": i, "col": 0, "at": at} for i, at in enumerate(("on", "off", "random"))
    ],
    "Training.class_weights": [1.0, 2.0, 0.5, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    "Training.examples": 8,
    "Training.learning_rate": {
        "kind": "cosine", "value": 0.1, "t_max": 2, "eta_min": 0.01, "warm_up": {"examples": 4},
    },
    "Training.log_every": 3,
    "Training.micro_batch": 1,
    "Training.stop_early": {"patience": 2, "monitor": "loss"},
    "Training.test_examples": 5,
    # Every kind and its fields are tried in the section ``training``.
    **{f"{layer}Layer.optimizer": {"kind": "adam"}
       for layer in ("Linear", "Conv", "Recurrent", "Attention", "Embedding", "Position", "Norm")},
    **{f"{layer}Layer.algorithm": {"kind": kind}
       for layer, kind in (("Linear", "hardware_aware"), ("Conv", "hardware_aware"),
                           ("Recurrent", "hardware_aware"), ("Attention", "mixed_precision"))},
    "LinearLayer.replicas": 1,  # more only of what has several vectors,
    "RecurrentLayer.replicas": 1,  # whose steps do not wait for each other
    "ConvLayer.replicas": 2,
    "AttentionLayer.replicas": 2,
    "EmbeddingLayer.replicas": 2,
    **{f"{layer}Layer.tile": {"rows": 20}
       for layer in ("Linear", "Conv", "Recurrent", "Attention", "Embedding")},
}  # fmt: skip
NEEDED: dict[str, Tree] = {  # what has no default
    "MeasuredAdc": {"energy_pj": 1.5, "time_s": 4e-9, "source": "mine"},
    "MeasuredDac": {"energy_pj": {6: 0.1, 9: 0.4}, "source": "mine"},
    "MeasuredMemory": {"read_pj": 0.1, "write_pj": 0.2, "source": "mine"},
}
OBJECTS: dict[str, Tree] = {
    "Clip": {"norm": 1.0},
    "Crop": {"rows": [1, 7], "columns": [1, 7]},
    "GradientDescent": {"momentum": 0.5},
    "HardwareAware": {"weight_noise": 0.1},
    "Pair": {"refresh": {"difference": 0.5}},
    "Pairs": {"carry_every": 3},
    "Pcm3T1C": {"transfer": {"every": 5}},
    "Refresh": {"difference": 0.5},
    "Retention": {"time_s": 1e-6},
    "Stuck": {"fraction": 0.1},
    "Transfer": {"every": 5},
    "WeightClip": {"value": 0.5},
}
# Devices that have no symmetry point, which test_device_matrix.py holds against their words.
REFUSED = {"ConstantStep.symmetry_referenced", "Pcm.symmetry_referenced"}
# Pulses that find it go with symmetry_referenced only, as cases.py has them.
REFUSED |= {f"{kind.__name__}.zero_shift_pulses" for kind in DEVICES.values()}
# One of two limits, of which only one may be given.
REFUSED |= {
    f"{clip}.{limit}" for clip in ("Clip", "WeightClip") for limit in ("norm", "value", "sigma")
}
# Tokens and several inputs need files of their own, which cases.py has.
REFUSED |= {"DataConfig.tokens", "DataConfig.columns"}
# They go with validation, and with a source of another package.
REFUSED |= {"DataConfig.stratified", "DataConfig.options"}
# Of one layer, whose matrix says how many there are: cases.py has them there.
REFUSED |= {"TileConfig.line_scales"}
# Boards need a server: tests/tiles/analog/test_board_arrays.py has them.
REFUSED |= {"TileConfig.array"}
# They follow from what feeds an operator, and from each other: docs/operators.md has them all.
REFUSED |= {
    f"OperatorLayer.{name}" for name in ("settings", "operands", "axes", "parameter", "optimizer")
}
# Embeddings lie in digital memory unless they say otherwise, and learn nothing on tiles there.
REFUSED |= {"EmbeddingLayer.algorithm"}
# Names, and where a layer's input or tiles come from, are no kinds.
# It is the same in every device, and tried in one.
REFUSED |= {f"{kind.__name__}.electrical" for kind in DEVICES.values() if kind is not ConstantStep}
REFUSED |= {"Capacitor.electrical", "PcmMemory.electrical"}
NO_KINDS = {"kind", "name", "input", "inputs", "share"}


def choices(model: type[BaseModel], *, inside: bool = False) -> Iterator[Choice]:
    """Every choice of an object's fields but its default, one at a time.

    Of a field that may be of several kinds: each kind, and its own choices in turn; ``inside`` a
    cell that has devices, each kind alone, and with all that it may have at once.
    """
    for name in model.model_fields:
        if name not in NO_KINDS and f"{model.__name__}.{name}" not in REFUSED:
            for label, value in _values(model, name, inside=inside):
                yield f"{name}{label}", {name: value}


def _values(model: type[BaseModel], name: str, *, inside: bool) -> Iterator[tuple[str, Any]]:
    field = model.model_fields[name]
    members, default = (
        opened([field.rebuild_annotation()]),
        field.get_default(call_default_factory=True),
    )
    known = FIELDS.get(f"{model.__name__}.{name}")
    if known is not None:
        yield f"={_short(known)}", known
    for value in _listed(members):
        if value != default:
            yield f"={_short(value)}", value
    if types.NoneType in members and default is not None and default is not PydanticUndefined:
        yield "=null", None
    if known is None:
        yield from _of_objects(members, default, inside=inside)
        yield from _of_numbers(f"{model.__name__}.{name}", members, default)


def _listed(members: list[Any]) -> list[Any]:
    values = [value for member in members for value in literals(member)]
    return [True, False, *values] if bool in members else values


def _of_objects(members: list[Any], default: Any, *, inside: bool) -> Iterator[tuple[str, Any]]:
    models = [
        member for member in members if isinstance(member, type) and issubclass(member, BaseModel)
    ]
    if len(models) > 1:
        for model in models:
            yield from _of_kind(model, inside=inside)
    elif models:
        sample = OBJECTS.get(models[0].__name__, {})
        if default is None:
            yield "", sample
        for label, tree in choices(models[0], inside=inside):
            if not tree.keys() & sample.keys() or isinstance(default, BaseModel):
                yield f".{label}", laid(sample, tree)


def _of_kind(model: type[BaseModel], *, inside: bool) -> Iterator[tuple[str, Any]]:
    for kind in kinds(model):
        yield f"={kind}", {"kind": kind, **NEEDED.get(model.__name__, {})}
        if inside:
            if everything := _everything(model):
                yield f"={kind}, everything", {"kind": kind, **everything}
            continue
        needed = NEEDED.get(model.__name__, {})
        begun = {"kind": kind, **needed, **OBJECTS.get(model.__name__, {})}
        for label, tree in choices(model, inside=True):
            yield f"={kind}, {label}", laid(begun, tree)


def _everything(model: type[BaseModel]) -> Tree:
    """All optional objects of a kind at once, and its noise."""
    tree: Tree = {}
    for name, field in model.model_fields.items():
        if field.default is None:
            (member,) = (
                member
                for member in opened([field.rebuild_annotation()])
                if member is not types.NoneType
            )
            tree[name] = FIELDS.get(f"{model.__name__}.{name}") or OBJECTS[member.__name__]
    return tree


def _of_numbers(place: str, members: list[Any], default: Any) -> Iterator[tuple[str, Any]]:
    numbers = [member for member in members if member in {int, float}]
    if numbers and default == 0 and default is not False:
        value = 1 if int in numbers else 0.05
        yield f"={value}", value
    elif default is None and len(members) == 1 + len(numbers) + (str in members):
        raise LookupError(f"{place} must have a value in FIELDS of {__name__}")


def kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    """The values of ``kind`` that stand for a class; none if it has no kind."""
    field = model.model_fields.get("kind")
    return tuple(literals(field.rebuild_annotation())) if field else ()


def literals(annotation: Any) -> Iterator[Any]:
    """The values that an annotation lists."""
    for member in opened([annotation]):
        if typing.get_origin(member) is typing.Literal:
            yield from typing.get_args(member)


def opened(annotations: Iterable[Any]) -> list[Any]:
    """What a value may be, with unions and annotations opened."""
    members: list[Any] = []
    for annotation in annotations:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            first, *marks = typing.get_args(annotation)
            members += next(filter(None, map(_named, marks)), None) or opened([first])
        elif origin in {typing.Union, types.UnionType}:
            members += opened(typing.get_args(annotation))
        else:
            members.append(annotation)
    return members


def _named(mark: Any) -> list[Any]:
    """What a mark of a field says that its value may be."""
    match mark:
        case Kinds():
            return list(mark.classes)
        case KindName():
            return [typing.Literal[tuple(mark.names)]]
    return []


def laid(base: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """``base`` with ``over`` laid on top, key by key."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        is_both = isinstance(old, Mapping) and isinstance(value, Mapping)
        is_new = is_both and value.get("kind", old.get("kind")) != old.get("kind")
        result[key] = laid(old, value) if is_both and not is_new else value
    return result


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 20 else "..."

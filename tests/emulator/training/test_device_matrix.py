"""What each kind of device can have, in each cell that it can stand in, through `crossmesh train`.

A feature that a kind lacks is refused in one line that says why. `docs/devices.md` has the table.
"""

from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from crossmesh.common.frozen import Frozen
from crossmesh.common.random import Stream
from crossmesh.common.refusals import sentence
from crossmesh.emulator.cli.main import run as run_command
from crossmesh.emulator.config.loading import load_cell, presets
from crossmesh.tiles.analog.cells import Cell
from crossmesh.tiles.analog.crossbar import EXAMPLE_S, build
from crossmesh.tiles.analog.devices import DEVICES
from crossmesh.tiles.analog.devices.kernels import LOWER, STEP_UP, UPPER
from crossmesh.tiles.analog.update import UpdateConfig
from tests import naive

FEATURES = {
    "stuck": {"stuck": {"fraction": 0.2, "at": "random", "devices": [{"row": 1, "col": 2}]}},
    "retention": {"retention": {"time_s": 1e-5, "device_noise": 0.3}},
    "write noise": {"write_noise": 2.0},
    "own reference": {"reference_mean": 0.05, "reference_noise": 0.02},
    "symmetry point": {"symmetry_referenced": True},
}
ALL = {"stuck", "retention", "write noise", "own reference"}
KINDS = list(DEVICES)
LACKING = [kind for kind, cls in DEVICES.items() if cls().lacks_symmetry]
ABSENT = {(kind, "symmetry point") for kind in LACKING}
IN_CELLS = {
    "shared_reference": lambda device: {"kind": "shared_reference", "device": device},
    "pair": lambda device: {"kind": "pair", "device": device, "refresh": {"every": 1}},
    "pairs": lambda device: {
        "kind": "pairs", "carry_every": 5, "pair": {"kind": "pair", "device": device},
    },
}  # fmt: skip


class Section(Frozen):
    cell: Cell


def device(kind, *features):
    section = {"kind": kind}
    for feature in features:
        section |= FEATURES[feature]
    return section


@pytest.fixture
def train(tmp_path, capsys):
    """Trains a cell by the real command, on little; returns exit code and error."""

    def run(cell, *options):
        config = {
            "name": "little",
            "data": {"source": "synthetic", "inputs": 6, "classes": 3, "examples": 12},
            "network": [{"kind": "linear", "outputs": 3, "activation": "softmax"}],
            "tile": {"rows": 5, "cols": 4, "cell": cell},
        }
        (tmp_path / "little.yaml").write_text(yaml.safe_dump(config))
        words = ("train", str(tmp_path / "little.yaml"), "--engine", "local", "--quiet")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr("sys.argv", ["crossmesh", *words, "--run-dir", "run", *options])
            code = run_command()
        return code, capsys.readouterr().err

    return run


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_device_trains_with_every_feature_or_says_why_not(kind, feature, train):
    code, error = train(device(kind, feature))

    if (kind, feature) in ABSENT:
        assert code == 2
        assert "tile.cell.symmetry_referenced must be false where" in error
        assert error.count("\n") == 1
    else:
        assert (code, error) == (0, "")


@pytest.mark.parametrize("cell", IN_CELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_devices_keep_their_features_in_every_cell(kind, cell, train):
    features = [name for name in FEATURES if (kind, name) not in ABSENT]

    assert train(IN_CELLS[cell](device(kind, *features))) == (0, "")


@pytest.mark.parametrize("field", [field for section in FEATURES.values() for field in section])
@pytest.mark.parametrize(
    ("place", "why"),
    [
        ({"kind": "ideal"}, "an ideal weight is a number"),
        ({"kind": "pair"}, "it belongs to the devices of a cell: cell.device"),
        ({"kind": "pairs"}, "it belongs to the devices of a cell: cell.pair.device"),
        ({"kind": "shared_reference"}, "it belongs to the devices of a cell: cell.device"),
        ({"kind": "pcm_3t1c"}, ""),
    ],
)
def test_what_is_no_device_of_its_own_says_where_the_feature_belongs(place, why, field, train):
    if (place["kind"], field) == ("shared_reference", "reference_noise"):
        return  # which such a cell has
    value = next(section[field] for section in FEATURES.values() if field in section)
    code, error = train(place | {field: value})

    assert code == 2
    assert error.startswith(f"error: tile.cell.{field} must be left out, since {why}")
    assert error.count("\n") == 1


def mark(kind, feature):
    section = {"kind": kind} | FEATURES[feature]
    try:
        Section.model_validate({"cell": section})
    except ValidationError as error:
        line = sentence(error, Section)
        return (
            "no: "
            + line.partition("since " if "since " in line else "where ")[2]
            .rpartition(", got")[0]
            .partition(";")[0]
        )
    return "yes"


def test_the_table_of_the_documentation_is_what_the_code_does():
    text = (Path(__file__).parents[3] / "docs" / "devices.md").read_text("utf-8")
    head = f"| kind | {' | '.join(FEATURES)} |\n{'|---' * (1 + len(FEATURES))}|\n"
    rows = text.partition(head)[2].partition("\n\n")[0].splitlines()

    assert len(rows) > 1, f"docs/devices.md must have a table with this head:\n{head}"
    for row in rows:
        kind = row.split("`")[1]
        expected = f"| `{kind}` | {' | '.join(mark(kind, feature) for feature in FEATURES)} |"
        assert row == expected, f"docs/devices.md must have this row:\n{expected}"


# What the features do

SHAPE, STREAM = (12, 40), Stream(seed=5, owner=1)
ONE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)
QUIET = {"cycle_noise": 0.0}


def crossbar_of(section):
    return build(TypeAdapter(Cell).validate_python(section), SHAPE, STREAM, ONE)


def send(crossbar, n, up=True):
    x, d = np.ones((1, SHAPE[0]), np.float32), np.ones((1, SHAPE[1]), np.float32)
    for example in range(n):
        crossbar.update(x, d if up else -d, 1e6, example)


@pytest.mark.parametrize("kind", KINDS)
def test_stuck_devices_stay_and_the_others_move(kind):
    section = device(kind, "stuck")
    crossbar = crossbar_of(section)
    values = TypeAdapter(Cell).validate_python(section).sample(SHAPE, STREAM, 0)
    still = values[LOWER] == values[UPPER]
    assert 0.1 < still.mean() < 0.3
    assert still[1, 2]
    crossbar.write(np.zeros(SHAPE, np.float32))
    before = crossbar.state()["conductance_0"].copy()
    send(crossbar, 30)
    send(crossbar, 15, up=False)

    moved = crossbar.state()["conductance_0"] - before
    np.testing.assert_allclose(moved[still], 0, atol=1e-4)  # bounds are kept in 16 bits
    assert (np.abs(moved[~still]) > 1e-4).mean() > 0.9
    assert np.isfinite(crossbar.weights).all()
    np.testing.assert_array_equal(values[STEP_UP][still], 0)


@pytest.mark.parametrize("kind", KINDS)
def test_conductance_is_lost_exponentially_towards_rest(kind):
    """Towards 0, or the bound next to it: a tenth of the time constant passes."""
    section = {"kind": kind, "retention": {"time_s": 240e-9 * 1000}}
    crossbar = crossbar_of(section)
    crossbar.write(np.full(SHAPE, 0.3, np.float32))
    before = crossbar.state()["conductance_0"].copy()
    x, d = np.zeros((100, SHAPE[0]), np.float32), np.zeros((100, SHAPE[1]), np.float32)
    crossbar.update(x, d, 0.1, 0)

    values = naive.parameters_of(TypeAdapter(Cell).validate_python(section), SHAPE, STREAM, 0)
    rest = np.clip(0, values[LOWER], values[UPPER])
    left = (crossbar.state()["conductance_0"] - rest) / (before - rest)
    passed = left.mean()
    assert np.ptp(left) < 1e-4
    assert passed == pytest.approx(np.exp(-EXAMPLE_S * 100 / (240e-9 * 1000)), abs=0.005)


@pytest.mark.parametrize("kind", ["linear_step", "soft_bounds", "exp_step", "jump_table"])
def test_alternating_pulses_lead_to_the_symmetry_point(kind):
    """What is seen goes to 0: within five mean steps, from the middle of a quarter of the range."""
    section = {"kind": kind, "symmetry_referenced": True, "device_noise": 0.1} | QUIET
    cell = TypeAdapter(Cell).validate_python(section)
    section |= {"step": 0.02} if "step" in type(cell).model_fields else {}
    crossbar = crossbar_of(section)
    x, d = np.ones((1, SHAPE[0]), np.float32), np.ones((1, SHAPE[1]), np.float32)
    for example in range(3000):
        crossbar.update(x, d if example % 2 else -d, 1e6, example)

    values = naive.parameters_of(TypeAdapter(Cell).validate_python(section), SHAPE, STREAM, 0)
    state = crossbar.state()["conductance_0"]
    inside = (state > values[LOWER] + 0.05) & (state < values[UPPER] - 0.05)
    assert inside.mean() > 0.2
    assert np.median(np.abs(crossbar.weights[inside])) < 0.04


# What a number can mean


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["device_noise", "upper_device_noise", "lower_device_noise"])
def test_a_spread_in_per_cent_is_refused(kind, field, train):
    if field not in DEVICES[kind].model_fields:
        return
    code, error = train({"kind": kind, field: 5.0})

    assert code == 2
    assert f"tile.cell.{field} must be at most 1, a spread of 100 % (did you mean 0.05?)" in error
    assert error.rstrip().endswith("got 5") or error.rstrip().endswith("got 5.0")


@pytest.mark.parametrize("name", presets())
def test_shipped_devices_are_within_the_bounds(name):
    load_cell(name)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"kind": "constant_step", "step": 5e-324}, "step must be at least 1e-07, got 5e-324"),
        ({"kind": "constant_step", "cycle_noise": 1e300}, "cycle_noise must be at most 1000000"),
        ({"kind": "soft_bounds", "upper": 1e38}, "upper must be at most 1000000"),
        ({"kind": "soft_bounds", "retention": {"time_s": 5e-324}}, "retention.time_s must be at l"),
        ({"kind": "soft_bounds", "retention": {"time_s": 1.0, "device_noise": 30.0}},
         "retention.device_noise must be at most 1, a spread of 100 % (did you mean 0.3?)"),
        ({"kind": "exp_step", "gamma_up": 1e300}, "gamma_up must be at most 1000"),
        ({"kind": "pcm", "full_scale_siemens": 5e-324}, "full_scale_siemens must be at "),
        ({"kind": "pcm", "memory_pulses": 5e-324}, "memory_pulses must be at least 0.001"),
        ({"kind": "pair", "refresh": {"max_pulses": 2**63}}, "refresh.max_pulses must be at mos"),
        ({"kind": "pairs", "carry_every": 2**63}, "carry_every must be at most 9007199254"),
        ({"kind": "pairs", "significances": [1.0, 1e300]}, "significances.1 must be at most"),
        ({"kind": "pcm_3t1c", "capacitor": {"step_v": 5e-324}}, "capacitor.step_v must be at lea"),
        ({"kind": "pcm_3t1c", "capacitor": {"size_noise": 10.0}}, "(did you mean 0.1?)"),
        ({"kind": "pcm_3t1c", "transfer": {"every": 2**63}}, "transfer.every must be at most"),
        ({"kind": "shared_reference", "reference": 1e300}, "reference must be at most 1000000"),
        ({"kind": "constant_step", "stuck": {"fraction": 5.0}}, "stuck.fraction must be at most 1"),
    ],
)  # fmt: skip
def test_numbers_that_no_device_can_have_are_refused(section, line, train):
    code, error = train(section)

    assert code == 2
    assert f"tile.cell.{line}" in error or (line.startswith("(") and line in error)
    assert error.count("\n") == 1


@pytest.mark.parametrize("cls", DEVICES.values())
def test_a_device_at_the_bounds_of_its_numbers_trains(cls, train):
    """The smallest and the largest values that are taken end in an exit code of 0."""
    for edge in ("ge", "le"):
        section = {"kind": cls.model_fields["kind"].default}
        for name, field in cls.model_fields.items():
            bound = next((getattr(m, edge) for m in field.metadata if hasattr(m, edge)), None)
            if name in {"step", "cycle_noise", "write_noise", "device_noise"} and bound is not None:
                section[name] = float(min(bound, 1.0 if name == "device_noise" else bound))
        code, error = train(section, *(["--run-dir", edge]))
        assert (code, error) == (0, ""), section

"""A small study for tests: a config of few tiles, in a folder."""

import yaml

from crossmesh import load_study
from crossmesh.emulator.config.loading import dumped
from tests.jobs import small_config


def study_of(folder, **fields):
    """A study of a small config, with the fields given."""
    (folder / "small.yaml").write_text(dumped(small_config(chip={"model": "packet"})))
    tree = {"name": "tiny", "runs": [{"config": "small.yaml"}], **fields}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tree))
    return load_study(folder / "tiny.yaml")

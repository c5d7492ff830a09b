"""Texts whose capitals are to be restored."""

import numpy as np

from crossmesh.emulator.data import DataConfig, load


def test_inputs_have_no_capitals_and_targets_say_where_they_were(tmp_path):
    content = "First Citizen:\nÄ ß İ Σ we are ALL here.\n" * 3
    (tmp_path / "lines.txt").write_text(content, "utf-8")
    file = tmp_path / "lines.txt"
    data = load(DataConfig(source="text", file=file, steps=8, test_fraction=0.3, targets="case"))

    n_train = len(content) - round(len(content) * 0.3)
    assert (data.n_outputs, data.tokens) == (2, len(data.characters))
    for part, whole in ((data.train, content[:n_train]), (data.test, content[n_train:])):
        whole = whole[: len(whole) // 8 * 8]
        lower = [c.lower() if len(c.lower()) == 1 else c for c in whole]
        assert [data.characters[i] for i in part.inputs.ravel().astype(int)] == lower
        capitals = [a != b for a, b in zip(whole, lower, strict=True)]
        np.testing.assert_array_equal(part.targets.ravel(), capitals)
        assert any(capitals)
    assert not set(data.characters) & set("FCALÄΣ")
    assert "İ" in data.characters  # whose small letter is two characters

"""Which data a run learns."""

import os.path
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from crossmesh.common.frozen import Anything, Frozen, Keyed, Many
from crossmesh.common.registry import KindName, Registry
from crossmesh.emulator.data.augment import Augment


def _expanded(path: Path) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111  because Path's own fails for no such user


# YAML has neither paths nor tuples.
UserPath = Annotated[Path, Field(strict=False), AfterValidator(_expanded)]
Bounds = Annotated[tuple[int, int], Field(strict=False)]
Label = Annotated[int, Field(ge=0, lt=2**31)]

# Filled by sources.py, and by other packages: functions that make a Dataset of a DataConfig.
SOURCES: Registry[Callable[..., Any]] = Registry("crossmesh.sources", {})
SourceName = Annotated[str, KindName(SOURCES)]

_PICTURES = ("digits", "mnist", "mnist-backrand", "fashion-mnist", "idx", "npz")
_USED_BY = {
    "file": ("npz", "parquet", "text"),
    "test_file": ("parquet",),
    "test_fraction": ("digits", "npz", "parquet", "text"),
    "crop": _PICTURES,
    "standardise": (*_PICTURES, "cifar10"),
    "augment": (*_PICTURES, "cifar10"),
    "normalise": (*_PICTURES, "cifar10"),
    "options": (),
    "only_classes": (*_PICTURES, "cifar10", "parquet"),
    "tokens": ("npz", "parquet"),
    "columns": ("npz", "parquet"),
    "steps": ("text",),
    "targets": ("text",),
    "examples": ("synthetic",),
    "test_examples": ("synthetic",),
    "inputs": ("synthetic",),
    "classes": ("synthetic",),
}
_NEEDED_BY = {"file": ("npz", "parquet"), "directory": ("idx",)}


class Crop(Frozen):
    """The window of an image that is kept.

    Attributes:
        rows: First row, and the one behind the last.
        columns: First column, and the one behind the last.
    """

    rows: Bounds
    columns: Bounds

    @model_validator(mode="after")
    def _bounds_rise(self) -> Self:
        for axis, bounds in (("rows", self.rows), ("columns", self.columns)):
            if bounds[0] >= bounds[1]:
                raise ValueError(f"{axis} must rise from start to stop, got {list(bounds)}")
        return self


class GivenScale(Frozen):
    """Inputs less a mean, divided by a deviation, of each channel: torchvision's ``Normalize``.

    Attributes:
        mean: One for all inputs, or one for each channel; bytes are shares of 255.
        std: As many.
    """

    mean: Annotated[Many[float], Field(min_length=1)]
    std: Annotated[Many[Annotated[float, Field(gt=0)]], Field(min_length=1)]

    @model_validator(mode="after")
    def _are_as_many(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"std must have as many entries as mean ({len(self.mean)}), got {len(self.std)}"
            )
        return self


class DataConfig(Frozen):
    """Data source.

    Attributes:
        PATHS: Fields that are paths of one machine.
        source: A data set by name, or the format of files of one's own.
        directory: Folder of the IDX files, or for a data set by name the folder above it. Allowed
            for every source, so that one place can serve all runs.
        file: ``npz``: file with x_train, y_train and perhaps x_test, y_test. ``parquet``: table of
            the training examples. ``text``: text in UTF-8; by default input.txt in a folder.
        test_file: ``parquet``: table of the test examples; by default some of ``file``.
        crop: Window of the images that is kept; by default all.
        standardise: Whether the mean of the training inputs is subtracted from all inputs, which
            are then divided by their standard deviation: of each channel, if images have channels.
        only_classes: Labels of the classes whose examples are kept, the others being left out; they
            are numbered again from 0, in this order.
        test_fraction: Part of the examples, or of the end of a text, that is set aside where a
            source has no test set.
        tokens: ``npz``, ``parquet``: size of the vocabulary, where inputs are tokens, one for
            each step of an example.
        columns: ``npz``, ``parquet``: names of several inputs, of a network that takes them: arrays
            NAME_train and NAME_test in place of x_train and x_test, or columns of a table.
        steps: Characters of an example of ``text``.
        targets: What is learnt of each character of ``text``: the one that follows (``next``), or
            its case (``case``): 1 of a capital, which the inputs have not.
        augment: Random changes of the training images; by default none.
        normalise: Means and deviations that inputs are standardised by, in place of their own.
        validation: Part of the training examples that is set aside to choose by, as the seed has
            it; by default none. Loss and accuracy on them are measured after every epoch.
        stratified: Whether every class has the same part of its examples set aside.
        options: Settings of a source of another package.
        examples: Training examples of ``synthetic``.
        test_examples: Test examples of ``synthetic``.
        inputs: Inputs of an example of ``synthetic``.
        classes: Classes of ``synthetic``.
    """

    PATHS: ClassVar[tuple[str, ...]] = ("directory", "file", "test_file")

    source: SourceName
    directory: UserPath | None = None
    file: UserPath | None = None
    test_file: UserPath | None = None
    crop: Crop | None = None
    standardise: bool = False
    only_classes: Annotated[Many[Label], Field(min_length=2)] | None = None
    test_fraction: float = Field(0.2, gt=0, lt=1)
    tokens: int | None = Field(None, ge=2)
    columns: Annotated[tuple[str, ...], Field(strict=False, min_length=2)] | None = None
    steps: int = Field(64, ge=2)
    targets: Literal["next", "case"] = "next"
    augment: Augment | None = None
    normalise: GivenScale | None = None
    validation: float | None = Field(None, gt=0, lt=1)
    stratified: bool = False
    options: Keyed[str, Anything] | None = None
    examples: int = Field(1024, ge=1)
    test_examples: int = Field(256, ge=1)
    inputs: int = Field(64, ge=1)
    classes: int = Field(10, ge=2)

    @model_validator(mode="after")
    def _fields_fit_the_source(self) -> Self:
        for name, sources in _NEEDED_BY.items():
            if self.source in sources and getattr(self, name) is None:
                raise ValueError(f"{name} must be given for the source {self.source}, got none")
        if self.source not in SOURCES.own:  # of another package, which may use any of them
            return self
        for name, sources in _USED_BY.items():
            value = getattr(self, name)
            # Compared with the default, not asked whether set: a config that was written out
            # in full must load again.
            if self.source not in sources and value != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name} must be left out for the source {self.source}, got {value}"
                )
        return self

    @model_validator(mode="after")
    def _classes_differ(self) -> Self:
        if self.only_classes and len(set(self.only_classes)) < len(self.only_classes):
            raise ValueError(f"only_classes must differ, got {list(self.only_classes)}")
        return self

    @model_validator(mode="after")
    def _tokens_are_numbers_as_they_are(self) -> Self:
        if self.tokens is not None and self.standardise:
            raise ValueError(f"standardise must be false for tokens ({self.tokens}), got true")
        for name in ("augment", "normalise"):
            if self.tokens is not None and (value := getattr(self, name)):
                raise ValueError(f"{name} must be left out for tokens, got {value}")
        return self

    @model_validator(mode="after")
    def _parts_are_chosen_once(self) -> Self:
        if self.standardise and self.normalise:
            raise ValueError("standardise must be false beside normalise, got true")
        if self.stratified and self.validation is None:
            raise ValueError("stratified must be false without validation, got true")
        return self

    @model_validator(mode="after")
    def _columns_are_as_they_are(self) -> Self:
        if self.columns is None:
            return self
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"columns must differ, got {', '.join(self.columns)}")
        for name in ("tokens", "crop", "standardise", "augment", "normalise"):
            if value := getattr(self, name):
                raise ValueError(f"{name} must be left out beside columns, got {value}")
        return self

    @property
    def absolute(self) -> Self:
        """A copy with absolute paths."""
        paths = {name: path.absolute() for name in self.PATHS if (path := getattr(self, name))}
        return self.model_copy(update=paths)

    def as_archive(self, file: Path) -> Self:
        """The source ``npz``, whose examples are prepared in the same way.

        Args:
            file: The archive.
        """
        others = {name for name, sources in _USED_BY.items() if "npz" not in sources}
        kept = {name: getattr(self, name) for name in type(self).model_fields.keys() - others}
        return type(self)(**{**kept, "source": "npz", "file": file})

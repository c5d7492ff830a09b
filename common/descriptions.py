"""What fields of a config mean, from the docstrings of their classes."""

import inspect
import re

_SECTION = "Attributes:\n"


def described(cls: type) -> str:
    """The docstring of a class without its list of fields, each paragraph on a line.

    >>> class Adc:
    ...     '''An ADC
    ...     with a range.
    ...
    ...     Attributes:
    ...         bits: Bits of a result.
    ...     '''
    >>> described(Adc)
    'An ADC with a range.'
    """
    text = _own(cls).partition(_SECTION)[0]
    return "\n".join(" ".join(part.split()) for part in text.split("\n\n") if part.strip())


def meanings(cls: type) -> dict[str, str]:
    """Fields of a class and of those that it inherits from, and what their docstrings say of them.

    >>> class Adc:
    ...     '''An ADC.
    ...
    ...     Attributes:
    ...         bits: Bits of a result, its sign
    ...             among them.
    ...     '''
    >>> meanings(Adc)
    {'bits': 'Bits of a result, its sign among them.'}
    """
    found: dict[str, str] = {}
    for ancestor in reversed(cls.__mro__):
        section = _own(ancestor).partition(_SECTION)[2]
        entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section, flags=re.MULTILINE)
        found |= {name: " ".join(text.split()) for name, text in entries}
    return found


def _own(cls: type) -> str:
    """The docstring of the class itself, not one that it inherits."""
    return inspect.cleandoc(cls.__dict__.get("__doc__") or "")

"""Mistakes in how a command is typed, with what may have been meant."""

from typing import Any

import typer

from crossmesh.common.hints import command
from crossmesh.common.suggestions import asked, fields_meant, squeezed
from crossmesh.emulator.config.loading import shipped
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.config.words import WORDS

COMMANDS = {
    "train": "fit run start learn optimize",
    "evaluate": "test eval validate accuracy score",
    "predict": "infer inference forward",
    "resume": "continue restart",
    "study": "sweep search explore experiment ablate",
    "chip": "simulate energy area timing estimate cost power performance",
    "map": "floorplan layout place mapping",
    "configs": "list examples models zoo networks init new",
    "devices": "device materials cells",
    "launch": "submit cluster deploy",
    "watch": "monitor progress top",
    "--help": "help man usage h",
}
_BY_WORD = {word: ours for ours, words in COMMANDS.items() for word in words.split()}
_STOPPING = dict.fromkeys(("--early-stopping", "--patience"), "--stop-early patience=3")
_OPTIONS = {"-v": "--version", "-V": "--version", "--help-all": "--help", **_STOPPING}
_EXAMPLES = {
    "CONFIG": "digits", "CONFIG...": "digits", "DEVICE...": "reram-es-gong-2018",
    "DEVICE": "reram-es-gong-2018", "RUN": "runs/digits", "RUN|CONFIG": "runs/digits",
}  # fmt: skip


def told(error: typer.TyperException) -> str:
    """The message of such a mistake."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    if option := getattr(error, "option_name", ""):
        return _of_option(option, context, message)
    if message.startswith("Missing argument"):
        return message + _example(error, context)
    if message.startswith("No such command"):
        return message.removesuffix(".") + _of_command(message.split("'")[1], message)
    if "unexpected extra argument" in message and _sets_fields(context):
        return f"{message}; a field is set by one word, as in --set training.epochs=3"
    return message


def _of_option(option: str, context: Any, message: str) -> str:
    """A field of the config that an unknown option may stand for."""
    if option in _OPTIONS:
        return message + asked([_OPTIONS[option]])
    if not _sets_fields(context):
        return message
    known = [name for parameter in context.command.params for name in parameter.opts]
    if any(squeezed(name).startswith(squeezed(option)) for name in known):
        return message
    names = fields_meant([option.lstrip("-")], RunConfig, RunConfig, WORDS)[:1]
    hint = asked([f"--set {name}=VALUE" for name in names])
    return f"No such option: {option}{hint}" if hint else message


def _sets_fields(context: Any) -> bool:
    return any("--set" in parameter.opts for parameter in context.command.params)


def _example(error: Any, context: Any) -> str:
    """What a whole command looks like, or where that is written."""
    words = context.command_path.split()[1:]
    example = _EXAMPLES.get(getattr(error.param, "metavar", ""))
    if example is None or not words:
        return f" Try: {command(*words, '--help')}"
    return f" For example: {command(*words, example)}"


def _of_command(word: str, message: str) -> str:
    """A command that an unknown one may stand for; a config alone may be meant to be trained."""
    if word in shipped() or word.endswith((".yaml", ".yml")):
        return asked([command("train", word)])
    ours = _BY_WORD.get(word.lower().lstrip("-"))
    return asked([command(ours)]) if ours and "Did you mean" not in message else ""

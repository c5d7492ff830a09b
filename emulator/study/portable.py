"""What goes to a node with a task of a study, and what comes back from there."""

import shutil
from dataclasses import replace

from crossmesh.common.storage import Storage
from crossmesh.emulator.compiler.carried import carried, relocated
from crossmesh.emulator.executors.remote import RUN, TaskResult, files_in, write_files
from crossmesh.emulator.study.pool import CHILD, ProcessTask


def put_in_place(task: ProcessTask, left: TaskResult) -> None:
    """Write the files that a task left, complete or not at all."""
    task.log.parent.mkdir(parents=True, exist_ok=True)
    if left.log:
        task.log.write_text(left.log, "utf-8")
    if task.folder is None or task.kind != "run":
        return
    aside = task.folder.with_name(f".{task.folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    write_files(left.files, aside)
    shutil.rmtree(task.folder, ignore_errors=True)
    if aside.exists():
        aside.replace(task.folder)


def portable(task: ProcessTask) -> tuple[str, str, dict[str, bytes]]:
    """Arguments of ``do_remotely``: what does the task, the task, and the files that go with it.

    The files are those of networks and weights, and of a run that was interrupted. Data, and
    checkpoints outside of run directories, have the same path everywhere.
    """
    parts = carried(task.config, None)
    config = relocated(task.config, parts, "")
    checkpoint = config.checkpoint
    if checkpoint.storage is not None:
        where = Storage(checkpoint.storage).where
        checkpoint = checkpoint.model_copy(update={"storage": where})
    config = config.model_copy(update={"data": config.data.absolute, "checkpoint": checkpoint})
    files = {name: path.read_bytes() for part in parts for name, path in part.files.items()}
    if task.kind == "run" and task.folder is not None:
        files |= {f"{RUN}/{name}": content for name, content in files_in(task.folder).items()}
    return CHILD, replace(task, config=config).line(), files

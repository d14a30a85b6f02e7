# SPDX-License-Identifier: Apache-2.0
"""Becomes the first process of a container: engine.py starts it as root, in new namespaces.

    become.py FILE      a JSON document, as Container.plan() writes it
"""

import ctypes
import errno
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import seccomp_profile

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
PR_CAPBSET_DROP = 24
NODES = ("null", "zero", "full", "random", "urandom", "tty")


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


def bind(source, target, read_only):
    """What an engine does: where there is no such path in the image, it makes one."""
    if os.path.isdir(source):
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount("--rbind", source, target)
    if read_only:
        mount("-o", "remount,bind,ro", target)


def devices(directory):
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", directory)
    for name in NODES:
        (directory / name).touch()
        mount("--bind", f"/dev/{name}", directory / name)
    for name in ("pts", "shm"):
        (directory / name).mkdir()
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=666,mode=620", "devpts", directory / "pts")
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", directory / "shm")
    (directory / "ptmx").symlink_to("pts/ptmx")


def file_system(plan):
    """The image below a layer of the container's own, with all that is mounted there."""
    root = pathlib.Path(plan["root"])
    layer = pathlib.Path(plan["layer"])
    mount("-t", "tmpfs", "tmpfs", layer)
    for name in ("upper", "work"):
        (layer / name).mkdir()
    mount("-t", "overlay", "-o",
          f"lowerdir={plan['image']},upperdir={layer}/upper,workdir={layer}/work", "overlay", root)
    mount("-t", "proc", "proc", root / "proc")
    mount("--rbind", "/sys", root / "sys")
    mount("-o", "remount,bind,ro", root / "sys")
    devices(root / "dev")
    for source, target, read_only in plan["binds"]:
        bind(source, root / target.lstrip("/"), read_only)
    if plan["read_only"]:
        mount("-o", "remount,bind,ro", root)
    return root


def call(function, *arguments):
    if function(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    libc = ctypes.CDLL(None, use_errno=True)
    rules = seccomp_profile.Filter(getattr(errno, plan["refusal"]))
    root = file_system(plan)
    socket.sethostname(plan["hostname"])
    os.chroot(root)
    os.chdir(plan["directory"])
    os.umask(0o022)
    # capabilities(7): until one that is no more.
    capability = 0
    while libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    os.setgroups(plan["groups"])
    os.setresgid(*[plan["gid"]] * 3)
    os.setresuid(*[plan["uid"]] * 3)
    # Never outlives the test: another user is another life to the kernel, which has forgotten it.
    call(libc.prctl, PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    call(libc.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    rules.load()
    os.execve(plan["command"][0], plan["command"], plan["environment"])


if __name__ == "__main__":
    main()

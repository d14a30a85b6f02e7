# SPDX-License-Identifier: Apache-2.0
"""What a test builds once and keeps from run to run, in ~/.cache or where XDG_CACHE_HOME says."""

import fcntl
import os
import pathlib
import shutil
import time

UNUSED_DAYS = 30


def forget_unused(cache):
    for path in cache.iterdir():
        if path.is_dir() and path.stat().st_mtime < time.time() - UNUSED_DAYS * 86400:
            shutil.rmtree(path, ignore_errors=True)


def kept(name, key, build):
    """The directory NAME/KEY of the cache. Where there is none yet, build(directory) makes it, at
    once and whole, and one of them at a time.
    """
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    cache = pathlib.Path(base) / name
    cache.mkdir(parents=True, exist_ok=True)
    directory = cache / key
    with open(cache / f"{key}.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            build(directory)
        os.utime(directory)
        forget_unused(cache)
    return directory

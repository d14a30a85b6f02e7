# SPDX-License-Identifier: Apache-2.0
"""Programs of the npm registry, from where this machine's npm gets them.

They are kept in ~/.cache/smartmeterd-consumers, one directory for each list of packages; nothing of
them is in the tree, and none of their install scripts is run.
"""

import hashlib
import json
import os
import shutil
import subprocess
import unittest

import cache

LIMIT_S = 240


def installed(**packages):
    """The directory with the node_modules of these packages, name="exact version". SkipTest where
    there is no npm or where it reaches no registry.
    """
    if not shutil.which("node") or not shutil.which("npm"):
        raise unittest.SkipTest("no node or no npm: tools/packages, consumers")
    manifest = json.dumps({"name": "consumers", "version": "1.0.0", "private": True,
                           "dependencies": packages}, sort_keys=True)
    # What npm chooses for a Node.js is not for a later one.
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    key = hashlib.sha256((manifest + node).encode()).hexdigest()[:16]
    return cache.kept("smartmeterd-consumers", key, lambda directory: install(manifest, directory))


def install(manifest, directory):
    scratch = directory.with_name(f"build-{directory.name}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    (scratch / "package.json").write_text(manifest)
    command = ["npm", "install", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund",
               "--no-update-notifier", "--fetch-retries=1"]
    try:
        subprocess.run(command, cwd=scratch, check=True, capture_output=True, text=True,
                       timeout=LIMIT_S, env=os.environ | {"NODE_OPTIONS": ""})
    except subprocess.TimeoutExpired as error:
        raise unittest.SkipTest(f"npm takes more than {LIMIT_S} s") from error
    except subprocess.CalledProcessError as error:
        said = [line for line in error.stderr.splitlines() if " code " in line]
        reason = said[0] if said else error.stderr.strip()[-200:]
        raise unittest.SkipTest(f"npm installs nothing: {reason}") from error
    scratch.rename(directory)

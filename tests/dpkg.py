# SPDX-License-Identifier: Apache-2.0
"""What this machine's dpkg knows."""

import os
import subprocess


def package_of(path):
    """The package with a file, or None. dpkg may know it through the link that made / and /usr one.
    """
    real = os.path.realpath(path)
    for name in (path, real, real.removeprefix("/usr")):
        found = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True,
                               check=False)
        if found.returncode == 0:
            return found.stdout.partition(":")[0]
    return None

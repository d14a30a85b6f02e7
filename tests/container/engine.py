# SPDX-License-Identifier: Apache-2.0
"""A service of a compose file as a process of this machine, confined as an engine would confine it:
namespaces, the image's user, the file systems that the file names, no capabilities, and the
engine's seccomp profile. Knows what the project's own files say, and refuses every other key.

Not like an engine: the network is the test's own, and no rules stand between a container and the
devices whose nodes it can open (device_cgroup_rules).
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import debian_root

HERE = pathlib.Path(__file__).resolve().parent
# What has no meaning here, or was looked at elsewhere: build, and when it is started.
PASSED_OVER = {"build", "depends_on", "device_cgroup_rules", "image", "ports", "restart", "ulimits"}
KNOWN = {"cap_drop", "environment", "group_add", "read_only", "secrets", "security_opt", "user",
         "volumes", *PASSED_OVER}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def resolved(file):
    """What docker-compose makes of a compose file: all of it, with absolute paths."""
    done = subprocess.run(["docker-compose", "-f", str(file), "config"], capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{file.name}: {done.stderr}")
    import yaml  # Debian's, which docker-compose brings
    return yaml.safe_load(done.stdout)


class Container:
    """One container of a service. `hosts`: names that lead to this machine. `devices`: what stands
    for the host's /dev.
    """

    def __init__(self, image, compose, name, devices=None, refusal="EPERM", hosts=()):
        self.image = image
        self.compose = compose
        self.service = compose["services"][name]
        unknown = set(self.service) - KNOWN
        assert not unknown, unknown
        assert self.service["cap_drop"] == ["ALL"]
        assert self.service["security_opt"] == ["no-new-privileges:true"]
        self.devices = devices
        self.refusal = refusal
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="smartmeterd-container-"))
        self.hosts = self.directory / "hosts"
        self.hosts.write_text("127.0.0.1 localhost\n" +
                              "".join(f"127.0.0.1 {host}\n" for host in hosts))
        self.volumes = {}
        self.lives = 0
        self.log = self.directory / "log"
        self.process = None

    def volume(self, name, target):
        """A named volume: when it is new it becomes what the image has there, owner included."""
        if name not in self.volumes:
            path = self.directory / f"volume-{name}"
            there = self.image.chroot.path / target.lstrip("/")
            path.mkdir()
            if there.is_dir():
                debian_root.run("cp", "-a", "-T", str(there), str(path))
            self.volumes[name] = path
        return self.volumes[name]

    def binds(self):
        found = []
        for text in self.service.get("volumes", ()):
            source, target, *options = text.split(":")
            read_only = options == ["ro"]
            if source == "/dev":
                # The pseudo terminals themselves stay where they are.
                found += [(str(self.devices), target, read_only),
                          ("/dev/pts", f"{target}/pts", False)]
                continue
            if not source.startswith("/"):
                assert source in self.compose["volumes"], source
                source = self.volume(source, target)
            assert os.path.exists(source), f"no such file: {source}"
            found.append((str(source), target, read_only))
        for secret in self.service.get("secrets", ()):
            source = self.compose["secrets"][secret["source"]]["file"]
            assert os.path.exists(source), f"no such file: {source}"
            # An absolute target is one; another one, and none, is below /run/secrets.
            found.append((source, os.path.join("/run/secrets",
                                               secret.get("target", secret["source"])), True))
        return found

    def plan(self):
        """With directories of its own: what is mounted there in a container's namespace would be
        gone with them.
        """
        self.lives += 1
        life = self.directory / f"life-{self.lives}"
        for name in ("layer", "root"):
            (life / name).mkdir(parents=True)
        uid, gid = map(int, self.service.get("user", self.image.user).split(":"))
        return {
            "image": str(self.image.chroot.path), "layer": str(life / "layer"),
            "root": str(life / "root"),
            "read_only": self.service.get("read_only", False),
            "binds": [*self.binds(), (str(self.hosts), "/etc/hosts", False)],
            "hostname": "0123456789ab", "directory": self.image.directory,
            "uid": uid, "gid": gid,
            "groups": [gid, *map(int, self.service.get("group_add", ()))],
            "environment": {"PATH": PATH, "HOME": "/", **self.image.environment,
                            **self.service.get("environment", {})},
            "command": self.image.entrypoint + self.image.command,
            "refusal": self.refusal}

    def command(self, plan):
        file = self.directory / "plan.json"
        file.write_text(json.dumps(plan))
        return [*debian_root.as_root(), "--mount", "--pid", "--ipc", "--uts", "--fork",
                "--kill-child", "--", "/usr/bin/python3", "-B", str(HERE / "become.py"), str(file)]

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(self.plan()), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)

    def run(self, *command):
        """Exit status and output of another command in a fresh container of the service, in the
        same network.
        """
        done = subprocess.run(self.command(self.plan() | {"command": list(command)}), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                              stdin=subprocess.DEVNULL, check=False)
        return done.returncode, done.stdout

    def first_process(self):
        """The number, on this machine, of what is number 1 in the container."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return int(children.split()[0])

    def signal(self, number):
        os.kill(self.first_process(), number)

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

# SPDX-License-Identifier: Apache-2.0
"""The steps of a Containerfile, taken in a chroot: what an engine does where there is none.

Knows the instructions and options that the project's own file uses, and refuses every other.
"""

import json
import re
import shlex

import debian_root

# What an engine leaves root in a build; mounting is not among it.
CAPABILITIES = ("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
                "net_bind_service", "net_raw", "sys_chroot", "mknod", "audit_write", "setfcap")
LIMIT_S = 7200  # the packages are built without a compiler's cache
IGNORE = "tools/container/Containerfile.dockerignore"
BASES = {"debian:12", "debian:12-slim"}


class Stage:
    def __init__(self, words):
        if len(words) not in (1, 3) or len(words) == 3 and words[1] != "AS":
            raise ValueError(f"FROM {words}")
        self.base = words[0]
        self.name = words[2] if len(words) == 3 else None
        self.steps = []


def parse(text):
    """The stages, each with its steps: (instruction, the rest of the line)."""
    text = re.sub(r"(?m)^\s*#.*\n", "", text)
    text = re.sub(r"\\\n", "", text)
    stages = []
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            stages.append(Stage(rest.split()))
        else:
            stages[-1].steps.append((instruction, rest.strip()))
    return stages


class Image:
    """A root that steps have been taken in, and what they say of its containers."""

    def __init__(self, chroot):
        self.chroot = chroot
        self.user = "0:0"
        self.directory = "/"
        self.environment = {}
        self.labels = {}
        self.volumes = []
        self.stop_signal = "SIGTERM"
        self.entrypoint = []
        self.command = []
        self.health = None

    def take(self, instruction, rest, sources, context):
        step = getattr(self, f"take_{instruction.lower()}", None)
        if step is None:
            raise ValueError(f"{instruction} {rest}")
        step(rest, sources, context)

    def shell(self, command, binds=()):
        capabilities = ",".join(["-all", *(f"+{name}" for name in CAPABILITIES)])
        limited = ["setpriv", "--bounding-set", capabilities, "--inh-caps", "-all", "sh", "-c"]
        return self.chroot.shell(f"cd {self.directory} && {shlex.join([*limited, command])}",
                                 environment=self.environment, binds=binds, limit=LIMIT_S)

    def take_workdir(self, rest, *_):
        self.directory = rest
        self.chroot.shell(f"mkdir -p {shlex.quote(rest)}")

    def take_copy(self, rest, _, context):
        """All but what the file beside the Containerfile leaves out."""
        if rest != ". .":
            raise ValueError(f"COPY {rest}")
        left_out = []
        for line in (context / IGNORE).read_text().splitlines():
            if line.startswith("**/"):
                left_out += ["--no-anchored", f"--exclude={line.removeprefix('**/')}"]
            elif line and not line.startswith("#"):
                left_out += ["--anchored", f"--exclude=./{line}"]
        self.chroot.shell(f"tar -C /context {shlex.join(left_out)} -c . | "
                          f"tar -C {shlex.quote(self.directory)} -x",
                          binds={context: "/context"})

    def take_run(self, rest, sources, _):
        binds = {}
        while rest.startswith("--"):
            option, _, rest = rest.partition(" ")
            found = re.fullmatch(r"--mount=type=bind,from=(\w+),source=([\w/]+),target=([\w/]+)",
                                 option)
            if not found:
                raise ValueError(f"RUN {option}")
            name, source, target = found.groups()
            binds[sources[name](source)] = target
            rest = rest.strip()
        self.shell(rest, binds)

    def take_label(self, rest, *_):
        self.labels |= dict(word.split("=", 1) for word in shlex.split(rest))

    def take_env(self, rest, *_):
        self.environment |= dict(word.split("=", 1) for word in shlex.split(rest))

    def take_user(self, rest, *_):
        if not re.fullmatch(r"\d+:\d+", rest):  # an engine could not tell that it is not root
            raise ValueError(f"USER {rest}")
        self.user = rest

    def take_volume(self, rest, *_):
        self.volumes = json.loads(rest)

    def take_stopsignal(self, rest, *_):
        self.stop_signal = rest

    def take_entrypoint(self, rest, *_):
        self.entrypoint = json.loads(rest)

    def take_cmd(self, rest, *_):
        self.command = json.loads(rest)

    def take_healthcheck(self, rest, *_):
        options, _, command = rest.partition("CMD ")
        self.health = (options.split(), json.loads(command))


class Build:
    """One build for this machine's architecture. `enter`: takes a context manager over. `given`: by
    the name of a stage that is left out, the directory of its that others look at.
    """

    def __init__(self, text, context, enter, given=()):
        self.stages = parse(text)
        self.context = context
        self.enter = enter
        self.given = dict(given)
        self.images = {}

    def image(self):
        """The image of the last stage."""
        return self._made(self.stages[-1])

    def _made(self, stage):
        named = {one.name: one for one in self.stages if one.name}
        if stage.base not in BASES:
            raise ValueError(f"FROM {stage.base}")
        image = Image(self.enter(debian_root.unpacked(debian_root.root())))
        sources = {name: lambda path, name=name: self._directory(named[name], path)
                   for name in named}
        for instruction, rest in stage.steps:
            image.take(instruction, rest, sources, self.context)
        return image

    def _directory(self, stage, path):
        if stage.name in self.given:
            return self.given[stage.name]
        if stage.name not in self.images:
            self.images[stage.name] = self._made(stage)
        return self.images[stage.name].chroot.path / path.lstrip("/")

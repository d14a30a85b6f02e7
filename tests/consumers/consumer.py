# SPDX-License-Identifier: Apache-2.0
"""What the tests of the programs that people use share: the pages of daemon/doc, and a house.

One page a consumer, one test a page. A test takes its consumer's configuration out of the page
itself, so that no page can say what has not been tried: block("evcc.md", "# evcc.yaml") is the
fenced block that begins with that line. To add a consumer: write daemon/doc/NAME.md, say there what
was tried with the real program and what was checked for its form only, write NAME_test.py with a
class of House, and name it in meson.build. A program of npm comes through npm.py, one of Debian
through tools/packages.
"""

import collections
import contextlib
import json
import os
import pathlib
import queue
import re
import socket
import subprocess
import sys
import threading

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]
from harness import (LIMIT_S, TEST_AUTHENTICATION_KEY, TEST_KEY, Pty, Subscriber,  # noqa: E402
                     World, stop, telegrams, wait_for)

PAGES = TESTS.parent / "daemon" / "doc"
IO = os.environ.get("SMARTMETERD_IO", "auto")

PASSWORD = "correct horse"  # of every user of a broker in these tests

# The meter's id in topics, and what the simulator says its telegrams contain.
Simulated = collections.namedtuple("Simulated", "slug values")


def page(name):
    return (PAGES / name).read_text(encoding="utf-8")


def blocks(name, kind=None):
    """The fenced blocks of a page, those of one kind ("yaml") or all."""
    found = re.findall(r"(?ms)^```([\w-]*)\n(.*?)^```$", page(name))
    return [text for its_kind, text in found if kind in (None, its_kind)]


def block(name, begins, count=1):
    """The only block of a page that begins with this line."""
    found = [text for text in blocks(name) if text.startswith(begins + "\n")]
    if len(found) != count:
        raise AssertionError(f"{name}: {len(found)} blocks begin with \"{begins}\"")
    return found[0]


def replaced(text, *pairs):
    """The text with what is this test's own put in: each old part must be there."""
    for old, new in pairs:
        if old not in text:
            raise AssertionError(f'"{old}" is not in\n{text}')
        text = text.replace(old, str(new))
    return text


def slug(meter_id):
    """The meter's level in topics."""
    return re.sub("[^a-z0-9-]", "-", meter_id.lower())


def total(values, name):
    """An energy as a telegram says it: the total, or that of its tariffs."""
    if name in values:
        return values[name]
    tariffs = [values[f"{name}_t{n}"] for n in (1, 2, 3, 4) if f"{name}_t{n}" in values]
    return round(sum(tariffs), 3) if tariffs else None


def net_power(values):
    """W, import positive."""
    if "power_net" in values:
        return values["power_net"]
    return values["power_import"] - values.get("power_export", 0)


class Mosquitto:
    """A broker with a page's configuration."""

    def __init__(self, directory, name, port, *texts):
        self.port = port
        self.url = f"mqtt://127.0.0.1:{port}"
        self.log = directory / f"{name}.log"
        self.config = directory / f"{name}.conf"
        # Debian's own file has the persistence; whoever runs this test may read the test's files.
        self.config.write_text("\n".join([*texts, "log_type all", "persistence false",
                                          "user root" if os.geteuid() == 0 else ""]))
        self.process = None

    def start(self, command=None):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command or ["mosquitto", "-c", str(self.config)],
                                            stdout=log, stderr=log)

        def listens():
            if self.process.poll() is not None:
                raise AssertionError(f"mosquitto ended:\n{self.log.read_text()}")
            with contextlib.suppress(OSError), \
                    socket.create_connection(("127.0.0.1", self.port), 1):
                return True
            return False
        wait_for("the broker", listens)

    def stop(self):
        if self.process:
            stop(self.process)


class Listener(Subscriber):
    """A Subscriber that logs in."""

    # pylint: disable=super-init-not-called
    def __init__(self, port, user, *options, topic="#", password=PASSWORD):
        self.messages, self.latest, self.heard = queue.Queue(), {}, {}
        self.process = subprocess.Popen(
            ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-u", user, "-P", password,
             "-t", topic, "-F", "%r %t %p", *options], stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()


class House(World):
    """Some simulated meters, each on a line of its own, and one daemon that reads them all."""

    def start_house(self, *families, broker="", settings="", instance="cellar"):
        """The daemon, once it has opened the line of each meter. `broker`: more lines of
        [broker.home]; `settings`: more tables.
        """
        self.write_key(TEST_KEY, TEST_AUTHENTICATION_KEY)
        self.lines = {}
        config = f'[gateway]\ninstance = "{instance}"\n[broker.home]\n{broker}\n'
        if "url =" not in broker:
            config += f'url = "{self.broker.url}"\n'
        for family in families:
            directory = self.directory / family
            directory.mkdir()
            self.lines[family] = Pty(directory)
            self.addCleanup(self.lines[family].unplug)
            config += f'[adapter.{family}]\ndevice = "{self.lines[family].path}"\n'
        self.config.write_text(config + settings)
        self.start_daemon("--io", IO, device="/dev/null", mqtt=False, bus=False)
        for family in families:
            wait_for(f"the port of {family}", lambda path=self.lines[family].path:
                     re.search(rf"{re.escape(str(path))}.* opened", self.log_text()) is not None)

    def send(self, family, *options):
        """One telegram; what it says."""
        octets, values = telegrams(family, 1, *options)
        self.lines[family].send(octets)
        return Simulated(slug(values[0]["meter"]), values[0]["readings"])

    def states(self, subscriber, *families):
        """The state messages that the daemon made of one telegram of each family, by family."""
        said = {family: self.send(family) for family in families}
        return {family: subscriber.state(meter.slug, lambda state, meter=meter: is_of(state, meter))
                for family, meter in said.items()}


def is_of(state, meter):
    """Whether a state has every value that its telegram was made from."""
    return all(state["readings"].get(name) == value for name, value in meter.values.items()
               if not isinstance(value, str))


__all__ = ["House", "LIMIT_S", "Listener", "Mosquitto", "PAGES", "PASSWORD", "Simulated", "block",
           "blocks", "is_of", "json", "net_power", "page", "replaced", "slug", "total", "wait_for"]

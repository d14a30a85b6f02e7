# SPDX-License-Identifier: Apache-2.0
"""Clients of org.smartmeterd1 that share no line of code with it: dbus-next, and busctl."""

import asyncio
import json
import subprocess
import threading
import xml.etree.ElementTree as ElementTree

from dbus_next import Message, MessageType, Variant
from dbus_next.aio import MessageBus

from harness import LIMIT_S, stop, wait_for

SERVICE = "org.smartmeterd1"
ROOT = "/org/smartmeterd1"
PROPERTIES = "org.freedesktop.DBus.Properties"
SERVICE_BUS = "org.freedesktop.DBus"
OBJECTS = "org.freedesktop.DBus.ObjectManager"


def plain(value):
    """A value of dbus-next as busctl's JSON has it: no variants, and null for NaN."""
    if isinstance(value, Variant):
        return {"type": value.signature, "data": plain(value.value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and value != value else value


class Failed(Exception):
    """An error that the service answered with."""

    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name = name.removeprefix("org.smartmeterd1.Error.")
        self.text = text


class Signal:
    """One that was heard: `body` is a list, as `plain` makes it."""

    def __init__(self, path, interface, member, body):
        self.path, self.interface, self.member, self.body = path, interface, member, body

    def __repr__(self):
        return f"{self.path} {self.interface}.{self.member} {self.body}"


class NextClient:
    """dbus-next on a thread of its own; every call waits for its answer."""

    def __init__(self, address):
        self.signals = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.bus = self.run(self._connect(address))
        self.bus.add_message_handler(self._hear)
        self.raw(SERVICE_BUS, "/org/freedesktop/DBus", SERVICE_BUS, "AddMatch", "s",
                 [f"type='signal',path_namespace='{ROOT}'"])

    @staticmethod
    async def _connect(address):
        """It belongs to the loop that it is made in."""
        return await MessageBus(bus_address=address, negotiate_unix_fd=True).connect()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(LIMIT_S * 2)

    def close(self):
        self.loop.call_soon_threadsafe(self.bus.disconnect)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(LIMIT_S)
        self.loop.close()

    def _hear(self, message):
        if message.message_type == MessageType.SIGNAL and message.path.startswith(ROOT):
            self.signals.append(Signal(message.path, message.interface, message.member,
                                       plain(message.body)))

    def begin(self, path, interface, member, signature="", body=(), destination=SERVICE):
        """The answer, once somebody asks for its result()."""
        message = Message(destination=destination, path=path, interface=interface, member=member,
                          signature=signature, body=list(body))
        return asyncio.run_coroutine_threadsafe(self.bus.call(message), self.loop)

    @staticmethod
    def answer(pending):
        reply = pending.result(LIMIT_S * 2)
        if reply.message_type == MessageType.ERROR:
            raise Failed(reply.error_name, reply.body[0] if reply.body else "")
        return reply

    def raw(self, destination, path, interface, member, signature="", body=()):
        return self.answer(self.begin(path, interface, member, signature, body, destination))

    def call(self, path, interface, member, signature="", *body):
        """The content of the answer, as a list; a descriptor is the caller's to close."""
        reply = self.raw(SERVICE, path, interface, member, signature, body)
        if reply.signature == "h":
            return [reply.unix_fds[reply.body[0]]]
        return plain(reply.body)

    def get(self, path, interface, name):
        """{"type": …, "data": …}, as busctl has it."""
        return self.call(path, PROPERTIES, "Get", "ss", interface, name)[0]

    def objects(self):
        return self.call(ROOT, OBJECTS, "GetManagedObjects")[0]

    def introspect(self, path):
        """What its proxies are made of, as dbus-next read it; and the answer itself."""
        self.run(self.bus.introspect(SERVICE, path))
        return self.call(path, "org.freedesktop.DBus.Introspectable", "Introspect")[0]

    def wait_signal(self, what, check, since=0):
        return wait_for(f"{what} by dbus-next; heard {self.signals[since:]}",
                        lambda: next((s for s in self.signals[since:] if check(s)), None))


class Busctl:
    """The command that every machine with systemd has."""

    def __init__(self, address):
        self.command = ["busctl", f"--address={address}", "--json=short",
                        f"--timeout={LIMIT_S * 2}"]

    def run(self, *arguments):
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True,
                              timeout=LIMIT_S * 3, check=False)
        if done.returncode != 0:
            raise Failed("busctl", done.stderr.strip())
        return json.loads(done.stdout) if done.stdout.strip() else None

    def call(self, path, interface, member, signature="", *arguments):
        answer = self.run("call", SERVICE, path, interface, member,
                          *([signature, *arguments] if signature else []))
        return answer["data"] if answer else []

    def get(self, path, interface, name):
        return self.run("get-property", SERVICE, path, interface, name)


class Monitor:
    """busctl monitor: every signal of the service as one line of JSON."""

    def __init__(self, address):
        self.signals = []
        self.process = subprocess.Popen(
            ["busctl", f"--address={address}", "--json=short", "monitor", SERVICE],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            if message["type"] == "signal" and message["path"].startswith(ROOT):
                self.signals.append(Signal(message["path"], message["interface"],
                                           message["member"], message["payload"]["data"]))

    def wait_started(self):
        """It has said so, and from then on hears everything."""
        self.process.stderr.readline()

    def wait_signal(self, what, check):
        return wait_for(f"{what} by busctl; heard {self.signals}",
                        lambda: next((s for s in list(self.signals) if check(s)), None))

    def stop(self):
        stop(self.process)
        self.thread.join(5)
        self.process.stdout.close()
        self.process.stderr.close()


def interfaces_of(text):
    """Interface -> what it has, each member as canonical XML; comments count for nothing."""
    return {interface.get("name"): sorted(
        ElementTree.canonicalize(ElementTree.tostring(member, encoding="unicode"),
                                 strip_text=True) for member in interface)
        for interface in ElementTree.fromstring(text).iter("interface")
        if interface.get("name").startswith(SERVICE)}

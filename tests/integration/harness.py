# SPDX-License-Identifier: Apache-2.0
"""The real thing around the daemon: a private bus, a broker on loopback, a meter on a pty.

Every wait has a limit far above what it takes, and none is a measurement.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tty
import unittest

SMARTMETERD = os.environ["SMARTMETERD"]
SMARTMETERCTL = os.environ["SMARTMETERCTL"]
METERSIM = os.environ["METERSIM"]
CORPUS = pathlib.Path(os.environ.get("SMARTMETER_CORPUS", ""))
LIMIT_S = 30

TEST_KEY = "000102030405060708090A0B0C0D0E0F"
TEST_AUTHENTICATION_KEY = "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
OTHER_KEY = "FFEEDDCCBBAA99887766554433221100"
NO_BUS = "unix:path=/nix/bus"

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_type="signal"/><allow receive_type="signal"/><allow send_type="method_return"/>
<allow send_type="error"/><allow eavesdrop="false"/></policy></busconfig>
"""


def wait_for(what, check, limit=LIMIT_S):
    """Polls until check() is neither None nor False; its value."""
    deadline = time.monotonic() + limit
    while True:
        value = check()
        if value is not None and value is not False:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit} s for {what}")
        time.sleep(0.02)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stop(process, how=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Bus:
    """A private dbus-daemon of type system."""

    def __init__(self, directory):
        self.path = directory / "bus"
        self.address = f"unix:path={self.path}"
        self.config = directory / "bus.conf"
        self.config.write_text(BUS_CONFIG.format(path=self.path))
        self.process = None

    def start(self):
        self.path.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self.config}", "--nofork"],
            stderr=subprocess.DEVNULL)
        wait_for("the bus", self.is_listening)

    def is_listening(self):
        """The socket is there before it is listened on."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.path)) == 0

    def stop(self):
        if self.process:
            stop(self.process, signal.SIGKILL)

    def busctl(self, *arguments):
        """busctl's JSON answer, or None when it failed."""
        done = subprocess.run(
            ["busctl", f"--address={self.address}", "--json=short", *arguments],
            capture_output=True, text=True, timeout=LIMIT_S, check=False)
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout else None

    def property(self, path, interface, name):
        answer = self.busctl("get-property", "org.smartmeterd1", path,
                             f"org.smartmeterd1.{interface}", name)
        return answer["data"] if answer else None

    def objects(self):
        answer = self.busctl("call", "org.smartmeterd1", "/org/smartmeterd1",
                             "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        return answer["data"][0] if answer else {}

    def meters(self):
        """Meter id -> object path."""
        return {interfaces["org.smartmeterd1.Meter"]["Id"]["data"]: path
                for path, interfaces in self.objects().items()
                if "org.smartmeterd1.Meter" in interfaces}

    def adapter(self):
        """The properties of the only adapter; None while there is none on the bus."""
        for interfaces in self.objects().values():
            if "org.smartmeterd1.Adapter" in interfaces:
                return {name: value["data"] for name, value in
                        interfaces["org.smartmeterd1.Adapter"].items()}
        return None

    def open_capture(self):
        """The stream of Adapter.OpenCapture of the only adapter: busctl cannot hand one on."""
        path = next(path for path, interfaces in self.objects().items()
                    if "org.smartmeterd1.Adapter" in interfaces)
        systemd = ctypes.CDLL("libsystemd.so.0")
        bus, reply, fd = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int(-1)

        def call(function, *arguments):
            result = getattr(systemd, function)(*arguments)
            if result < 0:
                raise OSError(-result, f"{function}: {os.strerror(-result)}")
        call("sd_bus_new", ctypes.byref(bus))
        try:
            call("sd_bus_set_address", bus, self.address.encode())
            call("sd_bus_set_bus_client", bus, 1)
            call("sd_bus_start", bus)
            call("sd_bus_call_method", bus, b"org.smartmeterd1", path.encode(),
                 b"org.smartmeterd1.Adapter", b"OpenCapture", None, ctypes.byref(reply), b"a{sv}",
                 ctypes.c_uint(0))
            call("sd_bus_message_read", reply, b"h", ctypes.byref(fd))
            return os.dup(fd.value)
        finally:
            systemd.sd_bus_message_unref(reply)
            systemd.sd_bus_flush_close_unref(bus)

    def adapter_property(self, name):
        adapter = self.adapter()
        return adapter[name] if adapter else None


class Broker:
    """A mosquitto on loopback."""

    def __init__(self, directory):
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.config = directory / "mosquitto.conf"
        self.config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
                               "persistence false\n")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(["mosquitto", "-c", str(self.config)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def listens():
            with contextlib.suppress(OSError), \
                    socket.create_connection(("127.0.0.1", self.port), 1):
                return True
            return False
        wait_for("the broker", listens)

    def stop(self, how=signal.SIGTERM):
        if self.process:
            stop(self.process, how)


class Subscriber:
    """Everything that a fresh subscriber is told, retained messages first."""

    def __init__(self, broker, topic="#", login=None):
        """`login`: mosquitto_sub's options that reach the broker, where its port is not enough."""
        self.messages = queue.Queue()
        self.latest = {}
        self.heard = {}
        self.process = subprocess.Popen(
            ["mosquitto_sub", *(login or ["-h", "127.0.0.1", "-p", str(broker.port)]),
             "-t", topic, "-F", "%r %t %p"], stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            retained, topic, _, payload = (*line.rstrip("\n").split(" ", 1)[0:1],
                                           *line.rstrip("\n").split(" ", 1)[1].partition(" "))
            self.latest[topic] = payload
            self.heard.setdefault(topic, []).append(payload)
            self.messages.put((retained == "1", topic, payload))

    def wait(self, topic, check=lambda payload: True):
        """The payload of `topic` once it satisfies the check."""
        def found():
            payload = self.latest.get(topic)
            return payload if payload is not None and check(payload) else None
        return wait_for(f"{topic}; there is {sorted(self.latest)}", found)

    def wait_in_turn(self, topic, *payloads):
        """Until the topic has said these in this order; also what lasted but a moment counts."""
        def found():
            said = iter(tuple(self.heard.get(topic, ())))
            return all(payload in said for payload in payloads)
        wait_for(f"{payloads} on {topic}; there was {self.heard.get(topic)}", found)

    def state(self, meter, check=lambda state: True):
        return json.loads(self.wait(f"smartmeter/{meter}/state",
                                    lambda payload: payload and check(json.loads(payload))))

    def stop(self):
        stop(self.process)
        self.thread.join(5)
        self.process.stdout.close()


class Pty:
    """The meter's end of a serial line; `path` is a link that survives a new pty."""

    def __init__(self, directory):
        self.path = directory / "tty"
        self.master = self.slave = None
        self.plug()

    def plug(self):
        self.master, self.slave = os.openpty()
        tty.setraw(self.master)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(self.slave))

    def unplug(self):
        """The line hangs up: what a reader sees of a pulled adapter."""
        if self.master is None:
            return
        self.path.unlink(missing_ok=True)
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = None

    def send(self, octets):
        while octets:
            octets = octets[os.write(self.master, octets):]


def telegrams(family, count=1, *options):
    """Telegrams made by metersim, and what they say: (octets, [values])."""
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "telegrams"
        done = subprocess.run(
            [METERSIM, "run", family, "--fast", "--count", str(count), "--out", str(out),
             "--print-values", *options], capture_output=True, text=True, check=True,
            timeout=LIMIT_S)
        return out.read_bytes(), [json.loads(line) for line in done.stdout.splitlines()]


def with_password_file(text, directory):
    """A configuration whose passwords are in a file that is there: --check looks for it."""
    password = directory / "password"
    password.write_text("secret\n", encoding="utf-8")
    password.chmod(0o600)
    return re.sub(r'(?m)^password_file = ".*"', f'password_file = "{password}"', text)


class World(unittest.TestCase):
    """A directory with bus, broker and pty; the test starts what it wants."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="smartmeterd-test-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        (self.directory / "state").mkdir()
        (self.directory / "keys.d").mkdir(mode=0o750)
        self.config = self.directory / "smartmeterd.toml"
        self.config.write_text('[gateway]\ninstance = "test"\n')
        self.bus = Bus(self.directory)
        self.addCleanup(self.bus.stop)
        self.broker = Broker(self.directory)
        self.addCleanup(self.broker.stop)
        self.pty = Pty(self.directory)
        self.addCleanup(self.pty.unplug)
        self.daemon = None

    def write_key(self, encryption=TEST_KEY, authentication=None, name="test.toml"):
        """A key file as an administrator would write it."""
        path = self.directory / "keys.d" / name
        text = f'[[key]]\nmeter = "*"\nencryption = "{encryption}"\n'
        if authentication:
            text += f'authentication = "{authentication}"\n'
        path.write_text(text)
        path.chmod(0o640)

    def start_daemon(self, *options, device=None, mqtt=True, bus=True, wrap=()):
        """`wrap`: a command that runs another one."""
        device = device or f"{self.pty.path},link=auto"
        command = [*wrap, SMARTMETERD, "--config", str(self.config),
                   "--bus", self.bus.address if bus else "none",
                   "--state", str(self.directory / "state"), "--device", device,
                   "--log-level", "debug", *options]
        if mqtt:
            command += ["--mqtt", self.broker.url]
        self.log = open(self.directory / "log", "ab")
        self.addCleanup(self.log.close)
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("JOURNAL_STREAM", "NOTIFY_SOCKET")}
        self.opened_before = self.log_text().count(" opened")
        self.daemon = subprocess.Popen(command, stderr=self.log, stdout=self.log, env=environment)
        self.addCleanup(stop, self.daemon)

    def wait_opened(self):
        """This daemon has opened the pty: bytes sent from now on are read."""
        def opened():
            if self.daemon.poll() is not None:
                raise AssertionError(f"smartmeterd ended with {self.daemon.returncode}")
            return self.log_text().count(" opened") > self.opened_before
        wait_for("the port to be opened", opened)

    def log_text(self):
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def subscriber(self):
        subscriber = Subscriber(self.broker)
        self.addCleanup(subscriber.stop)
        return subscriber

    def run(self, result=None):
        self.result = result
        return super().run(result)

    def has_failed(self):
        return self.result is not None and any(
            test is self for test, _ in self.result.failures + self.result.errors)

    def tearDown(self):
        """The log of a failed test, while its directory is there."""
        if self.has_failed():
            print(f"--- log of {self.id()}\n{self.log_text()}---", file=sys.stderr)

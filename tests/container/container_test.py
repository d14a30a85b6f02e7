# SPDX-License-Identifier: Apache-2.0
"""The image, made by the Containerfile's own steps in a clean Debian, and what it does in each of
the three set-ups, confined as their compose files say.

There is no engine here: containerfile.py takes the steps, engine.py is the container. eclipse's
mosquitto cannot be had either, Debian's takes its place. The packages are those of
tests/packages/built.py, with SMARTMETER_CONTAINER_BUILD=1 (tools/test --long) those that the
Containerfile's own build stage makes.
"""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import tomllib
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "consumers"), str(TESTS / "packages")]
import containerfile  # noqa: E402
import debian_root  # noqa: E402
import engine  # noqa: E402
import tap  # noqa: E402
from consumer import Listener, block, blocks, replaced, slug  # noqa: E402
from harness import (OTHER_KEY, TEST_AUTHENTICATION_KEY, TEST_KEY, Pty, telegrams,  # noqa: E402
                     wait_for)

ROOT = TESTS.parent
FOLDER = ROOT / "tools" / "container"
SETUPS = ("reader", "mosquitto", "influxdb")
FAMILY = "kaifa-noe"
ADAPTER = "usb-ADAPTER"
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
# The group of the adapter's node in the compose files.
DIALOUT = 20
MOSQUITTO_PASSWD = ("""docker run --rm -v "$PWD/secrets:/secrets" eclipse-mosquitto:2.0 \\
  mosquitto_passwd -U /secrets/""", "mosquitto_passwd -U secrets/")


def own_network():
    """A network of this test's alone, with nothing but a loopback: every port is free."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket() as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags, = struct.unpack_from("H", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def packages():
    """The stage that is left out, and the directory that stands for what it makes."""
    if os.environ.get("SMARTMETER_CONTAINER_BUILD") == "1":
        return {}
    import built
    return {"build": built.debs()}


def setUpModule():
    """Both images, while there is a network; then none."""
    if os.geteuid() != 0:
        raise debian_root.unavailable("only root makes containers")
    if not shutil.which("docker-compose"):
        raise debian_root.unavailable("no docker-compose: tools/install-packages packaging")
    stack = contextlib.ExitStack()
    unittest.addModuleCleanup(stack.close)
    build = containerfile.Build((FOLDER / "Containerfile").read_text(), ROOT,
                                stack.enter_context, packages())
    global IMAGE, MOSQUITTO
    IMAGE = build.image()
    MOSQUITTO = mosquitto(stack.enter_context(debian_root.unpacked(
        debian_root.root(["mosquitto"]))))
    own_network()


def mosquitto(chroot):
    """Debian's mosquitto where eclipse's image has it, under the number that is its user there."""
    chroot.shell("mkdir -p /mosquitto/config /mosquitto/data && chown -R 1883:1883 /mosquitto")
    image = containerfile.Image(chroot)
    image.entrypoint = ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
    return image


def shown(script, line, directory):
    """What a terminal shows of a script at whose prompt a line is typed."""
    master, slave = os.openpty()
    text = ""
    with subprocess.Popen(["sh", "-euc", script], cwd=directory, stdin=slave, stdout=slave,
                          stderr=slave):
        os.close(slave)
        with contextlib.suppress(OSError):  # the end: nobody has it open any more
            while True:
                text += os.read(master, 4096).decode()
                if text.endswith(": "):
                    os.write(master, f"{line}\n".encode())
    os.close(master)
    return text


def meter_path(directory, number):
    """What the host has for an adapter: the node, and a name that stays."""
    node = directory / f"ttyUSB{number}"
    link = directory / "serial" / "by-id" / ADAPTER
    link.parent.mkdir(parents=True, exist_ok=True)
    return node, link


class Adapter:
    """A serial adapter: a pty that is reached from a stand-in for the host's /dev."""

    def __init__(self, directory):
        self.devices = directory / "dev"
        (self.devices / "pts").mkdir(parents=True)
        self.pty = None

    def plug(self, number):
        directory = self.devices.parent / f"pty{number}"
        directory.mkdir(exist_ok=True)
        self.pty = Pty(directory)
        path = os.ttyname(self.pty.slave)
        os.chown(path, 0, DIALOUT)
        os.chmod(path, 0o660)
        node, link = meter_path(self.devices, number)
        node.symlink_to(path.removeprefix("/dev/"))
        link.symlink_to(f"../../{node.name}")
        self.links = (node, link)

    def unplug(self):
        if self.pty and self.pty.master is not None:
            for link in self.links:
                link.unlink()
            self.pty.unplug()


class Setup(unittest.TestCase):
    """A person's folder with one set-up, filled in as README.md says."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="smartmeterd-setup-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.folder = self.directory / "container"
        shutil.copytree(FOLDER, self.folder, ignore=shutil.ignore_patterns("secrets"))
        self.secrets = self.folder / "secrets"
        self.adapter = Adapter(self.directory)
        self.addCleanup(self.adapter.unplug)
        self.containers = []
        self.edit("broker.toml", "192.168.1.10", "mosquitto")
        self.fill_in()

    def fill_in(self):
        """All commands of the page, by root who needs no sudo."""
        key, passwords, owners = (text.replace("sudo ", "")
                                  for text in blocks(FOLDER / "README.md", "sh"))
        self.assertEqual(shown(key, TEST_KEY, self.folder), "Key: \r\n")
        with open(self.secrets / "meter_key", "a", encoding="utf-8") as file:
            file.write(f'authentication = "{TEST_AUTHENTICATION_KEY}"\n')
        subprocess.run(["sh", "-euc", replaced(passwords, MOSQUITTO_PASSWD) + owners],
                       cwd=self.folder, check=True)

    def edit(self, name, old, new):
        path = self.folder / name
        self.assertIn(old, path.read_text())
        path.write_text(path.read_text().replace(old, new))

    def secret(self, name):
        return (self.secrets / name).read_text()

    def compose(self, name):
        return engine.resolved(self.folder / f"compose-{name}.yaml")

    def container(self, image, compose, name, **options):
        container = engine.Container(image, compose, name, hosts=("mosquitto",), **options)
        self.addCleanup(container.stop)
        self.containers.append(container)
        return container

    def start_broker(self):
        """The mosquitto of the set-up, with the files that the set-up gives it."""
        broker = self.container(MOSQUITTO, self.compose("mosquitto"), "mosquitto")
        broker.start()

        def listens():
            self.assertIsNone(broker.process.poll(), broker.text())
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 1883), 1):
                return True
            return False
        wait_for("the broker", listens)
        return broker

    def reader(self, name="mosquitto", **options):
        reader = self.container(IMAGE, self.compose(name), "smartmeterd",
                                devices=self.adapter.devices, **options)
        reader.start()
        return reader

    def listen(self, user):
        listener = Listener(1883, user, password=self.secret(f"{user}_password"))
        self.addCleanup(listener.stop)
        return listener

    def wait_log(self, container, text, count=1):
        def found():
            self.assertIsNone(container.process.poll(), container.text())
            return container.text().count(text) >= count
        wait_for(f"\"{text}\" in {container.log}", found)

    def send(self):
        """One telegram; its meter, and the readings that are in it."""
        octets, values = telegrams(FAMILY)
        self.adapter.pty.send(octets)
        return slug(values[0]["meter"]), values[0]["readings"]

    def assert_read(self, listener, meter, readings):
        state = listener.state(meter, lambda state: state["readings"].get("power_import") ==
                               readings["power_import"])
        self.assertEqual(state["readings"]["energy_import"], readings["energy_import"])

    def run(self, result=None):
        self.wrong = lambda: len(result.failures) + len(result.errors)
        self.wrong_before = self.wrong()
        return super().run(result)

    def tearDown(self):
        if self.wrong() > self.wrong_before:
            for container in self.containers:
                print(f"--- {container.log}\n{container.text()}---", file=sys.stderr)


class Run(Setup):
    def test_each_set_up_reads_a_meter(self):
        self.start_broker()
        for name in SETUPS:
            with self.subTest(name):
                self.adapter.plug(0)
                listener = self.listen("homeassistant")
                reader = self.reader(name)
                self.wait_log(reader, " opened")
                self.assert_read(listener, *self.send())
                listener.wait("smartmeter/gateway/home/status", lambda text: text == "online")
                reader.signal(getattr(signal, IMAGE.stop_signal))
                self.assertEqual(reader.process.wait(20), 0, reader.text())
                listener.wait("smartmeter/gateway/home/status", lambda text: text == "offline")
                self.adapter.unplug()

    def test_who_reads_it(self):
        """The process is the first one, has no privileges, and may write where the state is."""
        self.start_broker()
        self.adapter.plug(0)
        reader = self.reader()
        self.wait_log(reader, " opened")
        status = dict(line.split(":\t", 1) for line in pathlib.Path(
            f"/proc/{reader.first_process()}/status").read_text().splitlines())
        self.assertEqual(status["Name"], "smartmeterd")
        self.assertEqual(status["NSpid"].split()[-1], "1")
        self.assertEqual(status["Uid"].split(), ["6205"] * 4)
        self.assertEqual(status["Groups"].split(), ["20", "6205"])
        for which in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[which], 16), 0, which)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertTrue((reader.volumes["state"] / "state.db").is_file())
        self.assertEqual((reader.volumes["state"]).stat().st_uid, 6205)
        self.assertNotIn("warning", reader.text())
        self.assertNotIn("error", reader.text())

    def test_epoll_where_the_profile_takes_io_uring_away(self):
        """EPERM as Docker says it, ENOSYS as Podman does; both are told, and both read on."""
        self.start_broker()
        self.adapter.plug(0)
        for refusal in ("EPERM", "ENOSYS"):
            with self.subTest(refusal):
                listener = self.listen("homeassistant")
                reader = self.reader(refusal=refusal)
                self.wait_log(reader, " opened")
                self.assertIn("loop runs on epoll", reader.text())
                self.assertRegex(reader.text(), r"notice: .*io_uring.*seccomp filter")
                self.assert_read(listener, *self.send())
                reader.signal(signal.SIGTERM)
                self.assertEqual(reader.process.wait(20), 0)

    def test_pulled_and_plugged_in_again(self):
        """As another number, and without udev: the name in serial/by-id is looked at again."""
        self.start_broker()
        listener = self.listen("homeassistant")
        reader = self.reader()
        self.wait_log(reader, "trying again by itself")
        for number in range(3):
            self.adapter.plug(number)
            self.wait_log(reader, " opened", number + 1)
            self.assert_read(listener, *self.send())
            self.adapter.unplug()
            self.wait_log(reader, "hung up (unplugged?)", number + 1)

    def test_health(self):
        """It is healthy without a meter and a broker, and not when its loop stands still."""
        options, command = IMAGE.health
        self.assertEqual(options, ["--interval=1m", "--timeout=30s"])
        self.assertLess(int(IMAGE.environment["WATCHDOG_USEC"]), 30 * 10**6)
        reader = self.reader()
        self.wait_log(reader, "trying again by itself")
        self.assertEqual(reader.run(*command), (0, ""))
        reader.signal(signal.SIGSTOP)
        self.assertEqual(reader.run(*command),
                         (1, "smartmeterd: error: no sign of life within 20 s\n"))
        reader.signal(signal.SIGCONT)

    def test_an_end_without_broker_and_adapter(self):
        reader = self.reader()
        self.wait_log(reader, "trying again by itself")
        reader.signal(signal.SIGTERM)
        self.assertEqual(reader.process.wait(20), 0)


class Missing(Setup):
    """What a person forgets is said in one line."""

    def setUp(self):
        super().setUp()
        self.start_broker()
        self.adapter.plug(0)

    def said(self, pattern, is_sent=True):
        reader = self.reader()
        self.wait_log(reader, " opened")
        if is_sent:
            self.send()
        wait_for(pattern, lambda: re.search(pattern, reader.text()) is not None)
        self.assertNotIn(TEST_KEY, reader.text())
        self.assertNotIn(self.secret("broker_password"), reader.text())

    def test_a_wrong_key(self):
        self.edit("secrets/meter_key", TEST_KEY, OTHER_KEY)
        self.said("warning: .*no configured key fits this meter")

    def test_no_key(self):
        (self.secrets / "meter_key").write_text("")
        self.said("warning: .*the meter encrypts, and there is no key for it")

    def test_a_key_that_is_not_its_own(self):
        os.chown(self.secrets / "meter_key", 0, 0)
        self.said(r"error: /etc/smartmeterd/keys.d/house.toml: Permission denied")

    def test_a_password_that_is_not_its_own(self):
        os.chown(self.secrets / "broker_password", 0, 0)
        self.said(r"password file /run/secrets/broker_password cannot be read", is_sent=False)

    def test_a_wrong_password(self):
        (self.secrets / "broker_password").write_text("wrong")
        self.said(r"(?i)not authori[sz]ed", is_sent=False)

    def test_no_file_of_a_secret(self):
        (self.secrets / "meter_key").unlink()
        with self.assertRaisesRegex(AssertionError, "secrets/meter_key"):
            self.reader()

    def test_no_group(self):
        os.chown(os.ttyname(self.adapter.pty.slave), 0, 0)
        reader = self.reader()
        self.wait_log(reader, "Permission denied (the device node's group")


class Image(unittest.TestCase):
    def test_what_is_in_it(self):
        listed = IMAGE.chroot.shell("dpkg-query -W -f '${Package} ${Version}\\n'")
        installed = dict(line.split() for line in listed.splitlines())
        version = IMAGE.labels["org.opencontainers.image.version"]
        self.assertEqual((installed["smartmeterd"], installed["smartmeterctl"]), (version,) * 2)
        for heavy in ("systemd", "udev", "dbus", "g++", "python3"):
            self.assertNotIn(heavy, installed)
        self.assertEqual(IMAGE.chroot.shell("/usr/sbin/smartmeterd --version").split()[-1],
                         version)
        self.assertEqual(IMAGE.chroot.shell("ls /packages /var/lib/apt/lists").split(),
                         ["/packages:", "/var/lib/apt/lists:"])

    def test_the_user_is_the_package_s(self):
        self.assertEqual(IMAGE.chroot.shell("id smartmeterd").strip(),
                         "uid=6205(smartmeterd) gid=6205(smartmeterd) groups=6205(smartmeterd)")
        self.assertEqual(IMAGE.chroot.shell(
            "stat -c '%U:%G %a' /var/lib/smartmeterd /etc/smartmeterd/keys.d").splitlines(),
            ["smartmeterd:smartmeterd 750", "root:smartmeterd 750"])
        self.assertEqual(IMAGE.volumes, ["/var/lib/smartmeterd"])


class Files(Setup):
    """The compose files and what they mount. docker-compose holds them against its schema."""

    def test_every_file_and_secret(self):
        for name in SETUPS:
            compose = self.compose(name)
            used = set()
            for service in compose["services"].values():
                for secret in service.get("secrets", ()):
                    used.add(secret["source"])
                    there = (self.secrets / secret["source"]).stat()
                    self.assertEqual((f"{there.st_uid}:{there.st_gid}", there.st_mode & 0o777),
                                     (service.get("user", IMAGE.user), 0o400), secret)
                for volume in service.get("volumes", ()):
                    source = volume.split(":")[0]
                    if source.startswith(str(self.folder)):
                        self.assertTrue(os.path.isfile(source), source)
            self.assertEqual(used, set(compose["secrets"]))
            ignored = (FOLDER / "Containerfile.dockerignore").read_text().splitlines()
            for secret in compose["secrets"].values():
                self.assertEqual(os.path.dirname(secret["file"]), str(self.secrets))
            self.assertIn("tools/container/secrets", ignored)

    def test_every_container_is_confined(self):
        for name in SETUPS:
            for service in self.compose(name)["services"].values():
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertEqual(service["security_opt"], ["no-new-privileges:true"])
                self.assertEqual(service["restart"], "unless-stopped")
                for variable in service.get("environment", {}):
                    self.assertNotRegex(variable, "(?i)(password|token|key)$")

    def test_the_settings_pass_the_check(self):
        for name in SETUPS:
            reader = self.container(IMAGE, self.compose(name), "smartmeterd",
                                    devices=self.adapter.devices)
            status, said = reader.run("/usr/sbin/smartmeterd", "--check")
            self.assertEqual((status, said.strip()), (0, "configuration is fine: 1 adapter, "
                                                         "1 broker, 0 sources, 1 key"))

    def test_the_broker_s_files_are_the_page_s(self):
        for name, title in (("mosquitto.conf", "# /etc/mosquitto/conf.d/smartmeterd.conf"),
                            ("mosquitto.acl", "# /etc/mosquitto/acl")):
            text = (self.folder / name).read_text()
            self.assertTrue(text.endswith("\n\n" + block("mosquitto.md", title)
                                          .partition("\n")[2]), name)

    def test_telegraf_s_settings_are_the_page_s(self):
        """But for the names of the containers and the place of the secrets."""
        text = (self.folder / "telegraf.conf").read_text()
        told = tomllib.loads(text)
        page = {}
        for title in ("smartmeter.conf", "influxdb.conf, InfluxDB 2"):
            found = tomllib.loads(block("influxdb.md", f"# /etc/telegraf/telegraf.d/{title}"))
            page |= found
        (consumer,), (output,) = page["inputs"]["mqtt_consumer"], page["outputs"]["influxdb_v2"]
        consumer |= {"servers": ["tcp://mosquitto:1883"],
                     "password": "@{secrets:telegraf_password}"}
        output |= {"urls": ["http://influxdb:8086"], "token": "@{secrets:influxdb_token}"}
        self.assertEqual(told, page | {"secretstores": {"docker": [{"id": "secrets"}]}})
        services = self.compose("influxdb")["services"]
        self.assertEqual({secret["source"] for secret in services["telegraf"]["secrets"]},
                         set(re.findall(r"@\{secrets:(\w+)\}", text)))
        database = services["influxdb"]["environment"]
        self.assertEqual((database["DOCKER_INFLUXDB_INIT_ORG"],
                          database["DOCKER_INFLUXDB_INIT_BUCKET"]),
                         (output["organization"], output["bucket"]))


if __name__ == "__main__":
    tap.main()

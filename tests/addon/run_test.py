#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Home Assistant add-on: its folder as tools/addon/build makes it, its image made by the
Dockerfile's own steps in a clean Debian, and its start script there, confined as the engine and the
Supervisor confine it.

The Supervisor's API is simulated (supervisor.py). Packages, smartmeterd, curl, jq, the broker and
the line are real; what the meter sends is made by metersim. Without an engine there is no cgroup of
devices, and of the host's /run/udev there is what makes it look alive.
"""

import contextlib
import os
import pathlib
import re
import shlex
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

import yaml

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "container"), str(TESTS / "integration"),
                str(TESTS / "packages")]
import built  # noqa: E402
import containerfile  # noqa: E402
import debian_root  # noqa: E402
import supervisor  # noqa: E402
import tap  # noqa: E402
from harness import (OTHER_KEY, TEST_AUTHENTICATION_KEY, TEST_KEY, Broker, Pty,  # noqa: E402
                     Subscriber, World, free_port, stop, telegrams, wait_for)
from home_assistant import check  # noqa: E402

ROOT = TESTS.parent
CONFIG = yaml.safe_load((ROOT / "tools/addon/config.yaml").read_text())
TOKEN = "0b4ac676c0c94c4f8ab677e1b3cdeb6b~token~"
FAMILY = "kaifa-noe"
METER = "181220000009"
# What Pty calls it, below what the Supervisor shows of the host.
DEVICE = "/dev/serial/by-id/tty"
KEYS = [{"encryption": TEST_KEY, "authentication": TEST_AUTHENTICATION_KEY}]
PASSWORD = "p\"a's\\s #w=ö[rd]€ $HOME"
ARCHITECTURES = {"amd64": "amd64", "arm64": "aarch64"}


class Image(containerfile.Image):
    """With the steps that the add-on's file takes besides the container's."""

    def take_copy(self, rest, _, context):
        *patterns, target = rest.split()
        found = [path.name for pattern in patterns for path in context.glob(pattern)]
        if not found:
            raise ValueError(f"COPY {rest}: no such file")
        sources = shlex.join(f"/context/{name}" for name in found)
        self.chroot.shell(f"mkdir -p {target} && cp -a {sources} {target}",
                          binds={context: "/context"})

    def take_arg(self, rest, *_):
        self.environment.setdefault(rest, {"BUILD_VERSION": CONFIG["version"]}.get(rest, "amd64"))


def taken(folder, chroot):
    """The image of a folder, made in a chroot."""
    stage, = containerfile.parse((folder / "Dockerfile").read_text())
    if stage.base not in containerfile.BASES:
        raise ValueError(stage.base)
    image = Image(chroot)
    for instruction, rest in stage.steps:
        image.take(instruction, rest, {}, folder)
    return image


def built_folder(directory, *options):
    """The folder that is copied to Home Assistant."""
    architecture = debian_root.run("dpkg", "--print-architecture").strip()
    if architecture not in ARCHITECTURES:
        raise debian_root.unavailable(f"Home Assistant does not run on {architecture}")
    done = subprocess.run([ROOT / "tools/addon/build", ARCHITECTURES[architecture], "--output",
                           directory, *options], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return pathlib.Path(done.stdout.strip())


def setUpModule():
    if os.geteuid() != 0:
        raise debian_root.unavailable("only root makes containers")
    stack = contextlib.ExitStack()
    unittest.addModuleCleanup(stack.close)
    directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    global FOLDER, IMAGE
    FOLDER = built_folder(directory, "--packages", built.debs())
    chroot = stack.enter_context(debian_root.unpacked(debian_root.root()))
    IMAGE = taken(FOLDER, chroot)


class Folder(unittest.TestCase):
    """What tools/addon/build makes."""

    def test_config(self):
        config = yaml.safe_load((FOLDER / "config.yaml").read_text())
        self.assertEqual(supervisor.check_config(config), [])
        architecture = debian_root.run("dpkg", "--print-architecture").strip()
        self.assertEqual(config, CONFIG | {"arch": [ARCHITECTURES[architecture]]})

    def test_files(self):
        names = {path.name for path in FOLDER.iterdir() if path.suffix != ".deb"}
        self.assertEqual(names, {"CHANGELOG.md", "DOCS.md", "Dockerfile", "README.md",
                                 "config.yaml", "options.jq", "run", "translations"})
        self.assertEqual([path for path in FOLDER.rglob("*") if path.is_symlink()], [])
        self.assertEqual((FOLDER / "CHANGELOG.md").read_text(),
                         (ROOT / "CHANGELOG.md").read_text())

    def test_several_architectures(self):
        with tempfile.TemporaryDirectory() as directory:
            directory = pathlib.Path(directory)
            for name in ("amd64", "arm64"):
                (directory / f"smartmeterd_{CONFIG['version']}_{name}.deb").touch()
            folder = built_folder(directory / "out", "amd64", "aarch64", "--packages", directory)
            config = yaml.safe_load((folder / "config.yaml").read_text())
            self.assertEqual(set(config["arch"]), {"amd64", "aarch64"})
            self.assertEqual({path.name for path in folder.glob("*.deb")},
                             {"smartmeterd_amd64.deb", "smartmeterd_arm64.deb"})

    def test_no_package(self):
        with tempfile.TemporaryDirectory() as directory:
            with self.assertRaisesRegex(AssertionError, r"tools/addon/build: there is no .*\.deb"):
                built_folder(directory, "--packages", directory)

    def test_source_is_no_folder(self):
        """The Supervisor finds tools/addon itself where somebody adds the source as a repository:
        what its build says then.
        """
        with debian_root.unpacked(debian_root.root()) as chroot:
            with self.assertRaisesRegex(
                    debian_root.Failed, r"no smartmeterd_\S+\.deb here: tools/addon/build"):
                taken(ROOT / "tools/addon", chroot)

    def test_image(self):
        self.assertEqual(IMAGE.labels["io.hass.type"], "addon")
        self.assertEqual(IMAGE.labels["io.hass.version"].strip('"'), "$BUILD_VERSION")
        self.assertEqual(IMAGE.chroot.shell("smartmeterd --version"),
                         f"smartmeterd {CONFIG['version']}\n")
        installed = IMAGE.chroot.shell("dpkg-query -W -f '${Package}\\n'").split()
        for heavy in ("systemd", "udev", "dbus", "python3"):
            self.assertNotIn(heavy, installed)
        left = IMAGE.chroot.shell("ls /tmp /var/lib/apt/lists")
        self.assertNotIn("packages", left)


class SecureBroker(Broker):
    """With a login, and TLS where it has a certificate."""

    def __init__(self, directory, password, tls=False):
        super().__init__(directory)
        self.password = password
        passwords = directory / "passwords"
        passwords.touch()
        subprocess.run(["mosquitto_passwd", "-b", passwords, "addons", password], check=True,
                       stderr=subprocess.DEVNULL)
        self.login = ["-h", "127.0.0.1", "-p", str(self.port), "-u", "addons", "-P", password]
        text = (f"listener {self.port} 127.0.0.1\nallow_anonymous false\nuser root\n"
                f"password_file {passwords}\npersistence false\n")
        if tls:
            self.ca = directory / "ca.pem"
            self._certify(directory)
            self.login += ["--cafile", str(self.ca)]
            text += f"certfile {directory}/broker.pem\nkeyfile {directory}/broker.key\n"
        self.config.write_text(text)

    def _certify(self, directory):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=broker",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", directory / "broker.key",
             "-out", directory / "broker.pem"], check=True, stderr=subprocess.DEVNULL)
        self.ca.write_bytes((directory / "broker.pem").read_bytes())


class AddOn(World):
    """A container of the add-on."""

    def setUp(self):
        super().setUp()
        for name in ("data", "config", "tmp", "by-id", "udev"):
            (self.directory / name).mkdir()
        (self.directory / "udev/control").touch()
        self.pty.unplug()
        self.pty = Pty(self.directory / "by-id")
        self.addCleanup(self.pty.unplug)
        self.process = None
        self.api = None

    def serve(self, *answers, **more):
        """The Supervisor."""
        self.api = supervisor.Api(TOKEN, *answers, **more)
        self.addCleanup(self.api.stop)

    def service(self, **more):
        return supervisor.service(self.broker.port, **more)

    def start(self, url=None, token=TOKEN, written=lambda: None, **options):
        """Starts it with these options, as the Supervisor does; after `written`, which writes over
        them.
        """
        options = {"adapters": [{"device": DEVICE}], "keys": KEYS} | options
        options = supervisor.validated(CONFIG["schema"], CONFIG["options"] | options, {DEVICE})
        file = self.directory / "data/options.json"
        file.write_text(supervisor.json.dumps(options))
        file.chmod(0o600)
        written()
        capabilities = ",".join(["-all", *(f"+{name}" for name in containerfile.CAPABILITIES)])
        command = IMAGE.chroot.command(
            "setpriv", "--bounding-set", capabilities, "--inh-caps", "-all", *IMAGE.command,
            environment={"SUPERVISOR_TOKEN": token, "HASSIO_TOKEN": token, "TZ": "Europe/Vienna",
                         "SUPERVISOR_API": url or self.api.url, "SUPERVISOR_RETRY_S": "1"},
            binds={self.directory / "data": "/data", self.directory / "config": "/config",
                   self.directory / "tmp": "/tmp", self.directory / "by-id": "/dev/serial/by-id",
                   self.directory / "udev": "/run/udev", "/dev/pts": "/dev/pts"})
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        self.addCleanup(stop, self.process, signal.SIGKILL)

    def first_process(self):
        """The number, on this machine, of the container's number 1."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else None

    def daemon_process(self):
        """What the first process shows of itself once it is smartmeterd."""
        def found():
            self.assertIsNone(self.process.poll(), self.log_text())
            pid = self.first_process()
            name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip() if pid else ""
            return pathlib.Path(f"/proc/{pid}") if name == "smartmeterd" else None
        return wait_for("smartmeterd", found)

    def wait_log(self, pattern):
        def found():
            text = self.log_text()
            if not re.search(pattern, text) and self.process.poll() is not None:
                raise AssertionError(f"the add-on ended without {pattern}:\n{text}")
            return re.search(pattern, text)
        return wait_for(f"{pattern} in the log", found)

    def wait_end(self):
        """Exit status and log of an add-on that gives up."""
        wait_for("the add-on's end", lambda: self.process.poll() is not None)
        return self.process.returncode, self.log_text()

    def subscriber(self, login=None):
        subscriber = Subscriber(self.broker, login=login)
        self.addCleanup(subscriber.stop)
        return subscriber

    def send(self, times=1):
        """Sends telegrams once the port is opened."""
        wait_for("the port to be opened", lambda: self.log_text().count(" opened") >= times)
        octets, _ = telegrams(FAMILY, 3)
        self.pty.send(octets)
        return octets

    def assert_reads(self, subscriber, times=1):
        """A telegram comes out at the broker, and so does what Home Assistant finds it by."""
        octets = self.send(times)
        state = subscriber.state(METER)
        self.assertGreater(state["readings"]["energy_import"], 0)
        payload = subscriber.wait(f"homeassistant/device/smartmeterd_{METER}/config", bool)
        check(f"homeassistant/device/smartmeterd_{METER}/config", payload)
        return octets

    def assert_silent_about(self, *secrets):
        """Neither in the log nor on disk, but where the Supervisor put them."""
        for secret in secrets:
            self.assertNotIn(secret, self.log_text())
            where = subprocess.run(["grep", "-rlF", "--", secret, self.directory / "data",
                                    *(IMAGE.chroot.path / name for name in ("etc", "run", "var"))],
                                   capture_output=True, text=True, check=False).stdout.split()
            expected = [str(self.directory / "data/options.json")]
            self.assertLessEqual(set(where), set(expected))


class Brokers(AddOn):
    """From the meter to the broker."""

    def test_broker_without_login(self):
        self.broker.start()
        self.serve(self.service())
        subscriber = self.subscriber()
        self.start()
        self.assert_reads(subscriber)
        self.wait_log(rf"add-on: configuration is fine: 1 adapter, 1 broker, 0 sources, 1 key; "
                      rf"readings go to mqtt://127\.0\.0\.1:{self.broker.port}\n")
        self.assert_silent_about(TEST_KEY, TEST_AUTHENTICATION_KEY, TOKEN)

    def test_broker_with_login(self):
        self.broker = SecureBroker(self.directory, PASSWORD)
        self.addCleanup(self.broker.stop)
        self.broker.start()
        self.serve(self.service(username="addons", password=PASSWORD))
        subscriber = self.subscriber(self.broker.login)
        self.start()
        self.assert_reads(subscriber)
        self.assert_silent_about(PASSWORD)

    def test_broker_with_tls(self):
        """Its authority is a file in the add-on's folder."""
        self.broker = SecureBroker(self.directory, PASSWORD, tls=True)
        self.addCleanup(self.broker.stop)
        self.broker.start()
        self.serve(self.service(username="addons", password=PASSWORD, ssl=True))
        (self.directory / "config/ca.pem").write_bytes(self.broker.ca.read_bytes())
        (self.directory / "config/more.toml").write_text(
            '[broker.addon]\ntls.ca = "/config/ca.pem"\n')
        subscriber = self.subscriber(self.broker.login)
        self.start()
        self.wait_log(r"readings go to mqtts://127\.0\.0\.1:")
        self.assert_reads(subscriber)

    def test_own_broker(self):
        """The Supervisor is not asked, and all that the options say of it is true."""
        self.broker = SecureBroker(self.directory, PASSWORD)
        self.addCleanup(self.broker.stop)
        self.broker.start()
        self.serve(supervisor.FORBIDDEN)
        subscriber = self.subscriber(self.broker.login)
        self.start(mqtt={"host": "127.0.0.1", "port": self.broker.port, "user": "addons",
                         "password": PASSWORD, "prefix": "house/meters", "seed": True})
        self.send()
        subscriber.wait(f"house/meters/{METER}/state", bool)
        subscriber.wait("home/smart_meter/energy_in", bool)
        self.assertEqual(self.api.requests, [])
        self.assert_silent_about(PASSWORD)

    def test_broker_in_a_file(self):
        """Then the Supervisor is not asked, and no login of its is handed to another host."""
        self.broker = SecureBroker(self.directory, PASSWORD)
        self.addCleanup(self.broker.stop)
        self.broker.start()
        (self.directory / "config/password").write_text(PASSWORD)
        (self.directory / "config/password").chmod(0o600)
        for name, answer in (("house", supervisor.NOT_ENABLED),
                             ("addon", self.service(username="other", password="~other~"))):
            with self.subTest(name):
                self.serve(answer)
                (self.directory / "config/more.toml").write_text(
                    f'[broker.{name}]\nurl = "mqtt://127.0.0.1:{self.broker.port}"\n'
                    'user = "addons"\npassword_file = "/config/password"\n')
                subscriber = self.subscriber(self.broker.login)
                self.start()
                self.wait_log("readings go to the brokers of the add-on configuration folder: the "
                              "Supervisor is not asked for its own")
                self.assert_reads(subscriber)
                self.assertEqual(self.api.requests, [])
                self.assert_silent_about(PASSWORD)
                stop(self.process, signal.SIGKILL)
                (self.directory / "log").unlink()

    def test_wrong_password(self):
        self.broker = SecureBroker(self.directory, PASSWORD)
        self.addCleanup(self.broker.stop)
        self.broker.start()
        self.serve(self.service(username="addons", password="~wrong~"))
        self.start()
        self.wait_log(r"smartmeterd: warning: mqtt addon: .*; trying again")
        self.assert_silent_about("~wrong~")


class Waiting(AddOn):
    """A Supervisor that does not tell a broker at once."""

    def test_broker_is_installed_later(self):
        self.broker.start()
        self.serve(supervisor.NOT_READY, supervisor.NOT_ENABLED, supervisor.NOT_ENABLED,
                   self.service())
        subscriber = self.subscriber()
        self.start()
        self.assert_reads(subscriber)
        said = re.findall(r"add-on: (.*): waiting for one", self.log_text())
        self.assertEqual(said, [
            "the Supervisor has no MQTT broker (HTTP 400: System is not ready with state: setup)",
            "the Supervisor has no MQTT broker (HTTP 400: Service not enabled)"])

    def test_supervisor_comes_later(self):
        port = free_port()
        self.broker.start()
        subscriber = self.subscriber()
        self.start(url=f"http://127.0.0.1:{port}")
        self.wait_log(r"add-on: the Supervisor does not answer: waiting for one")
        self.serve(self.service(), port=port)
        self.assert_reads(subscriber)

    def test_slow_supervisor(self):
        self.broker.start()
        subscriber = self.subscriber()
        self.serve(self.service(), delay_s=3)
        self.start()
        self.assert_reads(subscriber)
        self.assertNotIn("waiting", self.log_text())

    def test_garbage(self):
        """Nothing of it is taken for a broker."""
        self.broker.start()
        subscriber = self.subscriber()
        whole = self.service()
        self.serve((200, "<html>\n</html>"), (200, ""), (200, " \n"),
                   (200, {"result": "ok", "data": {}}), (200, {"result": "ok", "data": [1]}),
                   (200, {"result": "ok", "data": {"host": 7, "port": 1}}),
                   self.service(password=["~secret~"]), (500, "\x1b[31m"),
                   (500, {"message": "\x1b[31m\u009b" + "x" * 1000}),
                   (*whole, 0), (*whole, 20), (*whole, -1), self.service(more="x" * 100_000), whole)
        self.start()
        self.wait_log("the Supervisor does not answer")
        self.assert_reads(subscriber)
        said = re.findall(r"add-on: (.*): waiting for one", self.log_text())
        self.assertEqual(said, ["the answer of the Supervisor names no broker",
                                "the Supervisor has no MQTT broker (HTTP 500: without a reason)",
                                f"the Supervisor has no MQTT broker (HTTP 500: [31m{'x' * 194})",
                                "the Supervisor does not answer"])
        self.assert_silent_about("~secret~")


class Refusals(AddOn):
    """What does not heal by waiting ends it, and the log says what to do."""

    def refused(self, pattern, *secrets, **options):
        if self.api is None:
            self.serve(self.service())
        self.start(**options)
        status, log = self.wait_end()
        self.assertEqual(status, 1, log)
        self.assertRegex(log, pattern)
        self.assert_silent_about(TOKEN, *secrets)

    def test_token_is_refused(self):
        self.refused(r"add-on: error: the Supervisor does not let this add-on ask for its broker "
                     r"\(HTTP 401\): restart the add-on", "~other~", token="~other~")

    def test_service_is_refused(self):
        self.serve(supervisor.FORBIDDEN)
        self.refused(r"\(HTTP 403\)")

    def refused_at_once(self, pattern, *secrets, **options):
        """Before anything is waited for."""
        self.serve(supervisor.NOT_ENABLED)
        self.refused(pattern, *secrets, **options)
        self.assertEqual(self.api.requests, [])

    def test_no_adapter(self):
        self.refused_at_once(
            r"add-on: error: no adapter is chosen: Configuration, adapters, device", adapters=[])

    def test_adapter_without_device(self):
        self.refused_at_once(r"adapter.a\]: expected either device or tcp",
                             adapters=[{"name": "a"}])

    def test_option_of_a_broker_without_host(self):
        self.refused_at_once("add-on: error: the option mqtt: port, tls, user and password",
                             "~secret~", mqtt={"password": "~secret~"})

    def test_brokers_in_option_and_file(self):
        (self.directory / "config/more.toml").write_text('[broker.house]\nurl = "mqtt://house"\n')
        self.refused_at_once("one broker is named in the option mqtt.host, and another in a file",
                             "~secret~", mqtt={"host": "h", "user": "u", "password": "~secret~"})

    def test_options_by_hand(self):
        """One sentence, which repeats nothing of them."""
        file = self.directory / "data/options.json"
        for text in ("", '{"~secret~"', '["~secret~"]', "{}{}"):
            with self.subTest(text):
                (self.directory / "log").unlink(missing_ok=True)
                self.serve(supervisor.NOT_ENABLED)
                self.start(written=lambda text=text: file.write_text(text))
                self.assertEqual(self.wait_end(), (
                    1, "add-on: error: the add-on's options, /data/options.json, are not as the "
                       "Supervisor writes them: save them again under Configuration\n"))
        (self.directory / "log").unlink()
        self.start(written=lambda: (file.unlink(), file.mkdir()))
        status, log = self.wait_end()
        self.assertEqual(status, 1, log)
        self.assertRegex(log, r"\Aadd-on: error: the add-on's options, .* cannot be read: .*\n\Z")

    def test_role_without_link(self):
        self.refused(r"smartmeterd: error: \S+: adapter.adapter-1.role: the role \"master\" needs",
                     adapters=[{"device": DEVICE, "role": "master"}])

    def test_wrong_key(self):
        self.refused_at_once(
            r"smartmeterd: error: /tmp/smartmeterd/keys.d/options.toml:2:14: encryption:",
            "ABCDEF", keys=[{"encryption": "ABCDEF"}])

    def test_wrong_file(self):
        (self.directory / "config/more.toml").write_text("[broker.addon]\nregister = true\n")
        self.refused(r"conf\.d/more.toml:2:1: unknown key broker.addon.register, expected ")


class Running(AddOn):
    """smartmeterd in the add-on."""

    def setUp(self):
        super().setUp()
        self.broker.start()
        self.messages = self.subscriber()
        self.serve(self.service(username="addons", password=PASSWORD))

    def test_process(self):
        """It knows neither the Supervisor's token nor a secret on its command line, and root's
        privileges are gone.
        """
        self.start()
        process = self.daemon_process()
        environment = (process / "environ").read_text()
        self.assertNotIn(TOKEN, environment)
        self.assertNotIn("TOKEN", environment)
        self.assertIn("TZ=Europe/Vienna", environment)
        arguments = (process / "cmdline").read_text().split("\0")
        self.assertEqual(arguments[1:-1], [
            "--config", "/tmp/smartmeterd/smartmeterd.toml", "--bus", "none", "--state", "/data",
            "--log-level", "info"])
        status = dict(line.split(":\t", 1) for line in
                      (process / "status").read_text().splitlines() if ":\t" in line)
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual(status["NoNewPrivs"], "1")

    def test_files(self):
        """Only root may read what holds secrets; the Supervisor's answer does not stay."""
        self.start()
        self.daemon_process()
        private = self.directory / "tmp/smartmeterd"
        found = {str(path.relative_to(private)): stat.S_IMODE(path.lstat().st_mode)
                 for path in private.rglob("*") if not path.is_symlink()}
        self.assertEqual(found, {"keys.d": 0o700, "keys.d/options.toml": 0o600, "password": 0o600,
                                 "smartmeterd.toml": 0o600})
        self.assertEqual(stat.S_IMODE(private.stat().st_mode), 0o700)
        self.assertEqual((private / "password").read_text(), PASSWORD + "\n")

    def test_restart(self):
        """It tells the broker that it is gone, and remembers a meter's counter: what was sent
        before is known as an old recording, and published no more.
        """
        self.start()
        octets = self.assert_reads(self.messages)
        os.kill(self.first_process(), signal.SIGTERM)
        status, log = self.wait_end()
        self.assertEqual(status, 0, log)
        self.assertIn("smartmeterd: stopping", log)
        self.messages.wait(f"smartmeter/gateway/{self.instance()}/status",
                           lambda payload: payload == "offline")
        (self.directory / "log").unlink()
        topic = f"smartmeter/{METER}/state"
        before = len(self.messages.heard[topic])
        self.start()
        self.wait_log(" opened")
        self.pty.send(octets + telegrams(FAMILY, 2, "--unit", "1")[0])
        wait_for("the other meter", lambda: [
            other for other in self.messages.latest
            if re.fullmatch(r"smartmeter/\d+/state", other) and other != topic])
        self.assertEqual(len(self.messages.heard[topic]), before)

    def instance(self):
        topic, = (topic for topic in self.messages.latest
                  if re.fullmatch(r"smartmeter/gateway/[^/]+/status", topic))
        return topic.split("/")[2]

    def test_adapter_is_pulled_out(self):
        """Its name comes back with another number behind it. udev, which is the host's, has no
        word for a container.
        """
        self.start()
        self.assert_reads(self.messages)
        former = self.pty.path.readlink()
        self.pty.unplug()
        self.wait_log(r"smartmeterd: notice: /dev/serial/by-id/tty: ")
        keep = os.openpty()
        self.addCleanup(lambda: [os.close(fd) for fd in keep])
        self.pty.plug()
        self.assertNotEqual(self.pty.path.readlink(), former)
        before = len(self.messages.heard[f"smartmeter/{METER}/state"])
        self.send(times=2)
        wait_for("another reading",
                 lambda: len(self.messages.heard[f"smartmeter/{METER}/state"]) > before)

    def test_file_of_settings(self):
        (self.directory / "config/more.toml").write_text(
            f'[broker.addon]\nvalues = true\n[meter.house]\nid = "{METER}"\nname = "House"\n')
        self.start()
        self.send()
        self.messages.wait(f"smartmeter/{METER}/value/energy_import", bool)
        payload = self.messages.wait(f"homeassistant/device/smartmeterd_{METER}/config", bool)
        self.assertIn('"House"', payload)

    def test_key_that_does_not_fit(self):
        self.start(keys=[{"encryption": OTHER_KEY}])
        self.send()
        self.wait_log("no configured key fits this meter")
        self.assert_silent_about(OTHER_KEY)

    def test_log_level(self):
        self.start(log_level="error")
        self.assertEqual((self.daemon_process() / "cmdline").read_text().split("\0")[-2], "error")


if __name__ == "__main__":
    tap.main()

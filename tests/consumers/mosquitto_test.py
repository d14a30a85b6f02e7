# SPDX-License-Identifier: Apache-2.0
"""A real mosquitto with the very lines of daemon/doc/mosquitto.md, and the service publishing
through it: what is needed passes, everything else is refused.
"""

import pathlib
import re
import shlex
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from consumer import (LIMIT_S, PASSWORD, House, Listener, Mosquitto, Simulated,  # noqa: E402
                      block, json, replaced, slug, wait_for)
import tap  # noqa: E402
from harness import SMARTMETERD, Subscriber, free_port, stop, telegrams  # noqa: E402

PAGE = "mosquitto.md"
LISTENER = "# /etc/mosquitto/conf.d/smartmeterd.conf"
ACL = "# /etc/mosquitto/acl"
CLIENT = "# /etc/smartmeterd/conf.d/broker.toml"
BRIDGE = "# /etc/mosquitto/conf.d/bridge.conf"
# Reads and writes everything: what the test itself looks on with.
OBSERVER = "observer"
CONFIG_TOPIC = "homeassistant/device/somebody/config"
ENTITY_TOPIC = "homeassistant/sensor/somebody_power/config"


class WithPage(House):
    def setUp(self):
        super().setUp()
        self.password_file = self.directory / "broker-password"
        self.password_file.write_text(PASSWORD)
        self.password_file.chmod(0o640)
        self.port = free_port()

    def listener(self):
        """The page's listener, passwords and rights, on a free port."""
        passwords, acl = self.directory / "passwords", self.directory / "acl"
        acl.write_text(block(PAGE, ACL) + f"\nuser {OBSERVER}\ntopic readwrite #\n")
        passwords.touch()
        lines = block(PAGE, "# passwords").splitlines()[2:]
        users = [shlex.split(line)[-1] for line in lines]
        lines += [replaced(lines[0], (users[0], user))
                  for user in ("attic", "translator", OBSERVER)]
        for line in lines:
            command = shlex.split(replaced(line, ("sudo ", ""),
                                           ("/etc/mosquitto/passwords", passwords)))
            subprocess.run(command, input=f"{PASSWORD}\n{PASSWORD}\n", text=True, check=True,
                           capture_output=True, timeout=LIMIT_S)
        for path in (passwords, acl):
            path.chmod(0o640)
        return replaced(block(PAGE, LISTENER), ("1883", f"{self.port} 127.0.0.1"),
                        ("/etc/mosquitto/passwords", passwords), ("/etc/mosquitto/acl", acl))

    def start_mosquitto(self, name, *texts, port=None):
        broker = Mosquitto(self.directory, name, port or self.port, *texts)
        self.addCleanup(broker.stop)
        broker.start()
        return broker

    def client(self, which, *pairs):
        """The page's settings of the service, without the head of their table."""
        text = replaced(block(PAGE, f"{CLIENT}{which}"), ("[broker.home]\n", ""), *pairs)
        if "password_file" in text:
            text = replaced(text, ("/etc/smartmeterd/broker-password", self.password_file))
        return text

    def listen(self, user, *options, port=None, **more):
        listener = Listener(port or self.port, user, *options, **more)
        self.addCleanup(listener.stop)
        return listener

    def publish(self, user, topic, *options, port=None, password=PASSWORD):
        """Whether the broker took it; what options say, else a message that is not retained."""
        done = subprocess.run(
            ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port or self.port), "-u", user,
             "-P", password, "-V", "5", "-q", "1", "-t", topic,
             *(options or ("-m", "forged"))], capture_output=True, text=True, timeout=LIMIT_S,
            check=False)
        return done.returncode == 0 and "Not authorized" not in done.stderr

    def tearDown(self):
        super().tearDown()
        if self.has_failed():
            for log in self.directory.glob("*.log"):
                print(f"--- {log.name}\n{log.read_text()[-6000:]}---", file=sys.stderr)


class Alone(WithPage):
    def test_a_broker_that_nobody_has_set_up(self):
        broker = Mosquitto(self.directory, "main", self.port)
        broker.start(["mosquitto", "-p", str(self.port)])
        self.addCleanup(broker.stop)
        self.assertIn("local only mode", broker.log.read_text())
        subscriber = Subscriber(broker)
        self.addCleanup(subscriber.stop)
        self.start_house("kaifa-noe", broker=self.client("", ("mqtt://localhost", broker.url)))
        meter = self.send("kaifa-noe")
        self.assertEqual(subscriber.state(meter.slug)["readings"]["power_import"],
                         meter.values["power_import"])


class Rights(WithPage):
    FAMILIES = ("kaifa-noe", "dsmr-5")
    WRITERS = {
        "smartmeterd": {"smartmeter/m/state", "smartmeter/m/value/power_import",
                        "smartmeter/m/availability", "smartmeter/m/info", "smartmeter/m/history",
                        "smartmeter/gateway/cellar/status", "smartmeter/gateway/attic/raw/a",
                        "smartmeter/gateway/attic/status",
                        CONFIG_TOPIC, ENTITY_TOPIC},
        "homeassistant": {CONFIG_TOPIC, ENTITY_TOPIC, "homeassistant/status",
                          "homeassistant/switch/x/config"},
        "evcc": {"evcc/status"}, "openhab": set(), "node-red": set(), "telegraf": set(),
        "attic": {"smartmeter/gateway/attic/raw/a", "smartmeter/gateway/attic/status"},
        "translator": {"smartmeter/m/state", "smartmeter/m/value/power_import",
                       "smartmeter/m/availability", "smartmeter/m/info", "smartmeter/m/history",
                       CONFIG_TOPIC, ENTITY_TOPIC},
    }
    READERS = {
        "smartmeterd": {"homeassistant/status", CONFIG_TOPIC, ENTITY_TOPIC},
        "evcc": {"smartmeter/m/state", "evcc/status"},
        "node-red": {"smartmeter/m/state", "smartmeter/m/availability"},
        "telegraf": {"smartmeter/m/state", "smartmeter/m/history"},
        "attic": set(),
        "openhab": {"smartmeter/m/state", "smartmeter/m/availability",
                    "smartmeter/m/value/power_import", "smartmeter/gateway/attic/status",
                    "smartmeter/gateway/cellar/status", "homeassistant/status", CONFIG_TOPIC,
                    ENTITY_TOPIC, "homeassistant/switch/x/config"},
        "translator": {"homeassistant/status", CONFIG_TOPIC, ENTITY_TOPIC,
                       "smartmeter/gateway/attic/raw/a"},
    }
    TOPICS = sorted(set().union(*WRITERS.values()) | {"other/topic", "$SYS/broker/x"})

    def test_the_service_publishes_and_every_reader_sees_it(self):
        broker = self.start_mosquitto("main", self.listener())
        readers = {user: self.listen(user) for user in ("evcc", "openhab", "telegraf", "node-red",
                                                        "homeassistant")}
        self.start_house(*self.FAMILIES,
                         broker=self.client(" with a password",
                                            ("mqtt://localhost", broker.url)))
        said = {family: self.send(family) for family in self.FAMILIES}
        for family, meter in said.items():
            for user, reader in readers.items():
                state = reader.state(meter.slug)
                self.assertEqual(state["readings"]["power_import"], meter.values["power_import"],
                                 user)
            watcher = readers["homeassistant"]
            watcher.wait(f"smartmeter/{meter.slug}/info")
            watcher.wait(f"smartmeter/{meter.slug}/availability", lambda text: text == "online")
            watcher.wait(f"homeassistant/device/smartmeterd_{meter.slug}/config")
        watcher.wait("smartmeter/gateway/cellar/health")
        watcher.wait("smartmeter/gateway/cellar/status", lambda text: text == "online")
        # evcc sees the states, and nothing else of all that.
        self.assertEqual({topic.rpartition("/")[2] for topic in readers["evcc"].latest}, {"state"})
        # Nothing that the service needs is refused to it.
        self.assertNotIn("Denied PUBLISH from smartmeterd-cellar", broker.log.read_text())

    def test_who_may_write_what(self):
        self.start_mosquitto("main", self.listener())
        for user, topics in self.WRITERS.items():
            taken = {topic for topic in self.TOPICS if self.publish(user, topic)}
            self.assertEqual(taken, topics, user)

    def test_who_reads_what(self):
        self.start_mosquitto("main", self.listener())
        topics = [topic for topic in self.TOPICS if not topic.startswith("$")]
        for topic in topics:
            self.assertTrue(self.publish(OBSERVER, topic, "-r", "-m", "said"))
        for user, may in self.READERS.items():
            if not may:  # nothing that could tell that there is nothing more
                done = subprocess.run(
                    ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.port), "-u", user, "-P",
                     PASSWORD, "-t", "#", "-W", "2", "-v"], capture_output=True, text=True,
                    timeout=LIMIT_S, check=False)
                self.assertEqual(done.stdout, "", user)
                continue
            listener = self.listen(user)
            last = sorted(may)[0]
            listener.wait(last)  # and now one that comes after all that is retained
            self.publish(OBSERVER, last, "-m", "the last")
            listener.wait(last, lambda text: text == "the last")
            self.assertEqual(set(listener.latest), may, user)

    def test_who_only_reads_removes_nothing(self):
        broker = self.start_mosquitto("main", self.listener())
        self.start_house("kaifa-noe", broker=self.client(" with a password",
                                                         ("mqtt://localhost", broker.url)))
        meter = self.send("kaifa-noe")
        state = f"smartmeter/{meter.slug}/state"
        self.listen(OBSERVER).wait(state)
        self.publish(OBSERVER, CONFIG_TOPIC, "-r", "-m", "{}")
        for user in ("evcc", "openhab", "node-red", "telegraf", "attic"):
            for topic in (state, CONFIG_TOPIC, f"smartmeter/{meter.slug}/availability"):
                self.assertFalse(self.publish(user, topic, "-r", "-n"), f"{user} {topic}")
        self.assertFalse(self.publish("homeassistant", state, "-r", "-n"))
        fresh = self.listen(OBSERVER)
        fresh.wait(state, lambda text: text != "")
        fresh.wait(CONFIG_TOPIC, lambda text: text == "{}")

    def test_nobody_without_a_password(self):
        self.start_mosquitto("main", self.listener())
        self.assertFalse(self.publish("evcc", "smartmeter/m/state", password="wrong"))
        self.assertFalse(self.publish("smartmeterd", "smartmeter/m/state", password=""))
        self.assertTrue(self.publish("smartmeterd", "smartmeter/m/state"))


class Gateways(WithPage):
    def translator(self, url):
        """The service as user "translator": no line of its own, the keys, and a source."""
        state = self.directory / "translator"
        state.mkdir()
        settings = self.directory / "translator.toml"
        client = self.client(" with a password", ("mqtt://localhost", url),
                             ('"smartmeterd"', '"translator"'))
        settings.write_text(f'[gateway]\ninstance = "translator"\n[broker.home]\nrole = "both"\n'
                            f'{client}[source.gateways]\nbroker = "home"\nformat = "raw"\n')
        log = open(self.directory / "translator.log", "ab")
        self.addCleanup(log.close)
        process = subprocess.Popen(
            [SMARTMETERD, "--config", str(settings), "--bus", "none", "--state", str(state),
             "--translate", "--log-level", "debug"], stdout=log, stderr=log)
        self.addCleanup(stop, process)

    def test_raw_telegrams_of_one_are_translated_by_another(self):
        broker = self.start_mosquitto("main", self.listener())
        raw_topic = "smartmeter/gateway/+/raw/+"
        everything = self.listen(OBSERVER, "-T", raw_topic)
        raw = self.listen(OBSERVER, "-F", "%r %t %x", topic=raw_topic)
        self.write_key()
        self.translator(broker.url)
        everything.wait("smartmeter/gateway/translator/status", lambda text: text == "online")
        gateway = self.client(" with a password", ("mqtt://localhost", broker.url),
                              ('"smartmeterd"', '"attic"'))
        self.start_house("kaifa-noe", instance="attic", broker=gateway +
                         'raw = true\nprofiles = []\ndiscovery = "off"\n')
        everything.wait("smartmeter/gateway/attic/status", lambda text: text == "online")
        octets, (said,) = telegrams("kaifa-noe")
        self.lines["kaifa-noe"].send(octets)
        self.assertEqual(wait_for("a raw telegram", lambda: list(raw.latest.values()) or None),
                         [octets.hex()])
        self.assertRegex(next(iter(raw.latest)), "^smartmeter/gateway/attic/raw/[a-z0-9-]+$")
        meter = Simulated(slug(said["meter"]), said["readings"])
        state = everything.state(meter.slug)
        self.assertEqual(state["readings"]["energy_import"], meter.values["energy_import"])
        info = json.loads(everything.wait(f"smartmeter/{meter.slug}/info"))
        self.assertEqual(info["translated_by"], "translator")
        self.assertLessEqual({topic for topic in list(everything.latest) if "attic" in topic},
                             {"smartmeter/gateway/attic/status",
                              "smartmeter/gateway/attic/health"})
        self.assertNotRegex(broker.log.read_text(), "Denied PUBLISH from smartmeterd-")


class Encrypted(WithPage):
    def certificates(self):
        """The page's own authority and certificate, for this machine's name."""
        for line in block(PAGE, "# certificates").splitlines()[1:]:
            subprocess.run(["sh", "-c", line.replace("broker.example", "localhost")], check=True,
                           cwd=self.directory, capture_output=True, timeout=LIMIT_S)

    def tls_listener(self, port):
        return replaced(block(PAGE, "# /etc/mosquitto/conf.d/tls.conf"),
                        ("8883", f"{port} 127.0.0.1"),
                        ("/etc/mosquitto/certs", self.directory))

    def test_the_service_over_tls(self):
        self.certificates()
        tls_port = free_port()
        self.start_mosquitto("main", self.listener(), self.tls_listener(tls_port))
        watcher = self.listen("homeassistant")
        self.start_house("kaifa-noe", broker=self.client(
            " with TLS", ("broker.example", f"localhost:{tls_port}"),
            ("/etc/smartmeterd/broker-ca.crt", self.directory / "ca.crt")))
        meter = self.send("kaifa-noe")
        self.assertEqual(watcher.state(meter.slug)["readings"]["power_import"],
                         meter.values["power_import"])


class Sockets(WithPage):
    def test_the_service_over_a_unix_socket(self):
        path = self.directory / "mosquitto.sock"
        broker = self.start_mosquitto(
            "main", self.listener(),
            replaced(block(PAGE, "# /etc/mosquitto/conf.d/socket.conf"),
                     ("/run/mosquitto-socket/mosquitto.sock", path)))
        watcher = self.listen("homeassistant")
        self.start_house("kaifa-noe", broker=self.client(
            " with a socket", ("/run/mosquitto-socket/mosquitto.sock", path)) +
            f'user = "smartmeterd"\npassword_file = "{self.password_file}"\n')
        meter = self.send("kaifa-noe")
        watcher.state(meter.slug)
        self.assertRegex(broker.log.read_text(), rf"New connection from {re.escape(str(path))}")


class Bridge(WithPage):
    def bridge(self, port):
        return replaced(block(PAGE, BRIDGE), ("broker.example:8883", f"localhost:{port}"),
                        ("/etc/mosquitto/certs", self.directory),
                        ("remote_password PASSWORD", f"remote_password {PASSWORD}"))

    def test_states_go_on_to_the_main_broker(self):
        Encrypted.certificates(self)
        tls_port, pi_port = free_port(), free_port()
        main = self.start_mosquitto("main", self.listener(),
                                    Encrypted.tls_listener(self, tls_port))
        self.start_mosquitto("pi", f"listener {pi_port} 127.0.0.1\nallow_anonymous true\n",
                             self.bridge(tls_port), port=pi_port)
        watcher = self.listen("homeassistant")
        self.start_house("dsmr-5", broker=f'url = "mqtt://127.0.0.1:{pi_port}"')
        meter = self.send("dsmr-5")
        state = f"smartmeter/{meter.slug}/state"
        at_main = watcher.state(meter.slug)
        self.assertEqual(at_main["readings"]["power_import"], meter.values["power_import"])
        watcher.wait(f"smartmeter/{meter.slug}/availability", lambda text: text == "online")
        watcher.wait(f"homeassistant/device/smartmeterd_{meter.slug}/config")
        # Retained there too: a late reader has it at once.
        late = self.listen(OBSERVER)
        late.wait(state)
        self.assertIn((True, state), {(retained, topic) for retained, topic, _ in
                                      list(late.messages.queue)})
        # Home Assistant's start comes the other way.
        at_pi = Subscriber(type("At", (), {"port": pi_port}), "homeassistant/status")
        self.addCleanup(at_pi.stop)
        wait_for("Home Assistant's start at the Pi", lambda: (
            self.publish("homeassistant", "homeassistant/status", "-m", "online") and
            "homeassistant/status" in at_pi.latest))
        self.assertNotIn("Denied PUBLISH from bridge-cellar", main.log.read_text())
        # The main broker was away: what came meanwhile is brought to it.
        main.stop()
        later = self.send("dsmr-5")
        self.assertEqual(later.slug, meter.slug)
        main.start()
        again = self.listen("homeassistant")
        again.state(meter.slug, lambda said: said["sequence"] == 2)


if __name__ == "__main__":
    tap.main()

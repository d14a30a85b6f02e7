# SPDX-License-Identifier: Apache-2.0
"""A fleet with the very lines of daemon/doc/fleet.md: gateways without keys, a broker that lets
each of them write below its own name, translators that have the keys.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from consumer import (LIMIT_S, PASSWORD, House, Listener, Mosquitto, block,  # noqa: E402
                      replaced, wait_for)
import tap  # noqa: E402
from harness import (METERSIM, SMARTMETERD, TEST_AUTHENTICATION_KEY, TEST_KEY,  # noqa: E402
                     free_port, stop, telegrams)

PAGE = "fleet.md"
GATEWAY = "# /etc/smartmeterd/smartmeterd.toml of a gateway"
TRANSLATOR = "# /etc/smartmeterd/smartmeterd.toml of a translator"
GROUP = "# [source.fleet] of a group"
USERS = ("gw-0001", "gw-0002", "gw-0003", "translator-1", "translator-2", "control")
ENCRYPTED = "kaifa-noe"


class Fleet(House):
    def setUp(self):
        super().setUp()
        self.password_file = self.directory / "broker-password"
        self.password_file.write_text(PASSWORD)
        self.password_file.chmod(0o640)
        self.started = []
        passwords, acl = self.directory / "passwords", self.directory / "acl"
        acl.write_text(block(PAGE, "# /etc/mosquitto/acl"))
        passwords.touch()
        for user in USERS:
            subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, PASSWORD], check=True,
                           capture_output=True, timeout=LIMIT_S)
        for path in (passwords, acl):
            path.chmod(0o640)
        self.port = free_port()
        text = replaced(block(PAGE, "# /etc/mosquitto/conf.d/fleet.conf"),
                        ("listener 8883", f"listener {self.port} 127.0.0.1"),
                        ("certfile /etc/mosquitto/certs/server.crt\n", ""),
                        ("keyfile /etc/mosquitto/certs/server.key\n", ""),
                        ("persistence true\n", ""),
                        ("/etc/mosquitto/passwords", passwords), ("/etc/mosquitto/acl", acl))
        self.fleet = Mosquitto(self.directory, "fleet", self.port, text)
        self.addCleanup(self.fleet.stop)
        self.fleet.start()

    def tearDown(self):
        super().tearDown()
        if self.has_failed():
            for log in sorted(self.directory.rglob("log")) + [self.fleet.log]:
                print(f"--- {log}\n{log.read_text()[-6000:]}---", file=sys.stderr)

    def settings(self, begins, *pairs):
        """The page's settings with this test's broker and password."""
        return replaced(block(PAGE, begins), ("mqtts://broker.example", self.fleet.url),
                        ("/etc/smartmeterd/broker-password", self.password_file), *pairs)

    def launch(self, name, settings, *options, with_keys=True):
        """A smartmeterd of its own, once it is connected."""
        directory = self.directory / name
        for part in ("keys.d", "state"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        if with_keys:
            keys = directory / "keys.d" / "fleet.toml"
            keys.write_text(f'[[key]]\nmeter = "*"\nencryption = "{TEST_KEY}"\n'
                            f'authentication = "{TEST_AUTHENTICATION_KEY}"\n')
            keys.chmod(0o640)
        config = directory / "smartmeterd.toml"
        config.write_text(settings)
        environment = {variable: value for variable, value in os.environ.items()
                       if variable not in ("JOURNAL_STREAM", "NOTIFY_SOCKET")}
        log_file = directory / "log"
        before = log_file.stat().st_size if log_file.exists() else 0
        with open(log_file, "ab") as log:
            process = subprocess.Popen(
                [SMARTMETERD, "--config", str(config), "--bus", "none",
                 "--state", str(directory / "state"), "--log-level", "debug", *options],
                stdout=log, stderr=log, env=environment)
        self.addCleanup(stop, process)

        def is_connected():
            if process.poll() is not None:
                raise AssertionError(f"smartmeterd ended with {process.returncode}")
            said = log_file.read_text()[before:]
            return said.count("connected to") == settings.count("[broker.")
        wait_for(f"{name} to connect", is_connected)
        return process

    def translator(self, number=1, *pairs):
        return self.launch(f"translator-{number}", self.settings(
            TRANSLATOR, *(pairs or (("translator-1", f"translator-{number}"),))), "--translate")

    def listen(self, user, topic):
        listener = Listener(self.port, user, topic=topic)
        self.addCleanup(listener.stop)
        return listener

    def listen_to_states(self):
        """What is said of meters, from now on: a retained message shows that it listens."""
        self.assertTrue(self.publish("translator-1", "smartmeter/marker/state", "-r"))
        control = self.listen("control", "smartmeter/+/+")
        control.wait("smartmeter/marker/state")
        return control

    def send(self, gateway, *arguments):
        """What a simulated gateway's telegrams say, once the broker has them."""
        done = subprocess.run(
            [METERSIM, "run", ENCRYPTED, "--mqtt", self.fleet.url, "--user", gateway,
             "--password-file", str(self.password_file), "--topic",
             f"smartmeter/gateway/{gateway}/raw/main", "--interval", "1", "--fast",
             "--print-values",
             "--unit", gateway[-1], *map(str, arguments)],
            capture_output=True, text=True, timeout=LIMIT_S, check=True)
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def publish(self, user, topic, *options):
        """Whether the broker took it."""
        done = subprocess.run(
            ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.port), "-u", user, "-P", PASSWORD,
             "-V", "5", "-q", "1", "-t", topic, "-m", "forged", *options],
            capture_output=True, text=True, timeout=LIMIT_S, check=False)
        return done.returncode == 0 and "Not authorized" not in done.stderr


def states_of(listener, meter):
    """Every state of a meter so far, oldest first."""
    return [json.loads(payload) for payload in
            listener.heard.get(f"smartmeter/{meter.lower()}/state", [])]


class Rights(Fleet):
    def test_a_gateway_writes_below_its_own_name_and_reads_nothing(self):
        for topic in ("raw/main", "status", "health"):
            self.assertTrue(self.publish("gw-0001", f"smartmeter/gateway/gw-0001/{topic}"))
            self.assertFalse(self.publish("gw-0001", f"smartmeter/gateway/gw-0002/{topic}"))
        self.assertFalse(self.publish("gw-0001", "smartmeter/1kfm1/state"))
        self.assertFalse(self.publish("translator-1", "smartmeter/gateway/gw-0001/raw/main"))
        self.assertTrue(self.publish("translator-1", "smartmeter/1kfm1/state"))
        self.assertFalse(self.publish("control", "smartmeter/1kfm1/state"))
        # What is retained would be heard at once.
        self.assertTrue(self.publish("gw-0001", "smartmeter/gateway/gw-0001/status", "-r"))
        spy, control = self.listen("gw-0002", "#"), self.listen("control", "smartmeter/#")
        control.wait("smartmeter/gateway/gw-0001/status")
        self.assertTrue(self.publish("gw-0001", "smartmeter/gateway/gw-0001/raw/main"))
        control.wait("smartmeter/gateway/gw-0001/raw/main")
        self.assertEqual(spy.heard, {})


class Translation(Fleet):
    def test_a_gateway_without_keys_and_a_translator_with_them(self):
        self.translator()
        control = self.listen_to_states()
        self.launch("gw-0001", self.settings(GATEWAY), "--device",
                    f"{self.pty.path},link=auto", with_keys=False)
        wait_for("the port to be opened", lambda: " opened" in
                 (self.directory / "gw-0001" / "log").read_text())
        octets, values = telegrams(ENCRYPTED, 1)
        self.pty.send(octets)
        said = values[0]
        state = wait_for("a state", lambda: states_of(control, said["meter"]) or None)[-1]
        self.assertEqual({name: state["readings"].get(name) for name in said["readings"]},
                         said["readings"])
        info = json.loads(control.wait(f"smartmeter/{said['meter'].lower()}/info"))
        self.assertEqual(info["translated_by"], "translator-1")
        self.assertNotIn(TEST_KEY, (self.directory / "gw-0001" / "log").read_text())

    def test_what_comes_while_the_translator_is_away_is_not_lost(self):
        process = self.translator()
        control = self.listen_to_states()
        meter = self.send("gw-0001", "--count", 3, "--counter", 1)[0]["meter"]
        wait_for("three states", lambda: len(states_of(control, meter)) == 3)
        process.kill()
        process.wait()
        said = self.send("gw-0001", "--count", 3000, "--counter", 4)
        self.translator()
        wait_for("the states of all telegrams", lambda: len(states_of(control, meter)) >= 3003)
        translated = states_of(control, meter)[3:]
        self.assertEqual([state["time"] for state in translated],
                         [telegram["time"] for telegram in said], "in order, each once")

    def test_a_group_shares_the_telegrams(self):
        for number in (1, 2):
            text = self.settings(TRANSLATOR, ("translator-1", f"translator-{number}"))
            text = text[:text.index("[source.fleet]")] + block(PAGE, GROUP)
            self.launch(f"translator-{number}", text, "--translate")
        control = self.listen_to_states()
        meters = {}
        for gateway in ("gw-0001", "gw-0002", "gw-0003"):
            said = self.send(gateway, "--count", 100)
            meters[said[0]["meter"]] = said
        for meter, said in meters.items():
            wait_for(f"all states of {meter}",
                     lambda meter=meter: len(states_of(control, meter)) >= 100)
            self.assertEqual(sorted(state["time"] for state in states_of(control, meter)),
                             sorted(telegram["time"] for telegram in said), "each once")
        topics = [topic for topic in control.heard if re.search("/(availability|info)$", topic)]
        self.assertEqual(topics, [], "a member knows nothing of a meter's silence")


if __name__ == "__main__":
    tap.main()

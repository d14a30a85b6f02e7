#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""metersim over MQTT: what a subscriber of a real broker gets of its meters and its fleets."""

import collections
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "integration")]

import tap  # noqa: E402
from harness import (  # noqa: E402
    LIMIT_S, METERSIM, SMARTMETERCTL, TEST_AUTHENTICATION_KEY, TEST_KEY, Broker)

START = ["--start", "2026-11-20T12:00:05+01:00"]
SUMMARY = re.compile(r"sent (\d+), acknowledged (\d+), [\d.]+ s, \d+ telegrams/s\n")
# What mosquitto_sub prints of a message.
FORMAT = '{"topic":"%t","payload":"%x","type":"%C","properties":"%P","retained":%r,"qos":%q}'


def run(*arguments):
    return subprocess.run([METERSIM, *map(str, arguments)], capture_output=True, text=True,
                          timeout=LIMIT_S, check=False)


def telegram_of(*arguments):
    """The octets of a run's telegrams as a file has them."""
    done = subprocess.run([METERSIM, "run", *map(str, arguments), "--fast", "--out", "-", *START],
                          capture_output=True, timeout=LIMIT_S, check=True)
    return done.stdout


class MqttTest(unittest.TestCase):
    SETTINGS = ""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.directory.chmod(0o755)
        self.broker = Broker(self.directory)
        if self.SETTINGS:
            (self.directory / "acl").write_text("topic readwrite allowed/#\n")
            with self.broker.config.open("a") as config:
                config.write(self.SETTINGS.format(directory=self.directory))
        self.broker.start()
        self.addCleanup(self.broker.stop)

    def subscribe(self, count, topic="#"):
        """A function that gives the next messages, once they have all come."""
        # A retained message is the sign that the subscription stands.
        subprocess.run(["mosquitto_pub", "-p", str(self.broker.port), "-t", "marker", "-r", "-q",
                        "1", "-m", "here"], timeout=LIMIT_S, check=True)
        topics = ["-t", topic] + ([] if topic == "#" else ["-t", "marker"])
        process = subprocess.Popen(
            ["mosquitto_sub", "-V", "mqttv5", "-p", str(self.broker.port), *topics, "-q", "1",
             "-C", str(count + 1), "-W", str(LIMIT_S), "-F", FORMAT],
            stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, LIMIT_S)
        self.addCleanup(process.kill)
        self.assertIn('"marker"', process.stdout.readline())

        def messages():
            said = [json.loads(line) for line in process.stdout]
            self.assertEqual(process.wait(LIMIT_S), 0, "not all messages came")
            for message in said:
                message["payload"] = bytes.fromhex(message["payload"])
            return said
        return messages


class Meters(MqttTest):
    def test_json_as_the_gateway_sends_it(self):
        for family, topic in (("gplug", "tele/metersim/SENSOR"),
                              ("glow-zcl", "SMART/HILD/metersim"),
                              ("glow-ihd", "glow/metersim/SENSOR/electricitymeter")):
            with self.subTest(family):
                messages = self.subscribe(1)
                done = run("run", family, "--mqtt", self.broker.url, "--count", 1, *START)
                self.assertEqual(done.returncode, 0, done.stderr)
                message, = messages()
                self.assertEqual(message["topic"], topic)
                self.assertEqual(message["payload"] + b"\n", telegram_of(family, "--count", 1))
                self.assertEqual((message["type"], message["retained"]), ("", 0))

    def test_raw_telegrams_with_their_properties(self):
        messages = self.subscribe(3)
        done = run("run", "kaifa-noe", "--mqtt", self.broker.url, "--count", 3, "--interval", 0.01,
                   *START)
        self.assertEqual(done.returncode, 0, done.stderr)
        said = messages()
        self.assertEqual(b"".join(message["payload"] for message in said),
                         telegram_of("kaifa-noe", "--count", 3, "--interval", 0.01))
        for message in said:
            self.assertEqual(message["topic"], "smartmeter/gateway/metersim/raw/kaifa-noe")
            self.assertEqual(message["type"], "application/octet-stream")
            self.assertEqual((message["retained"], message["qos"]), (0, 1))
            self.assertRegex(message["properties"], r"^adapter:kaifa-noe protocol:mbus "
                             r"t:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")

    def test_topic_faults_and_quality_of_service(self):
        messages = self.subscribe(2, "a/b")
        done = run("run", "e450", "--mqtt", self.broker.url, "--topic", "a/b", "--fast",
                   "--count", 4, "--drop", 2, "--qos", 0)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({message["qos"] for message in messages()}, {0})

    def test_a_broker_that_dies_is_told_and_how_many_it_did_not_acknowledge(self):
        process = subprocess.Popen(
            [METERSIM, "run", "gplug", "--mqtt", self.broker.url, "--interval", "0.05",
             "--print-values"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        process.stdout.readline()
        self.subscribe(2, "tele/metersim/SENSOR")()
        # One that hears nothing before it dies: what is sent meanwhile is not acknowledged.
        self.broker.process.send_signal(signal.SIGSTOP)
        for _ in range(3):
            process.stdout.readline()
        self.broker.process.kill()
        _, error = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 1)
        self.assertIn(f"{self.broker.url}: the connection was lost", error)
        lost, sent = map(int, re.search(r"; (\d+) of (\d+) messages not acknowledged\n",
                                        error).groups())
        self.assertGreaterEqual(lost, 1)
        self.assertGreater(sent, lost)

    def test_a_broker_that_does_not_answer_is_told(self):
        process = subprocess.Popen(
            [METERSIM, "run", "gplug", "--mqtt", self.broker.url, "--interval", "0.05",
             "--count", "1000"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        process.stdout.readline()
        self.subscribe(1, "tele/metersim/SENSOR")()
        self.broker.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.broker.process.send_signal, signal.SIGCONT)
        _, error = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 1)
        self.assertRegex(error, rf"{self.broker.url}: no answer; 100 of \d+ messages not ")


class Fleet(MqttTest):
    def load(self, *arguments):
        return run("load", "--mqtt", self.broker.url, *arguments)

    def test_each_gateway_has_a_meter_and_a_counter_of_its_own(self):
        messages = self.subscribe(40, "fleet/#")
        done = self.load("--gateways", 8, "--count", 40, "--prefix", "fleet", "--instance", "g",
                         "--family", "kaifa-noe", "--family", "e450-pairs", "--counter", 7)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(SUMMARY.fullmatch(done.stdout).groups(), ("40", "40"))
        by_gateway = collections.defaultdict(list)
        for message in messages():
            by_gateway[message["topic"]].append(message["payload"])
        self.assertEqual(sorted(by_gateway), sorted(
            f"fleet/gateway/g-{n}/raw/{('kaifa-noe', 'e450-pairs')[n % 2]}" for n in range(8)))
        meters = set()
        for topic, payloads in by_gateway.items():
            decoded = subprocess.run(
                [SMARTMETERCTL, "decode", "--explain", "--key", TEST_KEY, "--auth-key",
                 TEST_AUTHENTICATION_KEY, "-"],
                input=b"".join(payloads), capture_output=True, timeout=LIMIT_S, check=True)
            said = {json.loads(line)["meter"] for line in decoded.stdout.splitlines()}
            self.assertEqual(len(said), 1, topic)
            meters |= said
            counters = re.findall(r"invocation counter (\d+)", decoded.stderr.decode())
            self.assertEqual(counters, ["7", "8", "9", "10", "11"], topic)
        self.assertEqual(len(meters), 8)

    def test_gateways_that_send_json(self):
        messages = self.subscribe(6)
        done = self.load("--gateways", 3, "--count", 6, "--family", "gplug", "--unit", 10)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(collections.Counter(message["topic"] for message in messages()),
                         {f"tele/metersim-{n}/SENSOR": 2 for n in (10, 11, 12)})

    def test_a_rate_is_kept_and_a_signal_ends_it(self):
        process = subprocess.Popen([METERSIM, "load", "--mqtt", self.broker.url, "--rate", "20"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        progress = process.stderr.readline()
        self.assertRegex(progress, r"^\d+ s: sent \d+, acknowledged \d+\n$")
        process.terminate()
        output, _ = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 0)
        sent, acknowledged = map(int, SUMMARY.fullmatch(output).groups())
        self.assertEqual(sent, acknowledged)
        self.assertGreaterEqual(sent, 10)
        self.assertLess(sent, 20 * LIMIT_S)

    def test_errors_name_the_broker_and_the_cause(self):
        for arguments, cause in (
                (["--mqtt", "mqtt://127.0.0.1:1", "--count", 1], "Connection refused"),
                (["--mqtt", "http://127.0.0.1", "--count", 1], "mqtt://HOST[:PORT]"),
                (["--mqtt", self.broker.url, "--count", 1, "--prefix", "a/#"], "no topic"),
                (["--mqtt", self.broker.url, "--count", 1, "--family", "nix"], "metersim list"),
                (["--mqtt", self.broker.url, "--user", "u", "--password-file", "/nix"], "/nix")):
            done = run("load", *arguments)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertIn(cause, done.stderr)
            self.assertEqual(done.stdout, "")
        for arguments in ([], ["--mqtt", self.broker.url, "--gateways", 0],
                          ["--mqtt", self.broker.url, "--qos", 2]):
            self.assertEqual(run("load", *arguments).returncode, 2, arguments)

    def test_a_broker_that_dies_is_told(self):
        process = subprocess.Popen([METERSIM, "load", "--mqtt", self.broker.url, "--rate", "50"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        process.stderr.readline()
        self.broker.stop()
        _, error = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 1)
        self.assertIn(f"{self.broker.url}: the connection was lost", error)


class Refused(MqttTest):
    SETTINGS = "acl_file {directory}/acl\n"

    def test_what_the_broker_does_not_allow_is_no_success(self):
        done = run("load", "--mqtt", self.broker.url, "--count", 3)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Not authorized", done.stderr)
        self.assertEqual(run("load", "--mqtt", self.broker.url, "--count", 3, "--prefix",
                             "allowed").returncode, 0)


if __name__ == "__main__":
    tap.main()

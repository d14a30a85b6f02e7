# SPDX-License-Identifier: Apache-2.0
"""Counters and times: as many as somebody else has counted, in the order of the stages.

How long anything took is nobody's business here: only that it is a number.
"""

import json
import math
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from harness import LIMIT_S, SMARTMETERCTL, World, telegrams, wait_for  # noqa: E402

IO = os.environ.get("SMARTMETERD_IO", "auto")
METER = "181220000009"
COUNT = 5
MIN, MAX = 1, 4  # of (count, minimum, median, 99th percentile, maximum)


class Statistics(World):
    def start(self, *options):
        self.bus.start()
        self.write_key()
        self.start_daemon("--io", IO, *options)
        self.wait_opened()

    def send(self, count=COUNT):
        """One by one: each has been decoded before the next one comes."""
        before = self.bus.adapter_property("TelegramsReceived") or 0
        octets, _ = telegrams("kaifa-noe", 30)
        size = len(octets) // 30
        for i in range(before, before + count):
            self.pty.send(octets[i * size:(i + 1) * size])
            wait_for("the telegram", lambda i=i:
                     self.bus.adapter_property("TelegramsReceived") == i + 1)

    def publisher(self, name):
        """A property of the only broker."""
        for interfaces in self.bus.objects().values():
            if "org.smartmeterd1.Publisher" in interfaces:
                return interfaces["org.smartmeterd1.Publisher"][name]["data"]
        return None

    def wait_online(self):
        wait_for("the broker", lambda: self.publisher("State") == "online")

    def stats(self, *arguments):
        done = subprocess.run([SMARTMETERCTL, "show", "--stats", *arguments, "--bus",
                               self.bus.address], capture_output=True, text=True,
                              timeout=LIMIT_S, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def check_times(self, latency):
        count, *times = latency
        self.assertTrue(all(math.isfinite(time) and time >= 0 for time in times), times)
        self.assertEqual(times, sorted(times))
        self.assertEqual(count > 0, times[-1] > 0)

    def test_every_telegram_is_counted_in_each_stage(self):
        self.broker.start()
        self.start()
        self.wait_online()
        listener = subprocess.Popen(
            ["busctl", f"--address={self.bus.address}", "--json=short",
             "--match=type='signal',member='Reading'", "monitor"], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(listener.stderr.close)
        self.addCleanup(listener.stdout.close)
        self.addCleanup(listener.wait)
        self.addCleanup(listener.kill)
        self.assertIn("Monitoring", listener.stderr.readline())
        subscriber = self.subscriber()
        before = self.publisher("Published")
        self.send()
        subscriber.state(METER, lambda state: state["sequence"] == COUNT)
        latencies = self.bus.adapter_property("Latencies")
        self.assertEqual(set(latencies), {"decoded", "signalled"})
        decoded, signalled = latencies["decoded"], latencies["signalled"]
        broker = self.publisher("Latency")
        for stage in (decoded, signalled, broker):
            self.check_times(stage)
            self.assertEqual(stage[0], COUNT)
        for later in (signalled, broker):
            self.assertLessEqual(decoded[MIN], later[MIN])
            self.assertLessEqual(decoded[MAX], later[MAX])
        heard = [json.loads(listener.stdout.readline())["payload"]["data"][1]
                 for _ in range(COUNT)]
        self.assertEqual(heard, list(range(1, COUNT + 1)))
        self.assertEqual(len(subscriber.heard[f"smartmeter/{METER}/state"]), COUNT)
        self.assertGreaterEqual(self.publisher("Published"), before + COUNT)
        path = self.bus.meters()[METER]
        self.assertEqual(self.bus.property(path, "Meter", "Sequence"), COUNT)

    def test_show_says_what_the_bus_says(self):
        self.broker.start()
        self.start()
        self.wait_online()
        self.pty.send(bytes.fromhex("68 03 03 68 08 01 72 00 16"))  # its checksum is wrong
        self.send()
        wait_for("the error", lambda: self.bus.adapter_property("Errors"))
        adapter = self.bus.adapter()
        said = json.loads(self.stats("--json"))
        self.assertEqual(said["counters"]["readings-not-signalled"], 0)
        self.assertEqual(said["counters"], self.bus.property(
            "/org/smartmeterd1", "Manager", "Counters"))
        shown, = said["adapters"]
        self.assertEqual((shown["device"], shown["bytes"], shown["telegrams"], shown["errors"]),
                         (adapter["Device"], adapter["BytesReceived"], COUNT, adapter["Errors"]))
        for stage, latency in adapter["Latencies"].items():
            self.assertEqual(shown["latencies"][stage]["count"], latency[0])
            self.assertAlmostEqual(shown["latencies"][stage]["min"], latency[MIN], delta=1e-9)
            self.assertAlmostEqual(shown["latencies"][stage]["max"], latency[MAX], delta=1e-9)
        broker, = said["brokers"]
        self.assertEqual((broker["state"], broker["queued"], broker["dropped"],
                          broker["latency"]["count"]), ("online", 0, 0, COUNT))
        meter, = said["meters"]
        self.assertEqual((meter["id"], meter["telegrams"]), (METER, COUNT))
        self.assertRegex(meter["last"], r"^\d{4}-\d\d-\d\dT.*Z$")
        self.assertEqual(json.loads(self.stats("--json", METER))["meters"][0]["id"], METER)
        text = self.stats()
        for line in (rf"{self.pty.path} +{shown['bytes']} +{COUNT} +crc ",
                     rf"decoded +{self.pty.path} +{COUNT}(  +[\d.]+ (µs|ms|s)){{4}}\n",
                     rf"signalled +{self.pty.path} +{COUNT}(  +[\d.]+ (µs|ms|s)){{4}}\n",
                     rf"broker's socket +127.0.0.1:\d+ +{COUNT}(  +[\d.]+ (µs|ms|s)){{4}}\n",
                     r"127.0.0.1:\d+ +sink +online +\d+ +0 +0\n",
                     rf"{METER} .* {COUNT} .*ago\n", r"readings-not-signalled +0\n"):
            self.assertRegex(text, line)

    def test_nothing_is_measured_while_the_broker_is_away(self):
        self.start()
        self.send()
        self.assertEqual(self.publisher("Latency"), [0, 0, 0, 0, 0])
        self.assertEqual(self.publisher("Published"), 0)
        self.assertGreater(self.publisher("Queued"), 0)
        self.assertEqual(self.bus.adapter_property("Latencies")["signalled"][0], COUNT)
        self.assertRegex(self.stats(), r"broker's socket +127.0.0.1:\d+ +0( +-){4}\n")
        self.broker.start()
        self.wait_online()
        subscriber = self.subscriber()
        subscriber.state(METER, lambda state: state["sequence"] == COUNT)
        self.assertGreater(self.publisher("Published"), 0)
        self.assertEqual(self.publisher("Latency")[0], 0)
        self.send(1)
        subscriber.state(METER, lambda state: state["sequence"] == COUNT + 1)
        self.assertEqual(self.publisher("Latency")[0], 1)
        self.check_times(self.publisher("Latency"))

    def test_without_a_meter_and_without_the_service(self):
        self.start()
        said = json.loads(self.stats("--json"))
        self.assertEqual(said["meters"], [])
        self.assertEqual(said["adapters"][0]["latencies"]["decoded"]["count"], 0)
        done = subprocess.run([SMARTMETERCTL, "show", "--stats", "nix", "--bus",
                               self.bus.address], capture_output=True, text=True, check=False,
                              timeout=LIMIT_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no meter is called", done.stderr)


if __name__ == "__main__":
    tap.main()

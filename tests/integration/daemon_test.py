# SPDX-License-Identifier: Apache-2.0
"""The daemon on real things: readings arrive, and every failure passes.

Each case runs on both back ends of the loop (SMARTMETERD_IO names one).
"""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from harness import (CORPUS, LIMIT_S, SMARTMETERCTL, SMARTMETERD, TEST_AUTHENTICATION_KEY,
                     TEST_KEY, World, stop, telegrams, wait_for)

IO = os.environ.get("SMARTMETERD_IO", "auto")
METER = "181220000009"
PUBLISHED = CORPUS / "bench" / "inputs" / "a1_noe_mbus.bin"
PUBLISHED_KEY = "36C66639E48A8CA4D6BC8B282A793BBB"  # printed by the operator with the telegram


class Readings(World):
    def start(self, *options, **named):
        self.start_daemon("--io", IO, *options, **named)

    def test_value_arrives_on_bus_and_broker(self):
        self.bus.start()
        self.broker.start()
        self.write_key()
        self.start()
        self.wait_opened()
        subscriber = self.subscriber()
        octets, values = telegrams("kaifa-noe", 2)
        self.pty.send(octets)
        state = subscriber.state(METER, lambda state: state["sequence"] == 2)
        said = values[1]["readings"]
        self.assertEqual({name: state["readings"][name] for name in said}, said)
        self.assertEqual(state["readings"]["power_net"],
                         said["power_import"] - said["power_export"])
        self.assertEqual(state["derived"], ["power_net"])
        self.assertEqual((state["meter"], state["link"], state["authenticated"]),
                         (METER, "mbus", False))
        self.assertEqual(state["time"], values[1]["time"])
        self.assertNotIn("ages", state)
        path = wait_for("the meter", lambda: self.bus.meters().get(METER))
        self.assertEqual(self.bus.property(path, "Electricity", "EnergyImport"),
                         said["energy_import"])
        self.assertEqual(self.bus.property(path, "Electricity", "Voltage"),
                         [said["voltage_l1"], said["voltage_l2"], said["voltage_l3"]])
        self.assertEqual(self.bus.property(path, "Meter", "KeyState"), "ok")
        subscriber.wait("smartmeter/gateway/test/status", lambda text: text == "online")
        subscriber.wait(f"smartmeter/{METER}/availability", lambda text: text == "online")
        info = json.loads(subscriber.wait(f"smartmeter/{METER}/info"))
        self.assertEqual((info["id"], info["encrypted"]), (METER, True))

    @unittest.skipUnless(PUBLISHED.exists(), "no corpus")
    def test_published_telegram(self):
        self.bus.start()
        self.broker.start()
        self.write_key(PUBLISHED_KEY)
        self.start()
        self.wait_opened()
        subscriber = self.subscriber()
        self.pty.send(PUBLISHED.read_bytes())
        state = subscriber.state(METER)
        self.assertEqual(state["readings"]["energy_import"], 12.937)
        self.assertEqual(state["readings"]["voltage_l1"], 233.7)
        path = wait_for("the meter", lambda: self.bus.meters().get(METER))
        self.assertEqual(self.bus.property(path, "Electricity", "EnergyImport"), 12.937)
        self.assertEqual(self.bus.property(path, "Electricity", "Voltage")[0], 233.7)

    def test_authenticated_block_transfer(self):
        self.bus.start()
        self.broker.start()
        self.write_key(TEST_KEY, TEST_AUTHENTICATION_KEY)
        self.start()
        self.wait_opened()
        subscriber = self.subscriber()
        octets, values = telegrams("e450-pairs")
        self.pty.send(octets)
        meter = wait_for("a meter", lambda: next(iter(self.bus.meters()), None))
        state = subscriber.state(meter.lower())
        self.assertIs(state["authenticated"], True)
        self.assertEqual(state["link"], "hdlc")
        said = values[0]["readings"]
        self.assertEqual({name: state["readings"][name] for name in said}, said)

    def test_lists_of_a_meter_are_merged(self):
        self.bus.start()
        self.broker.start()
        self.start()
        self.wait_opened()
        subscriber = self.subscriber()
        first, _ = telegrams("e450-two-lists", 12)
        octets, values = telegrams("e450-two-lists", 1)
        self.pty.send(first)
        meter = wait_for("a meter with an id", lambda: next(
            (m for m in self.bus.meters() if not m.startswith("unknown-")), None))
        subscriber.state(meter.lower(), lambda state: state["sequence"] == 12)
        self.pty.send(octets)
        state = subscriber.state(meter.lower(), lambda state: state["sequence"] == 13)
        said = values[-1]["readings"]
        self.assertEqual({name: state["readings"][name] for name in said}, said)
        self.assertIn("energy_import_t1", state["readings"])  # of the other list
        self.assertIn("energy_import_t1", state["ages"])
        self.assertFalse(set(state["ages"]) & set(said))

    def test_telegram_without_id_is_published_as_unknown(self):
        self.bus.start()
        self.broker.start()
        self.start(device=f"{self.pty.path},link=hdlc")
        self.wait_opened()
        subscriber = self.subscriber()
        # A clear DataNotification without date-time and without any id: energy register only.
        body = bytes.fromhex("0F 00 00 00 01 00 02 03 09 06 01 00 01 08 00 FF 06 00 00 32 89"
                             "02 02 0F 00 16 1E")
        self.pty.send(hdlc_frame(b"\xe6\xe7\x00" + body))
        name = wait_for("a meter", lambda: next(iter(self.bus.meters()), None))
        self.assertTrue(name.startswith("unknown-"), name)
        topic = "".join(c if c.isalnum() or c == "-" else "-" for c in name.lower())
        state = subscriber.state(topic)
        self.assertIsNone(state["time"])
        self.assertEqual(state["meter"], name)
        self.assertEqual(state["readings"], {"energy_import": 12.937})
        self.assertIsNone(state["authenticated"])


class Dribble:
    """Sends octets slowly while the body runs, so that the line is never silent, then the rest."""

    def __init__(self, line, octets):
        self.line, self.octets = line, octets
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._send)

    def _send(self):
        while len(self.octets) > 1 and not self.over.wait(0.1):
            self.line.send(self.octets[:1])
            self.octets = self.octets[1:]

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.line.send(self.octets)


class Failures(World):
    def start(self, *options, **named):
        self.start_daemon("--io", IO, *options, **named)

    def feed(self, counter=1000):
        """One good telegram; counters rise from call to call."""
        self.counter = getattr(self, "counter", counter) + 1
        octets, values = telegrams("kaifa-noe", 1, "--counter", str(self.counter))
        self.pty.send(octets)
        return values[0]["readings"]

    def test_nothing_is_there_at_start(self):
        self.write_key()
        self.pty.unplug()
        self.start()
        time.sleep(1)
        self.assertIsNone(self.daemon.poll())
        self.broker.start()
        self.bus.start()
        self.pty.plug()
        self.wait_opened()
        subscriber = self.subscriber()
        wait_for("the name on the bus", lambda: self.bus.objects())
        subscriber.wait("smartmeter/gateway/test/status", lambda text: text == "online")
        self.feed()
        subscriber.state(METER)
        wait_for("the meter", lambda: self.bus.meters().get(METER))

    def test_broker_killed_and_restarted(self):
        self.bus.start()
        self.broker.start()
        self.write_key()
        self.start()
        self.wait_opened()
        subscriber = self.subscriber()
        self.feed()
        subscriber.state(METER)
        self.broker.stop(signal.SIGKILL)
        said = self.feed()  # nobody takes it now; the newest state is kept
        wait_for("the daemon to notice", lambda: any(
            interfaces.get("org.smartmeterd1.Publisher", {}).get("State", {}).get("data")
            not in (None, "online") for interfaces in self.bus.objects().values()))
        self.broker.start()  # a fresh broker: nothing retained
        again = self.subscriber()
        state = again.state(METER)
        self.assertEqual(state["readings"]["energy_import"], said["energy_import"])
        again.wait("smartmeter/gateway/test/status", lambda text: text == "online")
        again.wait(f"smartmeter/{METER}/availability")
        again.wait(f"smartmeter/{METER}/info")

    def test_bus_killed_and_restarted(self):
        self.bus.start()
        self.broker.start()
        self.write_key()
        self.start()
        self.wait_opened()
        self.feed()
        wait_for("the meter", lambda: self.bus.meters().get(METER))
        self.bus.stop()
        self.bus.start()
        path = wait_for("the meter on the new bus", lambda: self.bus.meters().get(METER))
        said = self.feed()
        wait_for("the new value", lambda: self.bus.property(path, "Electricity", "EnergyImport")
                 == said["energy_import"])

    def test_port_hangs_up_and_returns(self):
        self.bus.start()
        self.broker.start()
        self.write_key()
        self.start()
        self.wait_opened()
        self.feed()
        path = wait_for("the meter", lambda: self.bus.meters().get(METER))
        self.pty.unplug()
        wait_for("the adapter to wait", lambda: self.bus.adapter_property("State") == "waiting")
        self.pty.plug()
        wait_for("the second opening", lambda: self.log_text().count(" opened") >= 2)
        said = self.feed()
        wait_for("the same meter's value", lambda: self.bus.property(
            path, "Electricity", "EnergyImport") == said["energy_import"])
        self.assertEqual(list(self.bus.meters()), [METER])

    def test_no_key_then_wrong_key_then_right_key(self):
        self.bus.start()
        self.broker.start()
        self.start()
        self.wait_opened()
        self.feed()
        wait_for("key-missing", lambda: self.bus.adapter_property("Problem") == "key-missing")
        self.write_key("FF" * 15 + "00")
        self.daemon.send_signal(signal.SIGHUP)
        wait_for("the reload", lambda: "read again" in self.log_text())
        self.feed()
        wait_for("key-wrong", lambda: self.bus.adapter_property("Problem") == "key-wrong")
        self.assertEqual(self.bus.meters(), {})
        self.write_key(TEST_KEY)
        self.assertIsNotNone(self.reload())
        self.feed()
        wait_for("the meter", lambda: self.bus.meters().get(METER))
        self.assertEqual(self.bus.adapter()["Problem"], "none")
        self.assertNotIn("FFFFFFFF", self.log_text().upper())

    def reload(self):
        done = subprocess.run(["busctl", f"--address={self.bus.address}", "call",
                               "org.smartmeterd1", "/org/smartmeterd1",
                               "org.smartmeterd1.Manager", "Reload"],
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
        return done if done.returncode == 0 else None

    def add_key(self, key, label):
        """As a person does it; the daemon reads its keys again."""
        done = subprocess.run(
            [SMARTMETERCTL, "key", "add", "house", "--label", label, "--root",
             str(self.directory / "root"), "--bus", self.bus.address], input=key,
            capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertIn("has read its keys again", done.stdout, done.stderr)

    def test_a_key_that_is_added_in_the_middle_of_a_telegram(self):
        """Each telegram has a key that the daemon gets once a part of it was received."""
        self.bus.start()
        self.config = self.directory / "root" / "etc" / "smartmeterd" / "smartmeterd.toml"
        (self.config.parent / "keys.d").mkdir(parents=True, mode=0o750)
        self.config.write_text("")
        self.start(mqtt=False)
        self.wait_opened()
        wait_for("the adapter", self.bus.adapter)
        whole, _ = telegrams("kaifa-noe")
        first_frame = 6 + whole[1]  # EN 13757-2: 68 L L 68, L octets, checksum, 16
        sent = 0
        for count, cut in enumerate((1, 100, first_frame, first_frame + 8), start=1):
            with self.subTest(cut=cut):
                key = f"{count:02X}" * 16
                octets, values = telegrams("kaifa-noe", 1, "--key", key, "--counter", str(count))
                self.pty.send(octets[:cut])
                wait_for("its first part", lambda: self.bus.adapter_property("BytesReceived") ==
                         sent + cut)
                with Dribble(self.pty, octets[cut:]):
                    self.add_key(key, f"number {count}")
                sent += len(octets)
                wait_for("the telegram", lambda: self.bus.adapter_property("TelegramsReceived") ==
                         count)
                path = self.bus.meters()[METER]
                self.assertEqual(self.bus.property(path, "Electricity", "EnergyImport"),
                                 values[0]["readings"]["energy_import"])
        self.assertEqual(self.bus.adapter_property("Errors"), {})

    def test_capture_holds_what_the_meter_sent(self):
        self.bus.start()
        self.start(mqtt=False)
        self.wait_opened()
        wait_for("the adapter", self.bus.adapter)
        stream = self.bus.open_capture()
        self.addCleanup(os.close, stream)
        sent, _ = telegrams("kaifa-noe", 3)
        self.pty.send(sent)
        captured = b""

        def receive():
            nonlocal captured
            with contextlib.suppress(BlockingIOError):
                captured += os.read(stream, 65536)
            return len(captured) >= len(sent)
        wait_for("what was sent", receive)
        self.assertEqual(captured, sent)
        stop(self.daemon)
        self.assertEqual(os.read(stream, 1), b"")  # it ends with the adapter

    def test_reload_with_a_mistake_changes_nothing(self):
        self.bus.start()
        self.write_key()
        self.start(mqtt=False)
        self.wait_opened()
        wait_for("the name on the bus", lambda: self.bus.objects())
        self.config.write_text("[gateway]\ninstanze = 1\n")
        self.assertIsNone(self.reload())
        self.assertRegex(self.log_text(), r"smartmeterd\.toml:2:\d+: ")
        self.feed()
        wait_for("the meter", lambda: self.bus.meters().get(METER))

    def test_topics_of_a_former_prefix_leave_at_a_reload(self):
        def configure(prefix, profiles):
            self.config.write_text(f'''[gateway]\ninstance = "test"\n[broker.main]
url = "{self.broker.url}"\nprefix = "{prefix}"\nprofiles = {profiles}\nvalues = true\n''')
        self.bus.start()
        self.broker.start()
        self.write_key()
        configure("old", '["smartmeterd"]')
        self.start(mqtt=False)
        self.wait_opened()
        self.feed()
        there = self.subscriber()
        words = ("state", "info", "availability", "value/energy_import")
        of_meter = [f"{METER}/{word}" for word in words]
        topics = [*of_meter, "gateway/test/status", "gateway/test/health"]
        for topic in topics:
            there.wait(f"old/{topic}", bool)
        configure("new", '["smartmeterd"]')
        self.assertIsNotNone(self.reload())
        for topic in topics:
            there.wait(f"old/{topic}", lambda payload: payload == "")
        there.wait("new/gateway/test/status", lambda payload: payload == "online")
        self.feed()
        for topic in topics:
            there.wait(f"new/{topic}", bool)
        discovery = "homeassistant/device/smartmeterd_gateway_test/config"
        there.wait(discovery, bool)
        configure("new", '["seed"]')
        self.assertIsNotNone(self.reload())
        for topic in of_meter:
            there.wait(f"new/{topic}", lambda payload: payload == "")
        there.wait(discovery, lambda payload: payload == "")
        there.wait("new/gateway/test/status", lambda payload: payload == "online")

    def test_wrong_authentication_key_then_good_telegram(self):
        self.bus.start()
        self.write_key(TEST_KEY, "00" * 15 + "01")
        self.start(mqtt=False)
        self.wait_opened()
        self.pty.send(telegrams("e450-pairs", 1, "--counter", "5")[0])
        wait_for("the problem", lambda: self.bus.adapter_property("Problem") ==
                 "authentication-key-wrong")
        self.write_key(TEST_KEY, TEST_AUTHENTICATION_KEY)
        self.assertIsNotNone(self.reload())
        self.pty.send(telegrams("e450-pairs", 1, "--counter", "6")[0])
        wait_for("a meter", lambda: self.bus.meters())

    def test_protection_once_seen_cannot_be_left_out(self):
        """Ciphertext without a tag can be altered; so can a telegram that is not encrypted."""
        self.bus.start()
        self.write_key(TEST_KEY, TEST_AUTHENTICATION_KEY)
        self.start(mqtt=False)
        self.wait_opened()
        self.pty.send(telegrams("e450-pairs", 1, "--counter", "5")[0])
        path = wait_for("a meter", lambda: next(iter(self.bus.meters().values()), None))
        before = self.bus.property(path, "Electricity", "PowerImport")
        forged = telegrams("e450-pairs", 3, "--counter", "6", "--security", "encrypted")[0]
        self.pty.send(forged)
        wait_for("the refusals", lambda: self.bus.adapter()["Errors"].get("decrypt", 0) >= 3)
        self.assertEqual(self.bus.property(path, "Electricity", "PowerImport"), before)
        self.assertEqual(self.bus.adapter()["TelegramsReceived"], 1)
        octets, values = telegrams("e450-pairs", 1, "--counter", "7")
        self.pty.send(octets)
        wait_for("the next good one", lambda: self.bus.adapter()["TelegramsReceived"] == 2)

    def test_replay_after_the_adapter_was_made_anew(self):
        self.bus.start()
        self.write_key()
        self.config.write_text(f'[adapter.main]\ndevice = "{self.pty.path}"\nlink = "mbus"\n')
        self.start(mqtt=False, device="/dev/null,link=mbus")
        self.wait_opened()
        self.pty.send(telegrams("kaifa-noe", 1, "--counter", "30")[0])
        wait_for("the meter", lambda: self.bus.meters().get(METER))
        self.config.write_text(f'[adapter.main]\ndevice = "{self.pty.path}"\n')
        opened = self.log_text().count(" opened")
        self.assertIsNotNone(self.reload())
        wait_for("the port", lambda: self.log_text().count(" opened") > opened)
        self.pty.send(telegrams("kaifa-noe", 1, "--counter", "29")[0])
        wait_for("the refusal", lambda: any(
            interfaces["org.smartmeterd1.Adapter"]["Errors"]["data"].get("replay") == 1
            for interfaces in self.bus.objects().values()
            if "org.smartmeterd1.Adapter" in interfaces))

    def test_cut_telegrams_are_a_problem_with_a_name(self):
        self.bus.start()
        self.write_key()
        self.start(mqtt=False)
        self.wait_opened()
        whole = telegrams("kaifa-noe", 1)[0]
        for _ in range(3):
            self.pty.send(whole[:200])
            time.sleep(2.5)  # longer than a telegram may pause
        wait_for("the problem", lambda: self.bus.adapter()["Problem"] == "bad-checksum")
        self.assertIn("damaged or cut", self.log_text())

    def test_a_counter_that_went_back_is_told_with_what_to_do(self):
        self.bus.start()
        self.write_key()
        self.start(mqtt=False)
        self.wait_opened()
        self.pty.send(telegrams("kaifa-noe", 1, "--counter", "5000")[0])
        wait_for("the meter", lambda: self.bus.meters().get(METER))
        self.pty.send(telegrams("kaifa-noe", 4, "--counter", "1")[0])
        wait_for("the problem", lambda: self.bus.adapter()["Problem"] == "replay")
        self.assertIn("accept_counter_reset", self.log_text())
        self.config.write_text("[gateway]\naccept_counter_reset = true\n")
        opened = self.log_text().count(" opened")
        self.assertIsNotNone(self.reload())
        wait_for("the port", lambda: self.log_text().count(" opened") > opened)
        self.pty.send(telegrams("kaifa-noe", 1, "--counter", "9")[0])
        wait_for("the telegram", lambda: self.bus.adapter()
                 and self.bus.adapter()["TelegramsReceived"] == 1)

    def test_one_bad_key_file_does_not_darken_the_others(self):
        self.bus.start()
        self.write_key()
        self.write_key(name="other.toml")
        (self.directory / "keys.d" / "other.toml").chmod(0o644)
        self.start(mqtt=False)
        self.wait_opened()
        self.assertIn("other.toml", self.log_text())
        self.feed()
        wait_for("the meter", lambda: self.bus.meters().get(METER))

    def test_garbage_cuts_and_replays_between_good_telegrams(self):
        self.bus.start()
        self.write_key()
        self.start(mqtt=False)
        self.wait_opened()
        first, _ = telegrams("kaifa-noe", 1, "--counter", "10")
        damaged = bytearray(telegrams("kaifa-noe", 1, "--counter", "11")[0])
        damaged[100] ^= 0x04
        second, values = telegrams("kaifa-noe", 1, "--counter", "12")
        self.pty.send(first + bytes(damaged) + os.urandom(300) + first + second[:90] + second)
        path = wait_for("the meter", lambda: self.bus.meters().get(METER))
        wait_for("the second telegram", lambda: self.bus.property(
            path, "Electricity", "EnergyImport") == values[0]["readings"]["energy_import"])
        errors = self.bus.adapter()["Errors"]
        self.assertGreaterEqual(errors.get("crc", 0), 1, errors)
        self.assertEqual(self.bus.adapter()["TelegramsReceived"], 2)

    def test_replay_baseline_outlives_a_restart(self):
        self.bus.start()
        self.write_key()
        self.start(mqtt=False)
        self.wait_opened()
        old = telegrams("kaifa-noe", 1, "--counter", "500")[0]
        self.pty.send(telegrams("kaifa-noe", 1, "--counter", "501")[0])
        wait_for("the meter", lambda: self.bus.meters().get(METER))
        self.daemon.send_signal(signal.SIGTERM)
        self.assertEqual(self.daemon.wait(LIMIT_S), 0)
        self.start(mqtt=False)
        self.wait_opened()
        self.pty.send(old)
        wait_for("the refusal", lambda: (self.bus.adapter_property("Errors") or {})
                 .get("replay", 0) == 1)
        self.assertEqual(self.bus.meters(), {})

    def test_silent_meter_goes_offline_and_comes_back(self):
        self.bus.start()
        self.broker.start()
        self.write_key()
        self.start()
        self.wait_opened()
        subscriber = self.subscriber()
        self.feed()
        self.feed()  # the second one gives the push interval: well under a second
        subscriber.wait_in_turn(f"smartmeter/{METER}/availability", "online", "offline")
        self.feed()
        subscriber.wait_in_turn(f"smartmeter/{METER}/availability", "online", "offline", "online")

    def test_end_is_announced(self):
        self.bus.start()
        self.broker.start()
        self.write_key()
        self.start()
        self.wait_opened()
        subscriber = self.subscriber()
        subscriber.wait("smartmeter/gateway/test/status", lambda text: text == "online")
        self.feed()
        subscriber.wait(f"smartmeter/{METER}/availability", lambda text: text == "online")
        info = subscriber.wait(f"smartmeter/{METER}/info", lambda text: "adapter" in text)
        self.daemon.send_signal(signal.SIGTERM)
        self.assertEqual(self.daemon.wait(LIMIT_S), 0)
        subscriber.wait("smartmeter/gateway/test/status", lambda text: text == "offline")
        subscriber.wait(f"smartmeter/{METER}/availability", lambda text: text == "offline")
        # How the meter is read is as true as before.
        self.assertEqual(subscriber.latest[f"smartmeter/{METER}/info"], info)

    def test_end_waits_for_no_broker_that_hangs(self):
        self.broker.start()
        self.start(bus=False)
        subscriber = self.subscriber()
        subscriber.wait("smartmeter/gateway/test/status", lambda text: text == "online")
        self.broker.process.send_signal(signal.SIGSTOP)
        try:
            self.daemon.send_signal(signal.SIGTERM)
            self.assertEqual(self.daemon.wait(LIMIT_S), 0)
        finally:
            self.broker.process.send_signal(signal.SIGCONT)

    def test_death_is_announced(self):
        self.broker.start()
        self.start(bus=False)
        subscriber = self.subscriber()
        subscriber.wait("smartmeter/gateway/test/status", lambda text: text == "online")
        self.daemon.kill()
        subscriber.wait("smartmeter/gateway/test/status", lambda text: text == "offline")

    def test_tcp_input(self):
        """As ser2net offers it; the connection is lost once."""
        import socket
        self.bus.start()
        self.write_key()
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            self.start(mqtt=False, device=f"tcp://127.0.0.1:{port},link=mbus")
            server.settimeout(LIMIT_S)
            connection, _ = server.accept()
            connection.sendall(telegrams("kaifa-noe", 1, "--counter", "20")[0])
            path = wait_for("the meter", lambda: self.bus.meters().get(METER))
            connection.close()
            connection, _ = server.accept()
            octets, values = telegrams("kaifa-noe", 1, "--counter", "21")
            connection.sendall(octets)
            wait_for("the value", lambda: self.bus.property(path, "Electricity", "EnergyImport")
                     == values[0]["readings"]["energy_import"])
            connection.close()


class CommandLine(World):
    def run_daemon(self, *options):
        return subprocess.run([SMARTMETERD, *options], capture_output=True, text=True,
                              timeout=LIMIT_S, check=False)

    def test_check(self):
        self.write_key()
        done = self.run_daemon("--check", "--config", str(self.config))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 key", done.stdout)

    def test_mistakes_are_named(self):
        self.config.write_text("[gateway]\n\ninstanze = 1\n")
        done = self.run_daemon("--check", "--config", str(self.config))
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"smartmeterd\.toml:3:1: .*instanze")
        for options in (["--nonsense"], ["--io", "magic"], ["--device", "/dev/x,line=fast"],
                        ["--mqtt", "http://x"], ["--config", "/nonexistent.toml"]):
            done = self.run_daemon("--check", *options)
            self.assertEqual(done.returncode, 2, (options, done.stderr))
            self.assertTrue(done.stderr.strip(), options)

    def test_readable_key_file_is_refused(self):
        self.write_key()
        path = self.directory / "keys.d" / "test.toml"
        path.chmod(0o644)
        done = self.run_daemon("--check", "--config", str(self.config))
        self.assertEqual(done.returncode, 2)
        self.assertIn(str(path), done.stderr)
        self.assertNotIn(TEST_KEY, done.stderr)

    def check(self, text, *command):
        self.config.write_text(text)
        return subprocess.run([*command, SMARTMETERD, "--check", "--config", str(self.config)],
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)

    def test_password_files(self):
        file = self.directory / "password"
        text = f'[broker.b]\nurl = "mqtt://h"\nuser = "u"\npassword_file = "{file}"\n'
        place = rf"smartmeterd\.toml:4:17: broker\.b\.password_file: {file}: "
        for make, words in ((lambda: None, "No such file"), (file.mkdir, "expected a regular file"),
                            (file.touch, "expected the password on its first line"),
                            (lambda: file.write_text("\nx"), "expected the password")):
            if file.is_dir():
                file.rmdir()
            make()
            done = self.check(text)
            self.assertEqual(done.returncode, 2, words)
            self.assertRegex(done.stderr, place + words)
        file.write_text("hunter2\n")
        for mode, words in ((0o640, r"\A\Z"), (0o666, place + "other users may read or change it")):
            file.chmod(mode)
            done = self.check(text)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stderr, words)
            self.assertNotIn("hunter2", done.stderr)

    def test_who_may_not_read_is_told_of_sudo(self):
        command = [] if os.geteuid() != 0 else [
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        self.directory.chmod(0o755)
        keys = self.directory / "keys.d"
        keys.chmod(0o755)
        file = self.directory / "password"
        file.write_text("hunter2\n")
        file.chmod(0)
        done = self.check(
            f'[broker.b]\nurl = "mqtt://h"\nuser = "u"\npassword_file = "{file}"\n', *command)
        if "smartmeterd: " not in done.stderr:
            self.skipTest("another user cannot run the program here")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("run: sudo smartmeterd --check", done.stderr)
        keys.chmod(0)
        self.addCleanup(keys.chmod, 0o700)
        done = self.check("", *command)
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"{keys}: Permission denied for this user, run: sudo smartmeterd --check",
                      done.stderr)

    def test_password_in_the_url_is_refused_and_not_shown(self):
        done = self.run_daemon("--check", "--mqtt", "mqtt://user:secret123@host")
        self.assertEqual(done.returncode, 2)
        self.assertNotIn("secret123", done.stderr + done.stdout)


class Alive(World):
    """--alive in the place of a supervisor, as a container's health check."""

    def setUp(self):
        super().setUp()
        self.here = os.listdir(os.curdir)
        self.config.write_text("")

    def alive(self, usec, keep=False, **more):
        environment = {"NOTIFY_SOCKET": str(self.directory / "notify"), "WATCHDOG_USEC": usec}
        if not keep:
            (self.directory / "notify").unlink(missing_ok=True)
        return subprocess.run([SMARTMETERD, "--alive"], env=environment | more, text=True,
                              capture_output=True, timeout=LIMIT_S, check=False)

    def test_a_sign_of_life(self):
        """What is said besides is none; the daemon's own is seen in tests/container."""
        def speak():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
                for text in (b"STATUS=1 adapter", b"READY=1\nWATCHDOG=1"):
                    wait_for("who listens", lambda: daemon.connect_ex(
                        str(self.directory / "notify")) == 0)
                    daemon.send(text)
        daemon = threading.Thread(target=speak)
        daemon.start()
        self.assertEqual(self.alive("60000000").returncode, 0)
        daemon.join()

    def test_none(self):
        done = self.alive("1000000")
        self.assertEqual((done.returncode, done.stderr),
                         (1, "smartmeterd: error: no sign of life within 1 s\n"))

    def test_nobody_would_be_told(self):
        for more, words in (
                ({"WATCHDOG_USEC": ""}, "WATCHDOG_USEC"),
                ({"WATCHDOG_USEC": "86400000001"}, "WATCHDOG_USEC: expected microseconds"),
                ({"WATCHDOG_USEC": "18446744073709551615"}, "WATCHDOG_USEC: expected microseconds"),
                ({"NOTIFY_SOCKET": "/nix/notify"}, "No such file or directory"),
                ({"NOTIFY_SOCKET": "/" + "x" * 200}, "File name too long"),
                ({"NOTIFY_SOCKET": ""}, "expected an absolute path"),
                ({"NOTIFY_SOCKET": "@"}, "expected an absolute path"),
                ({"NOTIFY_SOCKET": "notify"}, "expected an absolute path"),
                ({"NOTIFY_SOCKET": "vsock:2:1234"}, "expected an absolute path"),
                ({"NOTIFY_SOCKET": str(self.config)}, "is no socket")):
            with self.subTest(more):
                done = self.alive("1000000", **more)
                self.assertEqual(done.returncode, 1)
                self.assertIn("NOTIFY_SOCKET", done.stderr)
                self.assertIn(words, done.stderr)
                self.assertEqual(os.listdir(os.curdir), self.here)

    def test_the_file_of_the_socket_goes(self):
        path = self.directory / "notify"
        self.alive("1000")
        self.assertFalse(path.exists())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as killed:
            killed.bind(str(path))
        done = self.alive("1000", keep=True)
        self.assertIn("no sign of life", done.stderr)
        self.assertFalse(path.exists())

    def test_another_one_listens(self):
        for name in (str(self.directory / "notify"), f"@smartmeterd-test-{os.getpid()}"):
            with self.subTest(name), \
                    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
                other.bind(name.replace("@", "\0"))
                done = self.alive("200000", keep=True, NOTIFY_SOCKET=name)
                self.assertEqual(done.returncode, 1)
                self.assertIn("another one listened there", done.stderr)
        self.assertTrue((self.directory / "notify").is_socket())

    def start_alive(self):
        environment = {"NOTIFY_SOCKET": str(self.directory / "notify"),
                       "WATCHDOG_USEC": "86400000000"}
        process = subprocess.Popen([SMARTMETERD, "--alive"], env=environment,
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_two_at_once_take_turns(self):
        processes = [self.start_alive(), self.start_alive()]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            def told():
                with contextlib.suppress(OSError):
                    daemon.sendto(b"WATCHDOG=1", str(self.directory / "notify"))
                return all(process.poll() is not None for process in processes)
            wait_for("the end of both", told)
        self.assertEqual([process.returncode for process in processes], [0, 0])

    def test_it_can_be_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start_alive()
            wait_for("the socket", (self.directory / "notify").is_socket)
            process.send_signal(number)
            self.assertEqual(process.wait(LIMIT_S), -number)
            (self.directory / "notify").unlink()


def crc16_x25(octets):
    crc = 0xFFFF
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ 0x8408 if crc & 1 else crc >> 1
    return (crc ^ 0xFFFF).to_bytes(2, "little")


def hdlc_frame(information):
    """One type 3 frame from 1/17 to 103."""
    length = 2 + 1 + 2 + 1 + 2 + len(information) + 2
    header = (0xA000 | length).to_bytes(2, "big") + bytes.fromhex("CF 02 23 13")
    body = header + crc16_x25(header) + information
    return b"\x7e" + body + crc16_x25(body) + b"\x7e"


if __name__ == "__main__":
    tap.main()

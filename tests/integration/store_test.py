# SPDX-License-Identifier: Apache-2.0
"""Store and forward: a broker that was away is told afterwards, whoever was killed meanwhile.

Each case runs on both back ends of the loop (SMARTMETERD_IO names one). A reading is kept once a
minute for each meter: many meters on one line stand for many minutes of one.
"""

import datetime
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from harness import LIMIT_S, World, stop, wait_for

IO = os.environ.get("SMARTMETERD_IO", "auto")
# The file is written every 30 s.
WRITE_LIMIT_S = 30 + LIMIT_S


def p1_telegram(meter, energy_wh, second):
    """DSMR 5.0.2 section 5.2, with its CRC-16 from '/' to '!'."""
    text = ("/ISK5\\2M550T-1012\r\n\r\n1-3:0.2.8(50)\r\n"
            f"0-0:1.0.0(261120{second // 3600:02}{second // 60 % 60:02}{second % 60:02}W)\r\n"
            f"0-0:96.1.1({meter.encode().hex()})\r\n"
            f"1-0:1.8.1({energy_wh / 1000:010.3f}*kWh)\r\n1-0:1.7.0(00.545*kW)\r\n!")
    crc = 0
    for octet in text.encode():
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ 0xa001 if crc & 1 else crc >> 1
    return f"{text}{crc:04X}\r\n".encode()


class Store(World):
    def setUp(self):
        super().setUp()
        self.store = True
        self.state = self.directory / "state"
        self.sent = []  # (meter, energy in kWh, meter time, earliest, latest)

    def start(self):
        """The daemon, with a broker that keeps what it misses; waits for its port."""
        self.config.write_text(
            f'[gateway]\ninstance = "test"\n[broker.home]\nurl = "{self.broker.url}"\n'
            f"store = {'true' if self.store else 'false'}\n")
        (self.directory / "log").unlink(missing_ok=True)
        # Nothing is looked for on this line, so that nothing found is written either.
        self.start_daemon("--io", IO, mqtt=False, bus=False,
                          device=f"{self.pty.path},line=115200-8N1,link=p1")
        self.wait_opened()

    def send(self, count):
        """A telegram of each of `count` new meters; returns when they were read."""
        first = len(self.sent)
        for number in range(first, first + count):
            earliest = time.time()
            self.pty.send(p1_telegram(f"E{number:07}", 1_000_000 + number, 43200 + number))
            self.sent.append((f"e{number:07}", round(1000 + number / 1000, 3),
                              f"2026-11-20T{12 + number // 3600:02}:{number // 60 % 60:02}:"
                              f"{number % 60:02}", earliest, None))
        last = f"E{first + count - 1:07}"
        wait_for("the last meter", lambda: last in self.log_text())
        self.sent[first:] = [(*reading[:4], time.time()) for reading in self.sent[first:]]

    def listen(self):
        """Everything that is said from now on."""
        subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.broker.port), "-r",
                        "-t", "canary", "-m", "sings"], check=True, timeout=LIMIT_S)
        subscriber = self.subscriber()
        subscriber.wait("canary")
        return subscriber

    def return_broker(self):
        """The broker is back, and somebody listens before the daemon is told."""
        self.daemon.send_signal(signal.SIGSTOP)
        self.broker.start()
        subscriber = self.listen()
        self.daemon.send_signal(signal.SIGCONT)
        return subscriber

    def rows(self):
        """How many readings the file holds; 0 while there is none."""
        try:
            database = sqlite3.connect(f"file:{self.state / 'state.db'}?mode=ro", uri=True)
            try:
                return database.execute("SELECT count(*) FROM backlog").fetchone()[0]
            finally:
                database.close()
        except sqlite3.OperationalError:
            return 0

    def check_file(self):
        database = sqlite3.connect(self.state / "state.db")
        self.assertEqual(database.execute("PRAGMA quick_check").fetchone(), ("ok",))
        database.close()
        self.assertEqual(list(self.state.glob("*corrupt*")), [])

    @staticmethod
    def messages(*subscribers):
        """(topic, payload) as heard, the subscribers one after the other."""
        return [message[1:] for subscriber in subscribers
                for message in list(subscriber.messages.queue)]

    def histories(self, *subscribers):
        """Meter and document of each history message, the first time it is heard."""
        first = {}
        for topic, payload in self.messages(*subscribers):
            if topic.endswith("/history"):
                first.setdefault((topic.split("/")[1], payload), None)
        return [(meter, json.loads(payload)) for meter, payload in first]

    def wait_for_histories(self, count, *subscribers):
        wait_for(f"{count} readings", lambda: len(self.histories(*subscribers)) >= count)

    def check(self, *subscribers):
        """All that was sent was heard, in order, as it was when it was sent."""
        self.wait_for_histories(len(self.sent), *subscribers)
        heard = self.histories(*subscribers)
        self.assertEqual([meter for meter, _ in heard], [reading[0] for reading in self.sent])
        for (_, document), (meter, energy, meter_time, earliest, latest) in zip(heard, self.sent):
            self.assertEqual(document["profile"], "smartmeterd/1")
            self.assertEqual(document["meter"].lower(), meter)
            self.assertEqual(document["time"][:19], meter_time)  # without the zone's offset
            self.assertEqual(document["readings"]["energy_import_t1"], energy)
            self.assertNotIn("power_import", document["readings"])
            received = datetime.datetime.fromisoformat(
                document["received"].replace("Z", "+00:00")).timestamp()
            self.assertTrue(earliest - 1 <= received <= latest + 1, (earliest, received, latest))

    def test_a_broker_that_was_killed_is_told(self):
        self.broker.start()
        self.start()
        listener = self.listen()
        listener.wait("smartmeter/gateway/test/status", lambda text: text == "online")
        self.broker.stop(signal.SIGKILL)
        wait_for("the loss", lambda: "connection lost" in self.log_text())
        self.send(100)
        subscriber = self.return_broker()
        self.check(subscriber)
        # Live first: what is retained was there before the first old reading, and stays the newest.
        topics = [topic for topic, _ in self.messages(subscriber)]
        history = [at for at, topic in enumerate(topics) if topic.endswith("/history")]
        states = [at for at, topic in enumerate(topics) if topic.endswith("/state")]
        self.assertEqual(len(states), 100)
        self.assertLess(states[-1], history[0])
        # Now that the broker is there, nothing is kept, and what is new is live at once.
        self.send(5)
        subscriber.wait("smartmeter/e0000104/state")
        self.assertEqual(len(self.histories(subscriber)), 100)
        health = json.loads(subscriber.wait(
            "smartmeter/gateway/test/health",
            lambda text: "stored" in json.loads(text)["queues"]["mqtt"]))
        self.assertEqual(health["queues"]["mqtt"]["stored_dropped"], 0)
        # Old readings are not retained.
        late = self.listen()
        late.wait("smartmeter/e0000104/state")
        self.assertEqual(self.histories(late), [])

    def test_whoever_is_killed_nothing_that_was_written_is_lost(self):
        self.start()
        self.send(150)
        wait_for("the file to be written", lambda: self.rows() == 150, WRITE_LIMIT_S)
        stop(self.daemon, signal.SIGKILL)
        self.check_file()
        self.start()
        subscribers = [self.return_broker()]
        self.wait_for_histories(40, *subscribers)
        stop(self.daemon, signal.SIGKILL)
        self.assertLess(len(self.histories(*subscribers)), 150)
        self.check_file()
        self.start()
        self.check(*subscribers)
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(LIMIT_S)
        # What the broker had not acknowledged yet, 20 at most, will come twice.
        self.assertLessEqual(self.rows(), 20)

    def test_a_restart_keeps_what_waits(self):
        self.start()
        self.send(30)
        stop(self.daemon)
        self.assertEqual(self.rows(), 30)
        self.start()
        self.assertIn("30 readings of a former outage", self.log_text())
        self.send(30)
        self.check(self.return_broker())

    def test_a_directory_that_is_unusable_at_first_stops_nothing(self):
        self.state.rmdir()
        self.state.write_text("a file")
        self.start()
        self.assertIn("state.db: unable to open database file", self.log_text())
        self.send(3)
        self.state.unlink()
        wait_for("the database", lambda: "state.db: written again" in self.log_text())
        self.check(self.return_broker())

    def test_without_store_nothing_is_kept(self):
        self.store = False
        self.start()
        wal = self.state / "state.db-wal"
        size = wal.stat().st_size
        self.send(30)
        self.assertEqual(wal.stat().st_size, size)
        stop(self.daemon)
        self.assertEqual(self.rows(), 0)
        self.start()
        subscriber = self.return_broker()
        subscriber.wait("smartmeter/gateway/test/health")
        self.assertEqual(self.histories(subscriber), [])


if __name__ == "__main__":
    tap.main()

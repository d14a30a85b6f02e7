# SPDX-License-Identifier: Apache-2.0
"""A real InfluxDB with what telegraf, told by daemon/doc/influxdb.md, makes of real states.

telegraf itself is not in Debian: class Telegraf does what its sources say of the settings that the
page uses, and refuses any other.
"""

import contextlib
import datetime
import fnmatch
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from consumer import (House, LIMIT_S, block, blocks, json, net_power, page, total,  # noqa: E402
                      wait_for)
import tap  # noqa: E402
from harness import free_port, stop  # noqa: E402

PAGE = "influxdb.md"
TELEGRAF = "# /etc/telegraf/telegraf.d/smartmeter.conf"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
FAMILIES = ("kaifa-noe", "dsmr-5", "sml-emh", "e450-pairs", "kamstrup")

INFLUXD_CONFIG = """reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{directory}/meta"
[data]
dir = "{directory}/data"
wal-dir = "{directory}/wal"
query-log-enabled = false
[http]
bind-address = "127.0.0.1:{http}"
log-enabled = false
"""


def microseconds(text):
    """Since 1970, of an RFC 3339 time."""
    return (datetime.datetime.fromisoformat(text) - EPOCH) // datetime.timedelta(microseconds=1)


class Telegraf:
    """mqtt_consumer with json_v2, of one configuration."""

    CONSUMER = {"servers", "topics", "username", "password", "client_id", "qos",
                "persistent_session", "topic_tag", "data_format", "json_v2"}
    PARSER = {"measurement_name", "timestamp_path", "timestamp_format", "tag", "object"}

    def __init__(self, text):
        (self.consumer,) = tomllib.loads(text)["inputs"]["mqtt_consumer"]
        (self.parser,) = self.consumer["json_v2"]
        (self.object,) = self.parser["object"]
        unknown = (set(self.consumer) - self.CONSUMER) | (set(self.parser) - self.PARSER)
        assert not unknown, unknown
        assert self.consumer["data_format"] == "json_v2"
        assert self.parser["timestamp_format"] == "rfc3339"
        assert self.object["disable_prepend_keys"]

    def reads(self, topic):
        return any(fnmatch.fnmatchcase(topic, wanted.replace("+", "*")) and
                   topic.count("/") == wanted.count("/") for wanted in self.consumer["topics"])

    def line(self, payload):
        """The line protocol of one message; KeyError where a path leads nowhere."""
        message = json.loads(payload)
        tags = [f"{tag['path']}={escaped(message[tag['path']])}" for tag in self.parser["tag"]]
        fields = [f"{escaped(name)}={field(value)}"
                  for name, value in message[self.object["path"]].items()
                  if name not in self.object["excluded_keys"]]
        at = microseconds(message[self.parser["timestamp_path"]]) * 1000
        return f"{','.join([self.parser['measurement_name'], *tags])} {','.join(fields)} {at}"


def escaped(text):
    return re.sub(r"([,= ])", r"\\\1", text)


def field(value):
    """Every number of JSON is a float to telegraf."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(float(value))


class Relay:
    """A way to the broker that can be cut, while the broker and all its other clients stay."""

    def __init__(self, target):
        self.target = target
        self.port = free_port()
        self.server = None
        self.pairs = []

    def open(self):
        self.server = socket.create_server(("127.0.0.1", self.port), reuse_port=True)
        threading.Thread(target=self._accept, args=(self.server,), daemon=True).start()

    def cut(self):
        with contextlib.suppress(OSError):  # wakes who accepts
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for end in [end for pair in self.pairs for end in pair]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.pairs = []

    def _accept(self, server):
        with contextlib.suppress(OSError):
            while True:
                pair = server.accept()[0], socket.create_connection(("127.0.0.1", self.target))
                self.pairs.append(pair)
                for one, other in (pair, pair[::-1]):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one, other):
        with contextlib.suppress(OSError):
            while octets := one.recv(4096):
                other.sendall(octets)
            other.shutdown(socket.SHUT_RDWR)


class Influx:
    """An influxd on loopback that tells nobody of itself."""

    def __init__(self, directory):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        directory.mkdir()
        self.log = directory / "log"
        self.config = directory / "influxdb.conf"
        self.config.write_text(INFLUXD_CONFIG.format(directory=directory, http=self.port,
                                                     rpc=free_port()))

    def start(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["influxd", "-config", str(self.config)],
                                            stdout=log, stderr=log)
        wait_for("influxd", self.answers)

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"influxd ended:\n{self.log.read_text()}")
        try:
            return self.ask("/ping") is not None
        except urllib.error.URLError:
            return False

    def ask(self, path, body=None):
        with urllib.request.urlopen(self.url + path, body, timeout=LIMIT_S) as answer:
            return answer.read()

    def query(self, text, epoch="u"):
        """[(time, …)] by the series' tags."""
        parameters = urllib.parse.urlencode({"db": "smartmeter", "epoch": epoch, "q": text})
        answer = json.loads(self.ask("/query?" + parameters, b""))
        assert "error" not in json.dumps(answer), answer
        return [row for series in answer["results"][0].get("series", ())
                for row in series["values"]]

    def write(self, lines):
        self.ask("/write?db=smartmeter&precision=ns", "\n".join(lines).encode())


@unittest.skipUnless(shutil.which("influxd"), "no influxd: tools/packages, consumers")
class Stored(House):
    def setUp(self):
        super().setUp()
        self.influx = Influx(self.directory / "influx")
        self.influx.start()
        self.addCleanup(stop, self.influx.process)
        self.influx.query("CREATE DATABASE smartmeter")
        self.telegraf = Telegraf(block(PAGE, TELEGRAF))

    def grafana(self, title, meter, start_us, end_us, interval="10s"):
        """Grafana's query of that title, its variables put in as Grafana does."""
        (text,) = [text for text in blocks(PAGE, "sql") if text.startswith(f"-- {title}")]
        text = text.partition("\n")[2].replace("METER", meter).replace("GAS", meter)
        text = text.replace("$timeFilter", f"time >= {start_us}u AND time <= {end_us}u")
        return self.influx.query(text.replace("$__interval", interval).strip())

    def test_values_and_times_come_back(self):
        self.broker.start()
        self.start_house(*FAMILIES)
        subscriber = self.subscriber()
        said = {family: self.send(family) for family in FAMILIES}
        for meter in said.values():
            subscriber.state(meter.slug)
        read = {topic: payload for topic, payload in list(subscriber.latest.items())
                if self.telegraf.reads(topic)}
        self.assertGreater(len(read), len(FAMILIES))  # those behind P1, too
        self.influx.write([self.telegraf.line(payload) for payload in read.values()])
        for payload in read.values():
            state = json.loads(payload)
            for name, value in state["readings"].items():
                rows = self.influx.query(f'SELECT "{name}" FROM "smartmeter" '
                                         f"WHERE \"meter\" = '{state['meter']}'")
                wanted = [] if name in self.telegraf.object["excluded_keys"] else [
                    [microseconds(state["received"]), value]]
                self.assertEqual(rows, wanted, f"{state['meter']} {name}")
        # What the meters said, and not only what the states say.
        for meter in said.values():
            state = json.loads(subscriber.latest[f"smartmeter/{meter.slug}/state"])
            at = microseconds(state["received"])
            self.assertEqual(
                [row[1] for row in self.grafana("Power", state["meter"], at - 1, at + 1)],
                [net_power(meter.values)])
            if total(meter.values, "energy_import") is not None:
                rows = self.influx.query(f"SELECT last(\"energy_import\") FROM \"smartmeter\" "
                                         f"WHERE \"meter\" = '{state['meter']}'")
                self.assertEqual([row[1] for row in rows], [total(meter.values, "energy_import")])
        # A telegram that is read twice is one point.
        self.influx.write([self.telegraf.line(payload) for payload in read.values()])
        self.assertEqual(self.influx.query('SELECT count("power_net") FROM "smartmeter"')[0][1],
                         len(FAMILIES))

    def test_what_an_outage_held_back_has_its_own_time(self):
        self.broker.start()
        relay = Relay(self.broker.port)
        relay.open()
        self.addCleanup(relay.cut)
        self.start_house("dsmr-5", broker=f'url = "mqtt://127.0.0.1:{relay.port}"\nstore = true')
        subscriber = self.subscriber()
        subscriber.wait("smartmeter/gateway/cellar/status", lambda text: text == "online")
        relay.cut()
        subscriber.wait("smartmeter/gateway/cellar/status", lambda text: text == "offline")
        before = datetime.datetime.now(datetime.timezone.utc)
        meter = self.send("dsmr-5")
        wait_for("the meter", lambda: f"meter {meter.slug.upper()} found" in self.log_text())
        after = datetime.datetime.now(datetime.timezone.utc)
        relay.open()
        topic = f"smartmeter/{meter.slug}/history"
        history = subscriber.wait(topic)
        self.assertTrue(self.telegraf.reads(topic))
        self.influx.write([self.telegraf.line(history)])
        for tariff in ("energy_import_t1", "energy_import_t2"):
            rows = self.influx.query(f'SELECT "{tariff}" FROM "smartmeter" '
                                     f"WHERE \"meter\" = '{meter.slug.upper()}'")
            self.assertEqual([row[1] for row in rows], [meter.values[tariff]])
            self.assertLessEqual(microseconds(before.isoformat()), rows[0][0])
            self.assertLessEqual(rows[0][0], microseconds(after.isoformat()))

    def test_energy_of_each_day(self):
        """The states of three days, 00:30 to 23:30 of Vienna, and the kWh between them."""
        hour = 3600 * 10**6
        start = microseconds("2026-11-20T00:30:00+01:00")
        lines = []
        for count in range(72):
            at = EPOCH + datetime.timedelta(microseconds=start + count * hour)
            state = {"meter": "1KFM0200169986", "link": "mbus", "received": at.isoformat(),
                     "readings": {"energy_import": round(100 + 0.25 * count, 3)}}
            lines.append(self.telegraf.line(json.dumps(state)))
        self.influx.write(lines)
        rows = self.grafana("Energy of each day", "1KFM0200169986", start, start + 71 * hour)
        self.assertEqual([row[1] for row in rows], [6, 6])
        self.assertEqual([row[0] for row in rows],
                         [microseconds(f"2026-11-{day}T00:00:00+01:00") for day in (21, 22)])

    def test_what_the_bridge_s_telegraf_reads(self):
        """home/smart_meter/json has the Kaifa bridge's twelve keys and a time, for a meter that
        sends them all."""
        self.broker.start()
        self.start_house("kaifa-tinetz", broker='profiles = ["smartmeterd", "seed"]')
        subscriber = self.subscriber()
        meter = self.send("kaifa-tinetz")
        message = json.loads(subscriber.wait("home/smart_meter/json"))
        self.assertRegex(message["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        keys = [f"{kind}_{way}" for kind in ("energy", "power", "reactive_energy")
                for way in ("in", "out")]
        keys += [f"{kind}_l{phase}" for kind in ("voltage", "current") for phase in (1, 2, 3)]
        self.assertEqual(set(message), {"timestamp", *keys})
        described = re.sub(r"`(\w+_l)1` … `l3`", r"`\g<1>1` `\g<1>2` `\g<1>3`", page(PAGE))
        for key in keys:
            self.assertIn(f"`{key}`", described)
        names = {"in": "import", "out": "export"}
        for key in keys:
            kind, _, which = key.rpartition("_")
            self.assertEqual(message[key], meter.values[f"{kind}_{names.get(which, which)}"], key)
        # As integers, which is how the bridge's configuration has the energies.
        self.influx.write([f"smart_meter WirkenergieBezug={int(message['energy_in'])}i "
                           f"{microseconds(message['timestamp']) * 1000}"])
        rows = self.influx.query('SELECT "WirkenergieBezug" FROM "smart_meter"', epoch="s")
        self.assertEqual(rows, [[microseconds(message["timestamp"]) // 10**6,
                                 int(meter.values["energy_import"])]])


class Form(unittest.TestCase):
    def test_every_block_of_toml_can_be_read(self):
        for text in blocks(PAGE, "toml"):
            self.assertIsInstance(tomllib.loads(text), dict)

    def test_telegraf_s_tables(self):
        telegraf = Telegraf(block(PAGE, TELEGRAF))
        self.assertTrue(telegraf.reads("smartmeter/1kfm0200169986/state"))
        self.assertTrue(telegraf.reads("smartmeter/1kfm0200169986/history"))
        for topic in ("smartmeter/x/info", "smartmeter/gateway/cellar/status",
                      "smartmeter/gateway/cellar/raw/a"):
            self.assertFalse(telegraf.reads(topic), topic)


if __name__ == "__main__":
    tap.main()

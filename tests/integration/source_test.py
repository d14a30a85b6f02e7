# SPDX-License-Identifier: Apache-2.0
"""Messages of other gateways on a real broker, read by a real daemon.

What goes in was written down by the gateways' makers, or is sent by metersim, which says what is in
it; what comes out is asked of the bus and of the broker. Each case runs on both back ends of the
loop (SMARTMETERD_IO names one).
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from harness import (CORPUS, LIMIT_S, METERSIM, OTHER_KEY, SMARTMETERD, TEST_AUTHENTICATION_KEY,
                     TEST_KEY, Broker, Bus, Pty, Subscriber, World, free_port, stop, telegrams,
                     wait_for)

IO = os.environ.get("SMARTMETERD_IO", "auto")
RAW = "smartmeter/gateway/there/raw/meter"


def reads_json():
    """A build without simdjson refuses such a source, and says why."""
    with tempfile.TemporaryDirectory() as directory:
        config = pathlib.Path(directory) / "smartmeterd.toml"
        config.write_text('[broker.main]\nurl = "mqtt://localhost"\nrole = "both"\n'
                          '[source.house]\nbroker = "main"\nformat = "gplug"\n')
        done = subprocess.run([SMARTMETERD, "--check", "--config", str(config)],
                              capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return True
    refusal = ('[source.house]: this smartmeterd was built without simdjson and reads no JSON, '
               'expected format = "raw"')
    assert done.returncode == 2 and refusal in done.stderr, done.stderr
    return False


needs_json = unittest.skipUnless(reads_json(), "built without simdjson")


def slug(text):
    return re.sub("[^a-z0-9-]", "-", text.lower())


def encoded(name):
    """As a level of an object path: sd_bus_path_encode(3)."""
    return re.sub("^[0-9]|[^A-Za-z0-9]", lambda found: f"_{ord(found[0]):02x}", name)


def publish(broker, topic, payload, *options, retain=False):
    """As QoS 1; `options` are mosquitto_pub's."""
    payload = payload.encode() if isinstance(payload, str) else payload
    subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-V", "5", "-q",
                    "1", "-t", topic, "-s", *(["-r"] if retain else []), *options],
                   input=payload, check=True, timeout=LIMIT_S)


def simulate(broker, family, *options, count=1):
    """metersim publishes telegrams of a family, one a message; what they say."""
    done = subprocess.run(
        [METERSIM, "run", family, "--mqtt", broker.url, "--count", str(count), "--fast",
         "--print-values", *options], capture_output=True, text=True, check=True, timeout=LIMIT_S)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


class Node:
    """A daemon with directory, configuration, keys and bus of its own."""

    def __init__(self, test, name, config="", options=(), keys=()):
        self.test, self.name, self.options = test, name, options
        self.directory = test.directory / name
        (self.directory / "state").mkdir(parents=True)
        (self.directory / "keys.d").mkdir(mode=0o750)
        self.config = self.directory / "smartmeterd.toml"
        self.config.write_text(config)
        if keys:
            self.write_key(*keys)
        self.bus = Bus(self.directory)
        test.addCleanup(self.bus.stop)
        self.bus.start()
        self.start()

    def write_key(self, encryption, authentication=None):
        path = self.directory / "keys.d" / "test.toml"
        text = f'[[key]]\nmeter = "*"\nencryption = "{encryption}"\n'
        if authentication:
            text += f'authentication = "{authentication}"\n'
        path.write_text(text)
        path.chmod(0o640)

    def start(self):
        log = open(self.directory / "log", "ab")
        self.test.addCleanup(log.close)
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("JOURNAL_STREAM", "NOTIFY_SOCKET")}
        self.process = subprocess.Popen(
            [SMARTMETERD, "--config", str(self.config), "--bus", self.bus.address, "--io", IO,
             "--state", str(self.directory / "state"), "--log-level", "debug", *self.options],
            stderr=log, stdout=log, env=environment)
        self.test.addCleanup(lambda: self.test.logs.append(f"{self.name}\n{self.log()}"))
        self.test.addCleanup(stop, self.process)

    def log(self):
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def reload(self):
        before = self.log().count("read again")
        self.process.send_signal(signal.SIGHUP)
        wait_for("the reload", lambda: self.log().count("read again") > before)

    def adapter(self, name):
        """The properties of an adapter, or None."""
        interfaces = self.bus.objects().get("/org/smartmeterd1/adapter/" + encoded(name))
        return interfaces and {key: value["data"] for key, value in
                               interfaces["org.smartmeterd1.Adapter"].items()}

    def wait_adapter(self, name, check=lambda adapter: True):
        def found():
            adapter = self.adapter(name)
            return adapter if adapter and check(adapter) else None
        return wait_for(f"adapter {name}; there is {sorted(self.bus.objects())}", found)

    def wait_subscribed(self, name):
        """Its broker is there, and has the subscription that was sent before anything else."""
        self.wait_adapter(name, lambda adapter: adapter["State"] != "waiting")
        self.test.settle()

    def wait_meter(self, meter_id):
        return wait_for(f"meter {meter_id}; there is {sorted(self.bus.meters())}",
                        lambda: self.bus.meters().get(meter_id))


class Sources(World):
    def setUp(self):
        super().setUp()
        self.logs = []
        self.broker.start()

    def subscriber(self, topic="smartmeter/#"):
        """All but telegrams, which are no text."""
        subscriber = Subscriber(self.broker, topic,
                                ["-h", "127.0.0.1", "-p", str(self.broker.port), "-T",
                                 "smartmeter/gateway/+/raw/+"])
        self.addCleanup(subscriber.stop)
        return subscriber

    def settle(self):
        """What was sent to the broker before has been taken in."""
        time.sleep(0.3)

    def source(self, table, broker='role = "both"', keys=(), more="", name="translator"):
        """A daemon with one source, listening."""
        node = Node(self, name, f'[gateway]\ninstance = "{name}"\n[broker.main]\n'
                                f'url = "{self.broker.url}"\n{broker}\n'
                                f'[source.house]\nbroker = "main"\n{table}\n{more}', keys=keys)
        node.wait_subscribed("house")
        return node

    def run(self, result=None):
        outcome = super().run(result)
        if result is not None and self in [t for t, _ in result.failures + result.errors]:
            for log in self.logs:
                print(f"--- log of {log}---", file=sys.stderr)
        return outcome


@needs_json
class Json(Sources):
    def check_family(self, family, table, link, *options):
        node = self.source(table)
        subscriber = self.subscriber()
        said = simulate(self.broker, family, *options)[0]
        path = node.wait_meter(said["meter"])
        state = subscriber.state(slug(said["meter"]))
        self.assertEqual({name: state["readings"].get(name) for name in said["readings"]},
                         said["readings"])
        self.assertEqual(state["link"], link)
        self.assertEqual(node.bus.property(path, "Meter", "Link"), link)
        adapter = node.adapter("house")
        self.assertEqual((adapter["Kind"], adapter["State"], adapter["Problem"]),
                         ("mqtt", "synced", "none"))
        self.assertTrue(adapter["Device"].startswith(self.broker.url + "/"))
        info = json.loads(subscriber.wait(f"smartmeter/{slug(said['meter'])}/info"))
        self.assertEqual(info["translated_by"], "translator")
        health = json.loads(subscriber.wait("smartmeter/gateway/translator/health"))
        self.assertIn("house", health["adapters"])
        return node, subscriber

    def test_glow_cloud(self):
        node, _ = self.check_family("glow-zcl", 'format = "glow"', "glow")
        self.assertEqual(len(node.bus.meters()), 2)  # and the gas meter

    def test_glow_local(self):
        self.check_family("glow-ihd", 'format = "glow"', "glow")

    def test_gplug(self):
        self.check_family("gplug", 'format = "gplug"', "gplug")

    def test_whatwatt(self):
        self.check_family("whatwatt", 'topic = "energy/+"\nformat = "whatwatt"', "whatwatt",
                          "--topic", "energy/whatwatt-001")

    def test_datacollector_beside_our_own_topics(self):
        """scs/smartmeter-datacollector publishes below a prefix that may be ours."""
        node = self.source('topic = "smartmeter/+/+"\nformat = "datacollector"',
                           broker='role = "both"\nvalues = true')
        subscriber = self.subscriber()
        for point, value in (("ACTIVE_POWER_P", 1), ("ACTIVE_ENERGY_P", 12345678)):
            publish(self.broker, f"smartmeter/LGZ1030655933512/{point}",
                    json.dumps({"value": value, "timestamp": 1629055611}))
        state = subscriber.state("lgz1030655933512",
                                 lambda state: "energy_import" in state["readings"])
        self.assertEqual(state["readings"]["power_import"], 1)
        self.assertEqual(state["readings"]["energy_import"], 12345.678)
        self.assertEqual(state["link"], "datacollector")
        for topic, payload in subscriber.latest.copy().items():  # what others like us would say
            if topic.startswith("smartmeter/lgz1030655933512/"):
                publish(self.broker, topic.replace("lgz1030655933512", "foreign"), payload,
                        retain=True)
        publish(self.broker, "smartmeter/LGZ1030655933512/ACTIVE_POWER_P",
                json.dumps({"value": 2, "timestamp": 1629055616}))
        subscriber.state("lgz1030655933512", lambda state: state["readings"]["power_import"] == 2)
        self.assertEqual(list(node.bus.meters()), ["LGZ1030655933512"])
        self.assertEqual(node.adapter("house")["Errors"], {})

    def test_plug_test(self):
        node = self.source('topic = "plug-test/+/power/+"\nformat = "plug-test"')
        publish(self.broker, "plug-test/LGZ1030655933512/power/power_in",
                '{"timestamp":1629055611,"value":1}')
        path = node.wait_meter("LGZ1030655933512")
        self.assertEqual(node.bus.property(path, "Electricity", "PowerImport"), 1)

    def test_amsreader(self):
        node = self.source('topic = "ams/#"\nformat = "amsreader"')
        publish(self.broker, "ams/power",
                '{"lv":"AIDON_V0001","id":"7359992890941742","type":"6515","P":1122,"Q":0,"PO":0,'
                '"QO":92,"I1":2.5,"U1":230.1}')
        publish(self.broker, "ams/energy", '{"tPI":8478.1,"tPO":0,"tQI":1.2,"tQO":5.6}')
        path = node.wait_meter("7359992890941742")
        wait_for("its energy", lambda: node.bus.property(path, "Electricity", "EnergyImport"))
        self.assertEqual(node.bus.property(path, "Electricity", "EnergyImport"), 8478.1)
        self.assertEqual(node.bus.property(path, "Electricity", "PowerImport"), 1122)

    @unittest.skipUnless((CORPUS / "gplug-tasmota").exists(), "no corpus")
    def test_published_gplug(self):
        sample = CORPUS / "gplug-tasmota" / "gplug-status10-e450"
        self.source('format = "gplug"')
        subscriber = self.subscriber()
        publish(self.broker, "tele/gPlugM/SENSOR", (sample / "payload.json").read_bytes())
        readings = subscriber.state("72913313")["readings"]
        self.assertEqual((readings["power_import"], readings["energy_import"],
                          readings["energy_export"]), (10, 168.754, 604.610))

    @unittest.skipUnless((CORPUS / "zigbee-glow").exists(), "no corpus")
    def test_published_glow(self):
        sample = CORPUS / "zigbee-glow" / "glowprom-local_electric"
        node = self.source('format = "glow"')
        publish(self.broker, "glow/XXXXXXYYYYYY/SENSOR/electricitymeter",
                (sample / "payload.json").read_bytes())
        path = wait_for("a meter", lambda: next(iter(node.bus.meters().values()), None))
        self.assertEqual(node.bus.property(path, "Electricity", "EnergyImport"), 15254.827)

    def test_what_is_not_of_the_format_is_refused_and_counted(self):
        node = self.source('topic = "house/#"\nformat = "gplug"')
        simulate(self.broker, "whatwatt", "--topic", "house/whatwatt")
        publish(self.broker, "house/broken", '{"z":')
        publish(self.broker, "house/words", "Online")
        publish(self.broker, "house/long", "{" + " " * (256 * 1024) + "}")  # dropped before
        errors = node.wait_adapter("house", lambda adapter: len(adapter["Errors"]) == 3)["Errors"]
        self.assertEqual(errors, {"format": 1, "length": 1, "unknown": 1})
        publish(self.broker, "house/z", '{"z":{"SMid":"1","Pi":1.5}}')
        node.wait_meter("1")

    def test_a_retained_message_of_yesterday_is_ignored(self):
        publish(self.broker, "tele/gPlug10/SENSOR",
                '{"Time":"2023-08-15T10:00:00","z":{"SMid":"1","Pi":1.5}}', retain=True)
        node = self.source('format = "gplug"')
        node.wait_adapter("house", lambda adapter: adapter["Errors"] == {"stale": 1})
        self.assertEqual(node.bus.meters(), {})


class Translated(Sources):
    """Telegrams as another gateway received them."""

    def test_what_is_refused_has_a_reason(self):
        node = self.source('format = "raw"', keys=(OTHER_KEY,))
        octets, _ = telegrams("kaifa-noe", 1, "--counter", "100")
        p1, _ = telegrams("dsmr-5")
        damaged = bytearray(p1)
        damaged[len(damaged) // 2] ^= 1
        publish(self.broker, RAW, octets, "-D", "publish", "user-property", "protocol", "mbus")
        node.wait_adapter("there-meter", lambda adapter: adapter["Problem"] == "key-wrong")
        node.write_key(TEST_KEY)
        node.reload()
        publish(self.broker, RAW, octets)
        node.wait_adapter("there-meter", lambda adapter: adapter["Problem"] == "none")
        old, _ = telegrams("kaifa-noe", 1, "--counter", "99")
        publish(self.broker, RAW, old)
        publish(self.broker, RAW, bytes(damaged), "-D", "publish", "user-property", "protocol",
                "p1")
        publish(self.broker, RAW, octets[:100])
        publish(self.broker, RAW, b"garbage", "-D", "publish", "user-property", "protocol", "mbus")
        publish(self.broker, RAW, bytes(16 * 1024 + 1))
        errors = node.wait_adapter("there-meter",
                                   lambda adapter: "unknown" in adapter["Errors"])["Errors"]
        self.assertEqual(errors, {"decrypt": 1, "replay": 1, "crc": 1, "length": 1, "unknown": 1})
        node.wait_adapter("house", lambda adapter: adapter["Errors"] == {"overflow": 1})

    def test_own_telegrams_are_never_read_back(self):
        node = self.source('format = "raw"')
        octets, _ = telegrams("dsmr-5")
        publish(self.broker, "smartmeter/gateway/translator/raw/meter", octets)
        node.wait_adapter("house", lambda adapter: adapter["Errors"] == {"loop": 1})
        self.assertEqual(node.bus.meters(), {})

    def test_the_time_of_receipt_is_the_gateways(self):
        self.source('format = "raw"')
        subscriber = self.subscriber()
        octets, values = telegrams("e360")
        topic = f"smartmeter/{slug(values[0]['meter'])}/state"
        publish(self.broker, RAW, octets, "-D", "publish", "user-property", "t",
                "2026-01-02T03:04:05.678901Z")
        state = json.loads(subscriber.wait(topic))
        self.assertEqual(state["received"], "2026-01-02T03:04:05.678901Z")
        publish(self.broker, RAW, octets, "-D", "publish", "user-property", "t",
                "2099-01-02T03:04:05.678901Z")
        state = json.loads(subscriber.wait(topic, lambda text: '"sequence":2' in text))
        self.assertLess(state["received"], "2099")

    def test_the_replay_rule_outlives_a_restart(self):
        node = self.source('format = "raw"', keys=(TEST_KEY,))
        octets, _ = telegrams("kaifa-noe", 1, "--counter", "100")
        publish(self.broker, RAW, octets)
        node.wait_adapter("there-meter", lambda adapter: adapter["State"] == "synced")
        stop(node.process)
        node.start()
        node.wait_subscribed("house")
        old, _ = telegrams("kaifa-noe", 1, "--counter", "99")
        publish(self.broker, RAW, old)
        node.wait_adapter("there-meter", lambda adapter: adapter["Errors"] == {"replay": 1})


def families():
    """Those that send by themselves, on a line."""
    done = subprocess.run([METERSIM, "list"], capture_output=True, text=True, check=True)
    lines = done.stdout.split("\n\n")[0].splitlines()
    return [line.split()[0] for line in lines if "JSON" not in line and "gPlug" not in line]


# What bytes alone do not tell: links without a checksum of their own, and which bus it is.
LINKS = {"amis-td351x": "amis", "iec-mode-c": "iec62056-21", "mode-d": "iec62056-21",
         "dsmr-2.2": "p1", "smarty-lu": "p1", "steiermark-at": "p1", "kaifa-pl": "p1",
         "mbus-heat": "mbus-master", "mbus-water": "mbus-master",
         "mbus-electricity": "mbus-master", "mbus-fixed": "mbus-master"}


class SameAsLocal(Sources):
    """A gateway without keys sends what it receives; a translator with the keys makes of it what a
    daemon with the keys makes of the same bytes on a port of its own."""

    COUNT = 4

    def node_with_ports(self, name, names, broker, keys=()):
        ports, tables = {}, ""
        for family in names:
            directory = self.directory / f"{name}-ports" / family
            directory.mkdir(parents=True)
            ports[family] = Pty(directory)
            self.addCleanup(ports[family].unplug)
            tables += (f'[adapter.{slug(family)}]\ndevice = "{ports[family].path}"\n'
                       f'line = "115200-8N1"\nlink = "{LINKS.get(family, "auto")}"\n')
        node = Node(self, name, f'[gateway]\ninstance = "{name}"\n[broker.main]\n'
                                f'url = "{self.broker.url}"\n{broker}\n{tables}', keys=keys)
        wait_for("the ports", lambda: node.log().count(" opened") == len(names))
        return node, ports

    @staticmethod
    def count(node, adapter):
        return node.bus.property("/org/smartmeterd1/adapter/" + encoded(adapter), "Adapter",
                                 "TelegramsReceived")

    @staticmethod
    def states(subscriber, prefix):
        """Of each meter, without what a clock or a counter says."""
        states = {}
        for topic, payload in subscriber.latest.copy().items():
            if topic.startswith(prefix + "/") and topic.endswith("/state"):
                payload = re.sub('"received":"[^"]*","sequence":[0-9]*,', "", payload)
                states[topic.split("/")[1]] = re.sub(',"ages":{[^}]*}', "", payload)
        return states

    def test_every_family(self):
        names = families()
        keys = (TEST_KEY, TEST_AUTHENTICATION_KEY)
        amis = "amis-td351x"  # names itself not at all
        local, local_ports = self.node_with_ports(
            "local", names, 'prefix = "local"\nregisters = true\n'
            f'[meter.{amis}]\nid = "{amis}"\nadapter = "{amis}"', keys)
        gateway, gateway_ports = self.node_with_ports("gate", names, "raw = true\nqos = 1")
        translator = Node(self, "translator", f'''
[gateway]
instance = "translator"
[broker.main]
url = "{self.broker.url}"
role = "both"
prefix = "remote"
registers = true
[source.house]
broker = "main"
format = "raw"
topic = "smartmeter/gateway/+/raw/+"
[meter.{amis}]
id = "{amis}"
adapter = "gate-{slug(str(gateway_ports[amis].path)[1:])}"
''', keys=keys)
        translator.wait_subscribed("house")
        subscriber = self.subscriber("+/+/state")
        for number, family in enumerate(names):
            octets, said = telegrams(family, self.COUNT, "--unit", str(number))
            local_ports[family].send(octets)
            gateway_ports[family].send(octets)
            here = slug(str(local_ports[family].path)[1:])
            there = "gate-" + slug(str(gateway_ports[family].path)[1:])
            with self.subTest(family=family):
                for node, adapter in ((local, here), (translator, there)):
                    wait_for(f"{len(said)} telegrams of {family} at {node.name}",
                             lambda: self.count(node, adapter) == len(said), 10)
                with contextlib.suppress(AssertionError):  # said better below
                    wait_for("the states", lambda: self.states(subscriber, "local") ==
                             self.states(subscriber, "remote"), 10)
                states = self.states(subscriber, "remote")
                for meter, state in self.states(subscriber, "local").items():
                    self.assertEqual(states.pop(meter, None), state)
                self.assertEqual(states, {})
        self.assertGreaterEqual(len(self.states(subscriber, "local")), len(names))
        self.assertEqual(
            gateway.adapter(slug(str(gateway_ports["kaifa-noe"].path)[1:]))["Problem"],
            "key-missing")


class Shared(Sources):
    """Several translators."""

    def test_disjoint_topics(self):
        nodes = [self.source(f'format = "raw"\ntopic = "smartmeter/gateway/{n}/raw/+"',
                             name=f"translator{n}") for n in (1, 2)]
        octets, values = telegrams("e360")
        others, other_values = telegrams("e360", 1, "--unit", "1")
        publish(self.broker, "smartmeter/gateway/1/raw/a", octets)
        publish(self.broker, "smartmeter/gateway/2/raw/a", others)
        nodes[0].wait_meter(values[0]["meter"])
        nodes[1].wait_meter(other_values[0]["meter"])
        self.assertEqual([len(node.bus.meters()) for node in nodes], [1, 1])

    def test_a_shared_subscription_gives_each_telegram_to_one(self):
        nodes = [self.source('format = "raw"\ngroup = "translators"', keys=(TEST_KEY,),
                             name=f"translator{n}") for n in (1, 2)]
        subscriber = self.subscriber()
        count = 20
        values = simulate(self.broker, "kaifa-noe", count=count)
        meter = slug(values[0]["meter"])
        topic = f"smartmeter/{meter}/state"
        wait_for("all states", lambda: len(subscriber.heard.get(topic, ())) >= count)
        adapters = [node.adapter("house") for node in nodes]
        received = [adapter["TelegramsReceived"] for adapter in adapters]
        self.assertEqual(sum(received), count)
        self.assertTrue(all(received), received)
        self.assertEqual([adapter["Errors"] for adapter in adapters], [{}, {}])
        states = [json.loads(payload) for payload in subscriber.heard[topic]]
        self.assertEqual(sorted(state["readings"]["energy_import"] for state in states),
                         sorted(value["readings"]["energy_import"] for value in values))
        self.assertTrue(all("ages" not in state for state in states))
        for word in ("availability", "info"):
            self.assertNotIn(f"smartmeter/{meter}/{word}", subscriber.latest)


class Roles(Sources):
    def test_translate_without_any_table(self):
        node = Node(self, "translator", options=("--translate", "--mqtt", self.broker.url,
                                                 "--device", "/dev/null"))
        name = slug("127.0.0.1")
        node.wait_subscribed(name)
        self.assertIn("none of the 1 configured adapters is opened", node.log())
        octets, values = telegrams("e360")
        publish(self.broker, RAW, octets)
        node.wait_meter(values[0]["meter"])
        self.assertEqual(set(path.split("/")[-1] for path in node.bus.objects()
                             if "/adapter/" in path), {encoded(name), encoded("there-meter")})

    @needs_json
    def test_a_source_broker_is_not_the_sink_broker(self):
        """Hildebrand's broker in (TLS, user and password), a local one out."""
        cloud = SecretBroker(self.directory)
        self.addCleanup(cloud.stop)
        cloud.start()
        cloud_subscriber = cloud.subscriber()
        self.addCleanup(cloud_subscriber.stop)
        password = self.directory / "password"
        password.write_text("secret\n")
        password.chmod(0o600)
        node = Node(self, "house", f'''
[broker.hildebrand]
url = "mqtts://localhost:{cloud.port}"
role = "source"
user = "me@example.org"
password_file = "{password}"
tls.ca = "{cloud.ca}"
[broker.home]
url = "{self.broker.url}"
[source.glow]
broker = "hildebrand"
topic = "SMART/HILD/AABBCCDDEEFF"
format = "glow"
''')
        subscriber = self.subscriber()
        node.wait_subscribed("glow")
        payload, values = telegrams("glow-zcl")
        cloud.publish("SMART/HILD/AABBCCDDEEFF", payload.strip())
        meter = values[0]["meter"]
        node.wait_meter(meter)
        subscriber.state(slug(meter))
        stop(node.process)
        self.assertEqual(list(cloud_subscriber.latest), ["SMART/HILD/AABBCCDDEEFF"])

    @needs_json
    def test_an_exact_topic_where_wildcards_are_refused(self):
        """By mosquitto's dynamic security: its ACL files withhold messages, and refuse nothing."""
        strict = StrictBroker(self.directory, allowed="SMART/HILD/AABBCCDDEEFF")
        self.addCleanup(strict.stop)
        strict.start()
        node = Node(self, "house", f'[broker.cloud]\nurl = "{strict.url}"\nrole = "source"\n'
                                   '[source.all]\nbroker = "cloud"\nformat = "glow"\n'
                                   '[source.mine]\nbroker = "cloud"\nformat = "glow"\n'
                                   'topic = "SMART/HILD/AABBCCDDEEFF"\n')
        node.wait_adapter("all", lambda adapter: (adapter["State"], adapter["Problem"]) ==
                          ("failed", "no-access"))
        node.wait_subscribed("mine")
        payload, values = telegrams("glow-zcl")
        publish(strict, "SMART/HILD/AABBCCDDEEFF", payload)
        node.wait_meter(values[0]["meter"])
        self.assertEqual(node.adapter("mine")["State"], "synced")
        self.assertIn("give the exact topic", node.log())

    @needs_json
    def test_a_reload_changes_sources_and_keeps_the_others(self):
        node = self.source('format = "gplug"', more='[source.other]\nbroker = "main"\n'
                                                    'topic = "first/+"\n')
        publish(self.broker, "first/x", '{"z":{"SMid":"1","Pi":1.5}}')
        node.wait_meter("1")
        publish(self.broker, "tele/x/SENSOR", '{"z":{"SMid":"2","Pi":1.5}}')
        node.wait_meter("2")
        node.config.write_text(node.config.read_text().replace("first/+", "second/+"))
        node.reload()
        self.settle()
        publish(self.broker, "first/x", '{"z":{"SMid":"3","Pi":1.5}}')
        publish(self.broker, "second/x", '{"z":{"SMid":"4","Pi":1.5}}')
        publish(self.broker, "tele/x/SENSOR", '{"z":{"SMid":"2","Pi":1.5}}')
        node.wait_meter("4")
        node.wait_adapter("house", lambda adapter: adapter["TelegramsReceived"] == 2)
        self.assertNotIn("3", node.bus.meters())
        # Once for each direction.
        self.assertEqual(node.log().count("connected to"), 2)

    @needs_json
    def test_the_broker_comes_back(self):
        node = self.source('format = "gplug"')
        self.broker.stop(signal.SIGKILL)
        node.wait_adapter("house", lambda adapter: adapter["State"] == "waiting")
        self.broker.start()
        node.wait_subscribed("house")
        publish(self.broker, "tele/x/SENSOR", '{"z":{"SMid":"2","Pi":1.5}}')
        node.wait_meter("2")

    @needs_json
    def test_two_that_translate_each_other_settle(self):
        """A has a meter at a port and publishes data points; B reads those, and has that profile
        too; A reads whatever there is."""
        profile = 'profiles = ["smartmeterd", "datacollector"]\nrole = "both"'
        table = ('topic = "datacollector/+/+"\nformat = "datacollector"')
        b = self.source(table, broker=profile + '\nprefix = "b"', name="b")
        octets, values = telegrams("e360", 1)
        a = Node(self, "a", f'[gateway]\ninstance = "a"\n[broker.main]\nurl = "{self.broker.url}"\n'
                            f'{profile}\n[source.house]\nbroker = "main"\n{table}\n',
                 options=("--device", str(self.pty.path)))
        a.wait_subscribed("house")
        subscriber = self.subscriber("datacollector/#")
        self.settle()
        wait_for("the port", lambda: " opened" in a.log())
        self.pty.send(octets)
        meter = values[0]["meter"]
        a.wait_meter(meter)
        b.wait_meter(meter)
        time.sleep(2)  # whatever goes round would go on
        said = {topic: len(payloads) for topic, payloads in subscriber.heard.items()
                if topic.startswith("datacollector/")}
        self.assertTrue(said)
        self.assertEqual(set(said.values()), {1}, said)
        state = self.subscriber().state(slug(meter))
        self.assertEqual((state["sequence"], state["link"]), (1, "hdlc"))


@needs_json
class Slow(Sources):
    def patient_broker(self, name):
        """One that drops nothing for want of room."""
        directory = self.directory / name
        directory.mkdir()
        broker = Broker(directory)
        broker.config.write_text(broker.config.read_text() + "max_queued_messages 0\n")
        self.addCleanup(broker.stop)
        broker.start()
        return broker

    def test_a_stop_loses_nothing(self):
        """Neither what was read and is not published yet, nor what comes while nobody is there."""
        broker = self.patient_broker("both")
        node = Node(self, "translator", f'''
[broker.in]
url = "{broker.url}"
role = "source"
client_id = "translator"
session = 3600
[broker.out]
url = "{broker.url}"
qos = 1
[source.house]
broker = "in"
format = "gplug"
''')
        node.wait_subscribed("house")
        subscriber = Subscriber(broker, "smartmeter/77/state",
                                ["-h", "127.0.0.1", "-p", str(broker.port), "-q", "1"])
        self.addCleanup(subscriber.stop)
        self.settle()
        topic = "smartmeter/77/state"

        def heard():
            return len(subscriber.heard.get(topic, ()))

        def end():
            node.process.send_signal(signal.SIGTERM)
            self.assertEqual(node.process.wait(LIMIT_S), 0)

        end()
        count = 6000
        lines = "".join(f'{{"z":{{"SMid":"77","Ei":{n}}}}}\n' for n in range(1, count + 1))
        subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-q", "1",
                        "-t", "tele/x/SENSOR", "-l"], input=lines.encode(), check=True,
                       timeout=LIMIT_S)
        for _ in range(4):
            before = heard()
            node.start()
            wait_for("a part of the states", lambda: heard() > before)
            end()
        self.assertLess(heard(), count)
        node.start()
        wait_for("all states", lambda: heard() >= count)
        readings = {json.loads(payload)["readings"]["energy_import"]
                    for payload in subscriber.heard[topic]}
        self.assertEqual(readings, set(range(1, count + 1)))

    def test_what_the_sink_cannot_take_waits_at_the_source(self):
        """The sink's broker stands still; an outbox of 64 KiB is soon full of 3 MB of states."""
        source, sink = self.patient_broker("source"), self.patient_broker("sink")
        node = Node(self, "translator", f'''
[broker.in]
url = "{source.url}"
role = "source"
[broker.out]
url = "{sink.url}"
qos = 1
registers = true
outbox_bytes = 65536
[source.house]
broker = "in"
format = "gplug"
''')
        node.wait_subscribed("house")
        subscriber = Subscriber(sink, "smartmeter/77/state",
                                ["-h", "127.0.0.1", "-p", str(sink.port), "-q", "1"])
        self.addCleanup(subscriber.stop)
        wait_for("the sink", lambda: node.log().count("connected to") == 2)
        self.settle()
        count = 3000
        keys = ",".join(f'"{key}":1.5' for key in "V1 V2 V3 I1 I2 I3 Eo Q5 Q6 Q7 Q8 pf".split())
        lines = "".join(f'{{"z":{{"SMid":"77","Ei":{n},{keys}}}}}\n' for n in range(1, count + 1))
        sink.process.send_signal(signal.SIGSTOP)
        try:
            subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(source.port), "-q", "1",
                            "-t", "tele/x/SENSOR", "-l"], input=lines.encode(), check=True,
                           timeout=LIMIT_S)
            wait_for("the pause", lambda: "sources wait for a slow broker" in node.log())
        finally:
            sink.process.send_signal(signal.SIGCONT)
        topic = "smartmeter/77/state"
        wait_for("all states", lambda: len(subscriber.heard.get(topic, ())) >= count)
        self.assertEqual([json.loads(payload)["readings"]["energy_import"]
                          for payload in subscriber.heard[topic]], list(range(1, count + 1)))


class SecretBroker:
    """A mosquitto with TLS, user and password."""

    def __init__(self, directory):
        self.port = free_port()
        self.directory = directory / "secret"
        self.directory.mkdir()
        self.ca = self.directory / "ca.pem"
        run = lambda *command: subprocess.run(  # noqa: E731
            command, check=True, capture_output=True, cwd=self.directory, timeout=LIMIT_S)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority",
            "-days", "2")
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", "broker.key", "-out", "broker.csr", "-subj", "/CN=localhost")
        (self.directory / "san").write_text("subjectAltName=DNS:localhost\n")
        run("openssl", "x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-out", "broker.pem", "-days", "2", "-extfile", "san")
        run("mosquitto_passwd", "-c", "-b", "passwords", "me@example.org", "secret")
        for path in self.directory.iterdir():
            path.chmod(0o644)
        self.config = self.directory / "mosquitto.conf"
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\ncertfile {self.directory}/broker.pem\n"
            f"keyfile {self.directory}/broker.key\nallow_anonymous false\n"
            f"password_file {self.directory}/passwords\npersistence false\nuser root\n")
        self.process = None
        self.login = ["-h", "localhost", "-p", str(self.port), "--cafile", str(self.ca), "-u",
                      "me@example.org", "-P", "secret"]

    def start(self):
        self.process = subprocess.Popen(["mosquitto", "-c", str(self.config)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the broker", lambda: listens(self.port))

    def publish(self, topic, payload):
        subprocess.run(["mosquitto_pub", *self.login, "-t", topic, "-q", "1", "-s"], input=payload,
                       check=True, timeout=LIMIT_S)

    def subscriber(self):
        return Subscriber(self, "#", self.login)

    def stop(self):
        if self.process:
            stop(self.process)


class StrictBroker:
    """A mosquitto whose anonymous clients may subscribe to one topic and publish anywhere."""

    def __init__(self, directory, allowed):
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.config = directory / "strict.conf"
        rules = directory / "strict.json"
        rules.write_text(json.dumps({
            "defaultACLAccess": {"publishClientSend": True, "publishClientReceive": True,
                                 "subscribe": False, "unsubscribe": True},
            "clients": [], "anonymousGroup": "anyone",
            "groups": [{"groupname": "anyone", "roles": [{"rolename": "reader"}]}],
            "roles": [{"rolename": "reader", "acls": [
                {"acltype": "subscribeLiteral", "topic": allowed, "priority": 0,
                 "allow": True}]}]}))
        rules.chmod(0o666)
        plugin = next(pathlib.Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"))
        self.config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
                               f"persistence false\nuser root\nplugin {plugin}\n"
                               f"plugin_opt_config_file {rules}\n")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(["mosquitto", "-c", str(self.config)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the broker", lambda: listens(self.port))

    def stop(self):
        if self.process:
            stop(self.process)


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


if __name__ == "__main__":
    tap.main()

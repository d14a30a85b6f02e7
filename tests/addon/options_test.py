#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Home Assistant add-on's options: the schema by the Supervisor's rules, each of them with its
translations and as a setting of smartmeterd, whatever people type there.
"""

import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
import unittest

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import supervisor  # noqa: E402
import tap  # noqa: E402

SMARTMETERD = os.environ["SMARTMETERD"]
ROOT = pathlib.Path(os.environ["SOURCE_ROOT"])
ADDON = ROOT / "tools" / "addon"
CONFIG = yaml.safe_load((ADDON / "config.yaml").read_text())
SCHEMA = CONFIG["schema"]
DEVICE = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"
KEY = "000102030405060708090A0B0C0D0E0F"
SERVICE = supervisor.service(1883)[1]["data"]
PRIVATE = "/tmp/smartmeterd"
LOGIN = {"host": "broker.example", "user": "reader"}
HOSTILE = ('a"b', "a'b", "a\\b", "\\", '"""', "'''", "a\nb", "a\rb", "a\tb", "a\0b",
           "\x01\x1f\x7f", "ü€😀", "\u0085\u2028\u202e", "]]", "# no comment",
           "= [broker.x]", "${HOME}$(id)`id`", "%s%n", " a ", "{{ x }}", "\\u0041", "null",
           "a" * 10_000, "-e", "--config")


def jq(part, options, service=SERVICE):
    """What options.jq makes of options, or of octets: exit status, output, errors."""
    octets = options if isinstance(options, bytes) else json.dumps(options).encode()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as answer:
        json.dump(service, answer)
        answer.flush()
        done = subprocess.run(
            ["jq", "--slurp", "--raw-output", "--arg", "part", part, "--arg", "private", PRIVATE,
             "--slurpfile", "service", answer.name, "--from-file", str(ADDON / "options.jq")],
            input=octets, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def made(part, options, service=SERVICE):
    status, output, errors = jq(part, options, service)
    if status != 0:
        raise AssertionError(f"{options}: {errors}")
    return output


def with_defaults(devices=(DEVICE,), **options):
    """Options as they are in /data/options.json; one that the schema refuses is an error."""
    return supervisor.validated(SCHEMA, CONFIG["options"] | options, devices)


def check(configuration, keys=""):
    """smartmeterd --check: exit status and what it says."""
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        password = directory / "password"
        password.write_text("x\n")
        password.chmod(0o600)
        configuration = configuration.replace(f"{PRIVATE}/password", str(password))
        (directory / "smartmeterd.toml").write_text(configuration)
        (directory / "keys.d").mkdir()
        file = directory / "keys.d" / "options.toml"
        file.write_text(keys)
        file.chmod(0o600)
        done = subprocess.run([SMARTMETERD, "--check", "--config", directory / "smartmeterd.toml"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
    return done.returncode, done.stdout


def offered(configuration):
    """The words that smartmeterd offers instead of a wrong one."""
    status, said = check(configuration)
    if status != 2:
        raise AssertionError(f"not refused: {configuration}\n{said}")
    return set(re.findall(r'"([^"]*)"', said.partition("expected")[2]))


def names(schema):
    """Every option's path: "mqtt", "mqtt.host"."""
    found = set()
    for name, inner in schema.items():
        inner = inner[0] if isinstance(inner, list) else inner
        found.add(name)
        if isinstance(inner, dict):
            found |= {f"{name}.{one}" for one in names(inner)}
    return found


def translated(configuration):
    """Every option's path in a file of translations, and what of it is missing."""
    found, missing = set(), []
    for name, entry in configuration.items():
        found.add(name)
        missing += [f"{name}: {key}" for key in ("name", "description") if not entry.get(key)]
        more, lacks = translated(entry.get("fields", {}))
        found |= {f"{name}.{one}" for one in more}
        missing += [f"{name}.{one}" for one in lacks]
    return found, missing


class Description(unittest.TestCase):
    """config.yaml and what lies beside it."""

    def test_fields(self):
        self.assertEqual(supervisor.check_config(CONFIG), [])

    def test_version(self):
        said = subprocess.run([SMARTMETERD, "--version"], capture_output=True, text=True,
                              check=True).stdout
        self.assertEqual(f"smartmeterd {CONFIG['version']}\n", said)

    def test_repository(self):
        repository = yaml.safe_load((ROOT / "repository.yaml").read_text())
        self.assertIn("name", repository)
        for name, value in repository.items():
            self.assertTrue(supervisor.REPOSITORY[name](value), name)

    def test_only_config_yaml_of_the_tree(self):
        """The Supervisor takes every config.yaml of a repository for an add-on."""
        found = subprocess.run(["git", "-C", ROOT, "ls-files", "*config.yaml"], text=True,
                               capture_output=True, check=False).stdout.split()
        if found:  # none in a tree without git
            self.assertEqual(found, ["tools/addon/config.yaml"])

    def test_no_build_yaml(self):
        """Since 2026.04 the Supervisor warns of it: the Dockerfile names its base itself."""
        self.assertFalse((ADDON / "build.yaml").exists())

    def test_defaults(self):
        self.assertEqual(supervisor.validated(SCHEMA, CONFIG["options"]), CONFIG["options"])

    def test_secrets_are_masked(self):
        schema = {"keys": SCHEMA["keys"][0], "mqtt": SCHEMA["mqtt"]}
        secret = {f"{table}.{name}" for table, inner in schema.items()
                  for name, text in inner.items() if text.startswith("password")}
        self.assertEqual(secret, {"keys.encryption", "keys.authentication", "mqtt.password"})

    def test_translations(self):
        for path in sorted((ADDON / "translations").iterdir()):
            with self.subTest(path.name):
                configuration = yaml.safe_load(path.read_text())["configuration"]
                found, missing = translated(configuration)
                self.assertEqual(found, names(SCHEMA))
                self.assertEqual(missing, [])

    def test_languages(self):
        self.assertEqual({path.name for path in (ADDON / "translations").iterdir()},
                         {"en.yaml", "de.yaml"})

    def test_options_are_explained(self):
        docs = (ADDON / "DOCS.md").read_text()
        missing = [name for name in names(SCHEMA) if f"`{name.split('.')[-1]}`" not in docs]
        self.assertEqual(missing, [])


class Words(unittest.TestCase):
    """Lists of the schema are smartmeterd's own."""

    def of_adapter(self, key):
        return offered(f'[adapter.a]\ndevice = "/dev/x"\n{key} = "?"\n')

    def of_broker(self, key):
        return offered(f'[broker.a]\nurl = "mqtt://x"\n{key} = "?"\n')

    def test_adapters(self):
        for key in ("link", "role"):
            with self.subTest(key):
                self.assertEqual(set(supervisor.words(SCHEMA["adapters"][0][key])),
                                 self.of_adapter(key))

    def test_mqtt(self):
        for key in ("discovery", "unique_ids"):
            with self.subTest(key):
                self.assertEqual(set(supervisor.words(SCHEMA["mqtt"][key])), self.of_broker(key))

    def test_log_level(self):
        done = subprocess.run([SMARTMETERD, "--log-level", "?"], capture_output=True, text=True,
                              check=False)
        levels = re.search(r"\{(.*)\}", done.stdout + done.stderr).group(1).split(",")
        self.assertEqual(supervisor.words(SCHEMA["log_level"]), levels)


class Settings(unittest.TestCase):
    """Options as TOML."""

    def settings(self, **options):
        """The configuration of options, which smartmeterd accepts."""
        text = made("configuration", with_defaults(**options))
        status, said = check(text)
        self.assertEqual(status, 0, f"{text}\n{said}")
        return tomllib.loads(text)

    def adapter(self, **more):
        return self.settings(adapters=[{"device": DEVICE, **more}])["adapter"]

    def broker(self, **more):
        return self.settings(mqtt=more)["broker"]["addon"]

    def test_defaults(self):
        self.assertEqual(self.settings(), {"broker": {"addon": {"url": "mqtt://127.0.0.1:1883"}}})

    def test_adapter(self):
        self.assertEqual(self.adapter(link="mbus", line="2400-8E1", role="listen", name="cellar"),
                         {"cellar": {"device": DEVICE, "link": "mbus", "line": "2400-8E1",
                                     "role": "listen"}})

    def test_adapters_without_names_are_numbered(self):
        found = self.settings(adapters=[{"device": DEVICE}, {"tcp": "attic:4001"}])["adapter"]
        self.assertEqual(found, {"adapter-1": {"device": DEVICE},
                                 "adapter-2": {"tcp": "attic:4001"}})

    def test_addresses(self):
        for address in ("attic:4001", "192.168.1.20:1", "[fe80::1]:4001", "a_b.example:65535"):
            with self.subTest(address):
                found = self.settings(adapters=[{"tcp": address}])["adapter"]
                self.assertEqual(found["adapter-1"]["tcp"], address)

    def test_supervisors_broker(self):
        service = SERVICE | {"host": "core-mosquitto", "username": "addons", "password": "x"}
        text = made("configuration", with_defaults(), service)
        self.assertEqual(tomllib.loads(text)["broker"]["addon"], {
            "url": "mqtt://core-mosquitto:1883", "user": "addons",
            "password_file": f"{PRIVATE}/password"})
        self.assertEqual(check(text)[0], 0)
        self.assertEqual(made("password", with_defaults(), service), "x\n")
        tls = made("broker", with_defaults(), service | {"ssl": True, "port": 8883})
        self.assertEqual(tls, "mqtts://core-mosquitto:8883\n")

    def test_own_broker(self):
        """Nothing of the Supervisor's is mixed in."""
        for given, url in (({"host": "broker.example"}, "mqtt://broker.example"),
                           ({"host": "10.0.0.1", "port": 1884}, "mqtt://10.0.0.1:1884"),
                           ({"host": "broker.example", "tls": True}, "mqtts://broker.example"),
                           ({"host": "fd00::1", "port": 1}, "mqtt://[fd00::1]:1")):
            with self.subTest(url):
                self.assertEqual(self.broker(**given), {"url": url})

    def test_what_is_published(self):
        found = self.broker(prefix="a/b", discovery="off", unique_ids="bridge", seed=True)
        self.assertEqual(found["prefix"], "a/b")
        self.assertEqual(found["discovery"], "off")
        self.assertEqual(found["unique_ids"], "bridge")
        self.assertEqual(found["profiles"], ["smartmeterd", "seed"])

    def test_keys(self):
        keys = [{"encryption": KEY}, {"encryption": KEY, "authentication": KEY, "meter": "1KFM"},
                {"encryption": KEY, "authentication": "", "meter": ""}]
        text = made("keys", with_defaults(keys=keys))
        self.assertEqual(tomllib.loads(text)["key"], [
            {"encryption": KEY}, {"encryption": KEY, "authentication": KEY, "meter": "1KFM"},
            {"encryption": KEY}])
        status, said = check("", text)
        self.assertEqual(status, 0, said)
        self.assertIn("3 keys", said)

    def test_no_keys(self):
        self.assertEqual(made("keys", with_defaults()), "")

    def test_hostile_texts(self):
        """Each of them arrives as it was typed, and nothing else does."""
        for text in HOSTILE:
            with self.subTest(text[:20]):
                found = self.broker(**LOGIN | {"user": text})
                self.assertEqual(found, {"url": "mqtt://broker.example", "user": text})
                keys = made("keys", with_defaults(keys=[{"encryption": KEY, "meter": text}]))
                self.assertEqual(tomllib.loads(keys),
                                 {"key": [{"encryption": KEY, "meter": text}]})
                self.assertEqual(check("", keys)[0], 0)

    def test_hostile_passwords(self):
        for text in HOSTILE:
            with self.subTest(text[:20]):
                options = with_defaults(mqtt=LOGIN | {"password": text})
                if any(c in text for c in "\0\n\r"):
                    status, output, errors = jq("password", options)
                    self.assertEqual((status, output), (1, ""))
                    self.assertIn("mqtt.password: a password of several lines", errors)
                    self.assertNotIn(text, errors)
                else:
                    self.assertEqual(made("password", options), text + "\n")
                    self.assertNotIn(json.dumps(text), made("configuration", options))

    def test_hostile_keys(self):
        """A wrong key is refused by place and reason, never repeated."""
        for text in HOSTILE:
            with self.subTest(text[:20]):
                keys = made("keys", with_defaults(keys=[{"encryption": f"{text}~secret~"}]))
                status, said = check("", keys)
                self.assertEqual(status, 2)
                self.assertIn("encryption", said)
                self.assertNotIn("~secret~", said)

    def test_hostile_texts_elsewhere(self):
        """Where the schema lets something through that smartmeterd does not take, it says what."""
        for place, key in (("adapters", "tcp"), ("adapters", "line"), ("adapters", "name"),
                           ("mqtt", "host"), ("mqtt", "prefix"), ("mqtt", "discovery")):
            for text in (*HOSTILE, "a\n", "2400-8E1\n", "attic:4001\n", "h:1\n", ""):
                options = {key: text}
                if place == "adapters":
                    options = [{"device": DEVICE} | options] if key != "tcp" else [options]
                with self.subTest(f"{place}.{key}: {text[:20]!r}"):
                    try:
                        options = with_defaults(**{place: options})
                    except supervisor.Refused:
                        continue
                    toml = made("configuration", options)
                    status, said = check(toml)
                    self.assertTrue(status == 0 or f"{key}: " in said or "url: " in said
                                    or "expected a name" in said, f"{toml}\n{said}")


class Refusals(unittest.TestCase):
    """What options.jq refuses itself, in the words of the options."""

    def refusal(self, part="configuration", service=SERVICE, **options):
        status, _, errors = jq(part, with_defaults(**options), service)
        self.assertEqual(status, 1)
        return errors

    def test_names_twice(self):
        said = self.refusal(adapters=[{"device": DEVICE, "name": "a"}, {"tcp": "x:1", "name": "a"}])
        self.assertEqual(said, "add-on: error: the option adapters: two of them have the name a; "
                               "give each another one\n")

    def test_login_without_host(self):
        """It would be sent to the Supervisor's broker, or to none."""
        for given in ({"user": "x"}, {"password": "~secret~"}, {"port": 1}, {"tls": True}):
            for service in (SERVICE, None):
                with self.subTest(given):
                    said = self.refusal(service=service, mqtt=given)
                    self.assertIn("the option mqtt: port, tls, user and password", said)
                    self.assertNotIn("~secret~", said)

    def test_wrong_types(self):
        """Files that people wrote by hand: the option is named, its value is not repeated."""
        for options, option, expected in (
                ({"adapters": {"device": "~secret~"}}, "adapters", "a list"),
                ({"keys": "~secret~"}, "keys", "a list"),
                ({"keys": ["~secret~"]}, "keys", "a table"),
                ({"keys": [{"encryption": ["~secret~"]}]}, "keys.encryption", "a text"),
                ({"keys": [{"authentication": {"~secret~": 1}}]}, "keys.authentication", "a text"),
                ({"keys": [{"encryption": 53417374}]}, "keys.encryption", "a text"),
                ({"mqtt": "~secret~"}, "mqtt", "a table"),
                ({"mqtt": LOGIN | {"password": ["~secret~"]}}, "mqtt.password", "a text"),
                ({"mqtt": LOGIN | {"password": 53417374}}, "mqtt.password", "a text"),
                ({"mqtt": {"host": False}}, "mqtt.host", "a text"),
                ({"mqtt": LOGIN | {"port": "1883"}}, "mqtt.port", "a number"),
                ({"mqtt": LOGIN | {"tls": "no"}}, "mqtt.tls", "true or false"),
                ({"log_level": ["info"]}, "log_level", "a text")):
            for part in ("configuration", "adapters", "keys", "password", "broker", "log_level"):
                with self.subTest(options, part=part):
                    self.assertEqual(jq(part, CONFIG["options"] | options), (
                        1, "", f"add-on: error: the option {option}: expected {expected}\n"))

    def test_no_options(self):
        """Whatever jq says of it, it is not 1: the start script has a sentence for it."""
        for octets in (b"", b" ", b"null", b"[]", b'"~secret~"', b"{}{}", b"{", b"[" * 100_000):
            with self.subTest(octets[:10]):
                status, output, _ = jq("configuration", octets)
                self.assertNotIn(status, (0, 1))
                self.assertEqual(output, "")

    def test_nothing_is_refused_before_there_is_a_broker(self):
        for part in ("configuration", "adapters", "broker", "keys"):
            made(part, with_defaults(adapters=[{"device": DEVICE}], mqtt={"tls": False}), None)
        self.assertEqual(made("broker", with_defaults(), None), "")


class Combinations(unittest.TestCase):
    """All that the form can be set to."""

    def refusal(self, devices=(DEVICE,), **options):
        """What smartmeterd says against it; nothing where it takes it."""
        toml = made("configuration", with_defaults(devices, **options))
        status, said = check(toml)
        self.assertIn(status, (0, 2), f"{toml}\n{said}")
        return said if status else ""

    def test_adapters(self):
        """A role needs a link on which there is something to say; all else goes together: in one
        configuration.
        """
        speaking = {"reader": {"iec62056-21", "amis"}, "master": {"mbus-master"}}
        schema = SCHEMA["adapters"][0]
        accepted = []
        for link, role, line, port in itertools.product(
                (None, *supervisor.words(schema["link"])),
                (None, *supervisor.words(schema["role"])), (None, "300-7E1"), ("device", "tcp")):
            given = {key: value for key, value in
                     (("link", link), ("role", role), ("line", line)) if value}
            number = len(accepted) + 1  # no two with the same port
            given[port] = f"{DEVICE}-{number}" if port == "device" else f"h:{number}"
            can_ask = (role == "reader" and link in (None, "auto") and not line
                       and port == "device")
            if role not in speaking or link in speaking[role] or can_ask:
                accepted.append(given)
                continue
            with self.subTest(given):
                self.assertIn("role: the role ",
                              self.refusal({given.get("device")}, adapters=[given]))
        devices = {given["device"] for given in accepted if "device" in given}
        self.assertEqual(self.refusal(devices, adapters=accepted), "")

    def test_mqtt(self):
        """They do not depend on each other: each value alone, and all at once."""
        schema = SCHEMA["mqtt"]
        values = {"tls": (True,), "user": ("x",), "prefix": ("a/b",), "seed": (True,),
                  **{name: supervisor.words(schema[name]) for name in ("discovery", "unique_ids")}}
        for given in ({}, {name: these[0] for name, these in values.items()},
                      {name: these[-1] for name, these in values.items()},
                      *({name: value} for name, these in values.items() for value in these)):
            with self.subTest(given):
                self.assertEqual(self.refusal(mqtt={"host": "h"} | given), "")

    def test_neither_or_both_ports(self):
        for given in ({}, {"device": DEVICE, "tcp": "h:1"}):
            self.assertIn("expected either device or tcp", self.refusal(adapters=[given]))


if __name__ == "__main__":
    tap.main()

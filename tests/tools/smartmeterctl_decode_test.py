#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""smartmeterctl decode from outside: what it prints, what it says about bad input, how it ends.

Called with the programs smartmeterctl and metersim; telegrams come from metersim, which prints
what they say. The operator's published telegram comes from the corpus where that is present.
"""

import gzip
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import tap  # noqa: E402

SMARTMETERCTL, METERSIM = sys.argv.pop(1), sys.argv.pop(1)
ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = pathlib.Path(os.environ.get("SMARTMETER_CORPUS", ROOT / "../shared/corpus"))
KEY = "000102030405060708090A0B0C0D0E0F"
AUTHENTICATION_KEY = "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
OTHER_KEY = "00112233445566778899AABBCCDDEEFF"


def decode(*arguments, standard_input=b""):
    return subprocess.run([SMARTMETERCTL, "decode", *map(str, arguments)], input=standard_input,
                          capture_output=True, timeout=60, check=False)


def simulate(family, *arguments):
    """The octets of telegrams, and what they say."""
    command = [METERSIM, "run", family, "--fast", "--out", "-", "--print-values",
               "--start", "2026-11-20T12:00:05+01:00", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    return done.stdout, [json.loads(line, parse_float=str, parse_int=str)
                         for line in done.stderr.splitlines()]


class DecodeTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def file(self, name, content):
        path = pathlib.Path(self.directory.name) / name
        path.write_bytes(content)
        return path

    def telegrams(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line, parse_float=str, parse_int=str)
                for line in done.stdout.splitlines()]

    def assert_same(self, telegrams, sent):
        self.assertEqual(len(telegrams), len(sent))
        for telegram, said in zip(telegrams, sent):
            derived = telegram.get("derived", [])
            readings = {name: value for name, value in telegram["readings"].items()
                        if name not in derived}
            self.assertEqual(readings, said["readings"])
            self.assertEqual(telegram["meter"], said["meter"])
            self.assertEqual(telegram["time"], said["time"])

    def assert_refused(self, done, *words, status=1):
        """Nothing on standard output; the last line on standard error says all of `words`."""
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stdout, b"")
        lines = done.stderr.decode().splitlines()
        self.assertTrue(lines, "no message")
        for word in words:
            self.assertIn(word, lines[-1])


class GoodInput(DecodeTest):
    def test_every_telegram_of_a_file(self):
        octets, sent = simulate("kaifa-noe", "--count", 25)
        telegrams = self.telegrams(decode("--key", KEY, self.file("t", octets)))
        self.assert_same(telegrams, sent)
        self.assertEqual([telegram["sequence"] for telegram in telegrams],
                         [str(number) for number in range(1, 26)])
        self.assertTrue(all(telegram["received"] is None for telegram in telegrams))
        self.assertTrue(all(telegram["registers"] for telegram in telegrams))

    def test_larger_than_one_piece(self):
        octets, sent = simulate("e450-pairs", "--count", 600)
        self.assertGreater(len(octets), 3 * 64 * 1024 - 1000)
        done = decode("--key", KEY, "--auth-key", AUTHENTICATION_KEY, "-", standard_input=octets)
        telegrams = self.telegrams(done)
        self.assert_same(telegrams, sent)
        self.assertTrue(all(telegram["authenticated"] is True for telegram in telegrams))

    def test_not_encrypted(self):
        octets, sent = simulate("e450", "--count", 2)
        telegrams = self.telegrams(decode(self.file("t", octets)))
        self.assert_same(telegrams, sent)
        self.assertIsNone(telegrams[0]["authenticated"])
        self.assertEqual(telegrams[0]["link"], "hdlc")

    def test_without_the_authentication_key(self):
        octets, sent = simulate("e450-pairs", "--count", 1)
        telegrams = self.telegrams(decode("--key", KEY, self.file("t", octets)))
        self.assert_same(telegrams, sent)
        self.assertIs(telegrams[0]["authenticated"], False)

    def test_hex_text(self):
        octets, sent = simulate("sagemcom-noe", "--count", 2)
        text = octets.hex()
        forms = {
            "plain": text,
            "upper": text.upper(),
            "lines": "\r\n".join(text[i:i + 64] for i in range(0, len(text), 64)),
            "odd lines": "\n".join(text[i:i + 33] for i in range(0, len(text), 33)),
            "blanks": " ".join(text[i:i + 2] for i in range(0, len(text), 2)),
            "underscores": "_".join(text[i:i + 8] for i in range(0, len(text), 8)),
            "comment": "# recorded in the cellar\n  # zweite Zeile: größer\n" + text + "\n",
        }
        for name, form in forms.items():
            with self.subTest(name):
                path = self.file("t", form.encode())
                self.assert_same(self.telegrams(decode("--key", KEY, path)), sent)

    def test_keys_from_a_file(self):
        octets, sent = simulate("e450-pairs", "--count", 1)
        keys = self.file("keys", f"# cellar\n{OTHER_KEY}\n\n{KEY[:16]} {KEY[16:]}\n".encode())
        other = self.file("other", f"{OTHER_KEY}\n{AUTHENTICATION_KEY}\n".encode())
        done = decode("--key", f"@{keys}", "--auth-key", f"@{other}", self.file("t", octets))
        telegrams = self.telegrams(done)
        self.assert_same(telegrams, sent)
        self.assertIs(telegrams[0]["authenticated"], True)

    def test_several_keys(self):
        octets, sent = simulate("kaifa-tinetz", "--count", 1)
        done = decode("--key", OTHER_KEY, "--key", KEY, self.file("t", octets))
        self.assert_same(self.telegrams(done), sent)

    def test_named_link(self):
        octets, sent = simulate("kaifa-noe", "--count", 1)
        done = decode("--link", "mbus", "--key", KEY, self.file("t", octets))
        self.assert_same(self.telegrams(done), sent)

    def test_damaged_telegrams_between_good_ones(self):
        octets, sent = simulate("kaifa-noe", "--count", 40, "--flip", 4, "--noise", 5)
        telegrams = self.telegrams(decode("--key", KEY, self.file("t", octets)))
        self.assert_same(telegrams, [said for said in sent if said.get("fault") != "flip"])

    def test_explain_keeps_standard_output_clean(self):
        octets, sent = simulate("kaifa-noe", "--count", 1)
        done = decode("--explain", "--key", KEY, self.file("t", octets))
        self.assert_same(self.telegrams(done), sent)
        for stage in (b"link", b"reassembly", b"ciphering", b"notification", b"list"):
            self.assertIn(stage, done.stderr)
        self.assertNotIn(KEY.encode(), done.stderr)
        self.assertNotIn(KEY.lower().encode(), done.stderr)


class BadInput(DecodeTest):
    def setUp(self):
        super().setUp()
        self.octets, self.sent = simulate("kaifa-noe", "--count", 1)
        self.good = self.file("good", self.octets)

    def test_no_key(self):
        self.assert_refused(decode(self.good), "encrypted", "KFM", "4B464D6750000009", "--key")

    def test_wrong_key(self):
        done = decode("--key", OTHER_KEY, self.good)
        self.assert_refused(done, "no key", "4B464D6750000009", "check --key")

    def test_wrong_authentication_key(self):
        octets, _ = simulate("e450-pairs", "--count", 1)
        done = decode("--key", KEY, "--auth-key", OTHER_KEY, self.file("t", octets))
        self.assert_refused(done, "authentication key", "LGZ", "--auth-key")

    def test_bit_errors(self):
        for position in (9, 100, 270):
            damaged = bytearray(self.octets)
            damaged[position] ^= 0x10
            with self.subTest(position):
                done = decode("--key", KEY, self.file("t", bytes(damaged)))
                self.assert_refused(done, "damaged")

    def test_damaged_ciphertext_with_mended_checksum(self):
        octets, _ = simulate("kaifa-noe", "--count", 1, "--security", "encrypted+authenticated")
        damaged = bytearray(octets)
        damaged[100] ^= 0x01
        damaged[254] = sum(damaged[4:254]) % 256
        done = decode("--key", KEY, "--auth-key", AUTHENTICATION_KEY,
                      self.file("t", bytes(damaged)))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, b"")

    def test_cut_telegram(self):
        for size in (100, 200, 256, 270, len(self.octets) - 1):
            with self.subTest(size):
                done = decode("--key", KEY, self.file("t", self.octets[:size]))
                self.assert_refused(done, "ends in the middle", "record longer")

    def test_random_bytes(self):
        octets = random.Random(7).randbytes(5000)
        done = decode("--key", KEY, self.file("t", octets))
        self.assert_refused(done, "5000 bytes", "--link")

    def test_empty_file(self):
        self.assert_refused(decode("--key", KEY, self.file("t", b"")), "is empty")
        self.assert_refused(decode("--key", KEY, "-"), "standard input", "is empty")

    def test_directory(self):
        self.assert_refused(decode(self.directory.name), "is a directory")

    def test_missing_file(self):
        self.assert_refused(decode(self.directory.name + "/nix"), "there is no such file")

    def test_unreadable_file(self):
        if os.geteuid() == 0:
            self.skipTest("root reads everything")
        self.good.chmod(0)
        self.assert_refused(decode(self.good), "cannot be opened")

    def test_text_that_is_almost_hex(self):
        path = self.file("t", b"68 fa fa 68\n53 ff x0 01")
        self.assert_refused(decode(path), "not hex", "line 2, column 7: 'x'")

    def test_what_other_programs_make_of_a_file(self):
        octets, sent = simulate("kaifa-noe", "--count", 1)
        text = octets.hex().encode()
        self.assert_same(self.telegrams(decode("--key", KEY, "-",
                                               standard_input=b"\xef\xbb\xbf" + text)), sent)
        self.assert_refused(decode(self.file("t", gzip.compress(text))), "gzip", "zcat")
        self.assert_refused(decode(self.file("t", "# by hand".encode("utf-16"))), "UTF-16")

    def test_half_a_byte(self):
        self.assert_refused(decode(self.file("t", b"68 fa f")), "middle of a byte")

    def test_the_next_good_telegram_is_read(self):
        octets, sent = simulate("kaifa-noe", "--count", 2)
        one = len(self.octets)
        cut = octets[:one // 2] + octets[one:]
        telegrams = DecodeTest.telegrams(self, decode("--key", KEY, self.file("t", cut)))
        self.assert_same(telegrams, sent[1:])


class JsonMessages(DecodeTest):
    """Messages of gateways: one in a file, one a line, or with their topics in front."""

    ELECTRICITY = (b'{"electricitymeter":{"timestamp":"2022-11-07T09:20:08Z","energy":{"export":'
                   b'{"cumulative":0.0,"units":"kWh"},"import":{"cumulative":15254.827,"units":'
                   b'"kWh"}},"power":{"value":0.425,"units":"kW"}}}')
    STATE = (b'{"software":"v1.8.12","smetsversion":"SMETS2","eui":"12:34",'
             b'"han":{"rssi":-75,"status":"joined","lqi":100}}')

    def decode_text(self, text, *arguments):
        return decode(*arguments, "-", standard_input=text)

    def test_families(self):
        for family, link in (("glow-zcl", "glow"), ("glow-ihd", "glow"), ("gplug", "gplug"),
                             ("whatwatt", "whatwatt")):
            with self.subTest(family):
                octets, sent = simulate(family, "--count", 20)
                telegrams = self.telegrams(decode(self.file("t", octets)))
                meters = {said["meter"] for said in sent}
                telegrams = [telegram for telegram in telegrams if telegram["meter"] in meters]
                self.assert_same(telegrams, sent)
                self.assertTrue(all(telegram["link"] == link for telegram in telegrams))
                self.assertEqual([telegram["sequence"] for telegram in telegrams],
                                 [str(number) for number in range(1, 21)])

    def test_topics_of_mosquitto_sub(self):
        done = self.decode_text(
            b"tele/gPlug10/LWT Online\n"
            b"smartmeter/LGZ1/ACTIVE_ENERGY_P {\"value\":12345,\"timestamp\":1629055611}\n"
            b"glow/112233/STATE " + self.STATE + b"\r\n"
            b"glow/112233/SENSOR/electricitymeter " + self.ELECTRICITY + b"\n")
        telegrams = self.telegrams(done)
        self.assertEqual([telegram["meter"] for telegram in telegrams], ["LGZ1", "112233_elec"])
        self.assertEqual(telegrams[0]["readings"], {"energy_import": "12.345"})
        self.assertEqual(telegrams[0]["time"], "2021-08-15T19:26:51+00:00")
        self.assertEqual(telegrams[0]["link"], "datacollector")
        self.assertIn(b"offset 0: this is no JSON object", done.stderr)

    def test_topic_option(self):
        message = b'{"value":12.5}'
        self.assert_refused(self.decode_text(message), "of no gateway that is known", "--topic")
        telegrams = self.telegrams(self.decode_text(message, "--topic", "x/LGZ1/VOLTAGE_L1"))
        self.assertEqual(telegrams[0]["readings"], {"voltage_l1": "12.5"})
        self.assertEqual(telegrams[0]["meter"], "LGZ1")

    def test_on_several_lines(self):
        pretty = json.dumps(json.loads(self.ELECTRICITY), indent=2).encode()
        for text in (pretty, b"\n\n  " + pretty + b"\n", pretty + b"\n" + pretty,
                     b"glow/1/SENSOR " + pretty, self.ELECTRICITY * 3):
            telegrams = self.telegrams(self.decode_text(text))
            self.assertEqual(telegrams[-1]["readings"]["energy_import"], "15254.827")

    def test_a_broken_message_takes_no_good_one_with_it(self):
        broken = [self.ELECTRICITY[:100], b'{"a":"', b'{"a":' + b"[" * 1000, b'{"a":{"b":1}',
                  b'{"a":"' + b"x" * 300_000 + b'"}', b'{"a":"\xff"}', b'{"Pi":1,"Pi":2}',
                  b'{"a":"' + b"x" * 300_000, b"{]}", b'{"z":{"Ei":1.5}']
        for text in broken:
            with self.subTest(text[:20]):
                done = self.decode_text(b"tele/a/SENSOR " + text + b"\n" + self.ELECTRICITY + b"\n"
                                        + text)
                telegrams = self.telegrams(done)
                self.assertEqual(len(telegrams), 1)
                self.assertIn(b"smartmeterctl: offset ", done.stderr)

    def test_reasons(self):
        for text, word in ((b'{"a":1', "truncated"), (b'{"a":01}', "malformed"),
                           (b'{"a":' * 20 + b"1" + b"}" * 20, "nesting-too-deep"),
                           (b'{"a":[' + b"0," * 2000 + b"0]}", "too-many-elements"),
                           (b'{"a":"' + b"x" * 65536 + b'"}', "oversize"),
                           (b'{"a":1}', "list-unknown")):
            with self.subTest(word):
                done = self.decode_text(text)
                self.assertEqual(done.returncode, 1)
                self.assertEqual(done.stdout, b"")
                self.assertIn(f"({word})".encode(), done.stderr)
        self.assertIn(b"offset 5:", self.decode_text(b'{"a":01}').stderr)

    def test_state_of_the_gateway_is_no_telegram(self):
        self.assert_refused(self.decode_text(self.STATE), "state of the gateway alone")

    def test_explain(self):
        done = self.decode_text(b'tele/t/SENSOR {"z":{"Ei":1.5,"Free":2},"ENERGY":{"Power":1}}',
                                "--explain")
        self.assertEqual(len(self.telegrams(done)), 1)
        lines = done.stderr.decode().split("\n")
        for part in ("14  message       tele/t/SENSOR", "format        gplug: ",
                     "ignored       z.Free", "ignored       ENERGY.Power"):
            self.assertTrue([line for line in lines if part in line], part)

    def test_only_where_the_link_is_left_open(self):
        self.assert_refused(self.decode_text(self.ELECTRICITY, "--link", "hdlc"), "not hex")


class WrongUsage(DecodeTest):
    def assert_usage(self, *arguments):
        done = decode(*arguments)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stdout, b"")
        self.assertTrue(done.stderr)
        return done.stderr.decode()

    def test_arguments(self):
        self.assert_usage()
        self.assert_usage("--link", "nix", "x")
        self.assert_usage("--nix", "x")

    def test_keys(self):
        self.assertIn("--key", self.assert_usage("--key", "12", "x"))
        self.assertIn("--key", self.assert_usage("--auth-key", KEY, "x"))
        self.assertIn("/nix/key", self.assert_usage("--key", "@/nix/key", "x"))
        path = self.file("keys", f"{KEY}\nnonsense\n".encode())
        self.assertIn("line 2", self.assert_usage("--key", f"@{path}", "x"))
        secret = "0123456789ABCDEF0123456789ABCDEX"
        self.assertNotIn(secret[:8], self.assert_usage("--key", secret, "x"))

    def test_help_and_version(self):
        for arguments in (["--help"], ["decode", "--help"], ["--version"]):
            done = subprocess.run([SMARTMETERCTL, *arguments], capture_output=True, check=False)
            self.assertEqual(done.returncode, 0)
            self.assertTrue(done.stdout)


class Published(DecodeTest):
    def test_telegram_of_the_operator(self):
        """The telegram that Netz NÖ published with its key."""
        path = CORPUS / "bench/inputs/a1_noe_mbus.bin"
        if not path.exists():
            self.skipTest(f"no corpus: {path}")
        telegrams = self.telegrams(decode("--key", "36C66639E48A8CA4D6BC8B282A793BBB", path))
        self.assertEqual(len(telegrams), 1)
        self.assertEqual(telegrams[0]["meter"], "181220000009")
        self.assertEqual(telegrams[0]["readings"]["energy_import"], "12.937")
        self.assertEqual(telegrams[0]["readings"]["voltage_l1"], "233.7")


if __name__ == "__main__":
    tap.main()

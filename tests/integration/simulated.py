# SPDX-License-Identifier: Apache-2.0
"""Meters written down from their specifications, apart from metersim and from the decoder.

A meter that answers is a function from what the reader wrote so far to (octets used, answer).
"""

import os
import select
import threading
import time

# Siemens AMIS: the telegram and the key that the operator publishes (Netz Oberösterreich,
# technical specification of 05.11.2021): A+ 684.544 kWh, P- 117 W.
AMIS_KEY = "00112233445566778899AABBCCDDEEFF"
AMIS_HELLO = bytes.fromhex("1040F03016")
AMIS_TELEGRAM = bytes.fromhex(
    "685F5F6853F05B000000002D4C010E0D0050053FD0FEB726760CC7AAF0B52B41F0C541BD6306DCD8B91B3DA2311E"
    "F13D2514D0960082161EFEC4B6CB1E0B3328BE6177DCA594C1280024A835F1D655BA7182B256E94BD33AC0A6B08D"
    "A46781EB4E91E01216")


def crc16_arc(octets):
    """CRC-16 of DSMR P1: polynomial A001, reflected, from 0."""
    crc = 0
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def p1(identification, *lines):
    """A telegram of DSMR 4 and later."""
    text = "\r\n".join(["/" + identification, "", *lines, "!"]).encode()
    return text + b"%04X\r\n" % crc16_arc(text)


def hex_of(text):
    return text.encode().hex().upper()


def dutch_p1(gas="G0025003407123456", gas_m3="00123.456", electricity_kwh="001234.567",
             water="W0123456789012345"):
    """DSMR 5: gas on channel 1, water on channel 2."""
    return p1("ISK5\\2M550T-1012", "1-3:0.2.8(50)", "0-0:1.0.0(261120120005W)",
              f"0-0:96.1.1({hex_of('E0044007123456789')})", f"1-0:1.8.1({electricity_kwh}*kWh)",
              "1-0:1.8.2(000002.000*kWh)", "0-0:96.14.0(0002)", "1-0:1.7.0(00.545*kW)",
              "1-0:2.7.0(00.000*kW)", "1-0:32.7.0(230.1*V)",
              "0-1:24.1.0(003)", f"0-1:96.1.0({hex_of(gas)})",
              f"0-1:24.2.1(261120115500W)({gas_m3}*m3)",
              "0-2:24.1.0(007)", f"0-2:96.1.0({hex_of(water)})",
              "0-2:24.2.1(261120110000W)(00042.001*m3)")


def belgian_p1():
    """eMUCS: gas by 24.2.3, water without capture time of its own, peak demand."""
    return p1("FLU5\\253770234_A", "0-0:96.1.4(50217)",
              f"0-0:96.1.1({hex_of('1SAG1100000292')})", "0-0:1.0.0(261120120005W)",
              "1-0:1.8.1(000000.034*kWh)", "1-0:1.8.2(000015.758*kWh)", "0-0:96.14.0(0001)",
              "1-0:1.4.0(02.351*kW)", "1-0:1.6.0(261120110000W)(02.589*kW)",
              "1-0:1.7.0(00.000*kW)", "1-0:2.7.0(00.100*kW)", "0-0:96.3.10(1)",
              "0-1:24.1.0(003)", f"0-1:96.1.1({hex_of('37464C4F32313139303333373333')})",
              "0-1:24.4.0(1)", "0-1:24.2.3(261120115500W)(00112.384*m3)")


def mode_d():
    """IEC 62056-21 mode D: EasyMeter Q3D."""
    return ("/ESY5Q3DA1004 V3.04\r\n\r\n1-0:0.0.0*255(0273011003684)\r\n"
            "1-0:1.8.0*255(00026107.7034231*kWh)\r\n1-0:1.7.0*255(000000.10*W)\r\n"
            "1-0:21.7.255*255(000199.80*W)\r\n!\r\n").encode()


class ModeCMeter:
    """IEC 62056-21 mode C: sign-on, acknowledgement with the speed, data block with its BCC."""

    identification = b"/EMH5\\@01LZQJL0014F\r\n"
    reaction_s = 1.0  # 200 ms to 1500 ms; the speed changes meanwhile

    def __init__(self, kwh="0012.345"):
        body = f"0.0.0(1EMH0012345678)\r\n1.8.0({kwh}*kWh)\r\n2.8.0(000.000*kWh)\r\n!\r\n"
        block = body.encode() + b"\x03"
        bcc = 0
        for octet in block:
            bcc ^= octet
        self.data = b"\x02" + block + bytes([bcc])
        self.signed_on = 0

    def __call__(self, request):
        if b"?!\r\n" in request:
            self.signed_on += 1
            return request.index(b"?!\r\n") + 4, self.identification
        if request.startswith(b"\x06") and len(request) >= 6:
            time.sleep(self.reaction_s)
            return 6, self.data
        return 0, b""


def mbus_frame(control, address, content):
    body = bytes([control, address]) + content
    return bytes([0x68, len(body), len(body), 0x68]) + body + bytes([sum(body) & 0xFF, 0x16])


class Slave:
    """One meter on a wired M-Bus (EN 13757-3): number, medium and one record."""

    def __init__(self, address, number, medium, record):
        self.address, self.medium, self.record = address, medium, record
        self.identification = (bytes.fromhex(number)[::-1] + bytes.fromhex("2D2C") +
                               bytes([1, medium]))  # KAM
        self.alive = True

    def readout(self):
        return mbus_frame(0x08, self.address, b"\x72" + self.identification +
                          bytes([0, 0, 0, 0]) + self.record)


class WiredBus:
    """The slaves of a bus, by primary address."""

    def __init__(self, *slaves):
        self.slaves = {slave.address: slave for slave in slaves}
        self.requests = []

    def __call__(self, request):
        if request[0] == 0x68:  # a long frame: nobody here is selected by it
            size = request[1] + 6 if len(request) > 1 else len(request) + 1
            return (size, b"") if len(request) >= size else (0, b"")
        if request[0] != 0x10:
            return 1, b""
        if len(request) < 5:
            return 0, b""
        control, address = request[1], request[2]
        self.requests.append((control, address))
        slave = self.slaves.get(address)
        if slave is None or not slave.alive:
            return 5, b""
        if control == 0x40:  # SND_NKE
            return 5, b"\xe5"
        if control in (0x5B, 0x7B):  # REQ_UD2
            return 5, slave.readout()
        return 5, b""


class Line:
    """What the reader writes to a pty's meter end, and what the meter says to it."""

    def __init__(self, pty, meter=None, echo=False):
        self.pty, self.meter, self.echo = pty, meter, echo
        self.written = b""
        self.times = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        pending = b""
        while not self.ended.is_set():
            if not select.select([self.pty.master], [], [], 0.05)[0]:
                continue
            try:
                octets = os.read(self.pty.master, 4096)
            except OSError:
                return
            self.times.append(time.monotonic())  # first: whoever sees `written` looks at it
            self.written += octets
            if self.echo:
                self.pty.send(octets)
            pending += octets
            while pending and self.meter:
                used, answer = self.meter(pending)
                pending = pending[used:]
                if answer:
                    self.pty.send(answer)
                if not used:
                    break

    def stop(self):
        self.ended.set()
        self.thread.join(5)

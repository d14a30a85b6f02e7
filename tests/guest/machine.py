# SPDX-License-Identifier: Apache-2.0
"""A guest under qemu, without KVM: shell commands in it, USB adapters to plug into it.

Every wait has a limit far above what it takes, and none is a measurement.
"""

import base64
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

QEMU = "qemu-system-x86_64"
BOOT_LIMIT_S = 180
LIMIT_S = 120
# No console output but the kernel's complaints, nothing that slows emulation down.
KERNEL_OPTIONS = ("console=ttyS0 quiet loglevel=4 systemd.show_status=0 audit=0 apparmor=0 "
                  "mitigations=off nokaslr no_timer_check tsc=reliable random.trust_cpu=on")


class Failed(AssertionError):
    """A command in the guest has failed."""


class Channel:
    """A connection to one of qemu's sockets, read by the line."""

    def __init__(self, path, process):
        self.socket = socket.socket(socket.AF_UNIX)
        self.rest = b""
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                self.socket.connect(str(path))
                return
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(
                        f"qemu does not start (exit status {process.poll()})") from error
                time.sleep(0.02)

    def read_line(self, limit):
        deadline = time.monotonic() + limit
        while b"\n" not in self.rest:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                octets = self.socket.recv(1 << 16)
            except TimeoutError as error:
                raise AssertionError(f"waited {limit} s for an answer") from error
            if not octets:
                raise AssertionError("qemu has ended")
            self.rest += octets
        line, _, self.rest = self.rest.partition(b"\n")
        return line

    def write(self, octets):
        self.socket.settimeout(LIMIT_S)
        self.socket.sendall(octets)

    def close(self):
        self.socket.close()


class Adapter:
    """A USB serial adapter that qemu emulates (an FT232 with a serial number of its own), and the
    meter's end of its line.
    """

    def __init__(self, machine, index, serial, plugged):
        self.machine = machine
        self.plugged = plugged
        self.port = index + 1  # always the same: where it is plugged in may be its name
        self.name = f"usb{index}"
        self.chardev = f"line{index}"
        self.serial = serial
        # The device is on the bus only while somebody is connected to its line.
        self.line = Channel(machine.directory / self.chardev, machine.process)

    def device(self):
        return {"driver": "usb-serial", "id": self.name, "chardev": self.chardev,
                "serial": self.serial, "bus": "xhci.0", "port": str(self.port)}

    def plug(self):
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                self.machine.control("device_add", **self.device())
                self.plugged = True
                return
            except Failed:  # the one that was unplugged is not quite gone
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def unplug(self):
        """Where it is plugged in at all."""
        if self.plugged:
            self.machine.control("device_del", id=self.name)
            self.plugged = False

    def send(self, octets):
        self.line.write(octets)


class Machine:
    """One boot. `archives` are unpacked over the image's root file system, in this order; the
    adapters with these serial numbers can be plugged in, those of `plugged` are.
    """

    def __init__(self, image, archives, serials, plugged=(), memory_mib=768):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="smartmeterd-guest-"))
        try:
            self._start(image, archives, serials, plugged, memory_mib)
            self.adapters = [Adapter(self, index, serial, serial in plugged)
                             for index, serial in enumerate(serials)]
            self._wait_ready()
        except BaseException:
            self.close()
            raise

    def _start(self, image, archives, serials, plugged, memory_mib):
        root = self.directory / "root.cpio"
        with open(root, "wb") as out:
            for path in (image / "root.cpio", *archives):
                with open(path, "rb") as archive:
                    shutil.copyfileobj(archive, out, 1 << 20)

        def socket_of(name):
            return f"socket,id={name},path={self.directory / name},server=on,wait=off"
        command = [
            "setpriv", "--pdeathsig", "KILL",  # never outlives the test
            QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "q35,usb=off,vmport=off,hpet=off", "-accel", "tcg,thread=multi",
            "-cpu", "max", "-smp", "2", "-m", str(memory_mib),
            "-kernel", str(image / "kernel"), "-initrd", str(root), "-append", KERNEL_OPTIONS,
            "-serial", f"file:{self.directory / 'console'}",
            "-chardev", socket_of("control"), "-mon", "chardev=control,mode=control",
            "-device", "virtio-serial-pci", "-chardev", socket_of("agent"),
            "-device", "virtserialport,chardev=agent,name=agent", "-device", "qemu-xhci,id=xhci"]
        for index, serial in enumerate(serials):
            command += ["-chardev", socket_of(f"line{index}")]
            if serial in plugged:
                command += ["-device", f"usb-serial,id=usb{index},chardev=line{index},"
                                       f"serial={serial},bus=xhci.0,port={index + 1}"]
        with open(self.directory / "qemu.log", "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        self.monitor = Channel(self.directory / "control", self.process)
        self.agent = Channel(self.directory / "agent", self.process)
        self.control("qmp_capabilities")

    def _wait_ready(self):
        try:
            self.agent.read_line(BOOT_LIMIT_S)
        except AssertionError as error:
            raise AssertionError(f"the guest does not boot: {error}\n{self.console()}") from error
        self.shell("systemctl is-system-running --wait >/dev/null", check=False)

    def control(self, command, **arguments):
        """Asks qemu's monitor; Failed with its words when it refuses."""
        self.monitor.write(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            answer = json.loads(self.monitor.read_line(LIMIT_S))
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise Failed(f"{command}: {answer['error']['desc']}")

    def shell(self, command, check=True, limit=LIMIT_S):
        """The output, errors included, of a shell command run by root in the guest."""
        status, output = self.attempt(command, limit)
        if check and status != 0:
            raise Failed(f"exit status {status}: {command}\n{output}")
        return output

    def attempt(self, command, limit=LIMIT_S):
        """Exit status and output of a shell command."""
        self.agent.write(b"%d %s\n" % (limit, base64.b64encode(command.encode())))
        # The guest itself ends what takes too long: no answer is left for the next command.
        status, _, output = self.agent.read_line(limit + LIMIT_S).partition(b" ")
        return int(status), base64.b64decode(output).decode(errors="replace")

    def wait(self, condition, limit=LIMIT_S):
        """Until a command succeeds in the guest; its output then."""
        status, output = self.attempt(
            f"end=$((SECONDS + {limit})); until output=$( {{ {condition}; }} 2>&1); do "
            "[ $SECONDS -lt $end ] || { echo \"$output\"; exit 1; }; sleep 0.05; done; "
            "echo \"$output\"", limit + LIMIT_S)
        if status != 0:
            raise Failed(f"waited {limit} s for: {condition}\n{output}")
        return output

    def write(self, path, octets):
        """Bytes into a file, pipe or device of the guest; they are in no message."""
        status, output = self.attempt(
            f"base64 -d >{path} <<<{base64.b64encode(octets).decode()}")
        if status != 0:
            raise Failed(f"{path} cannot be written: {output}")

    def console(self):
        path = self.directory / "console"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self):
        process = getattr(self, "process", None)
        if process is not None:
            process.kill()  # nothing of the guest is kept
            process.wait()
        channels = [adapter.line for adapter in getattr(self, "adapters", [])]
        for channel in (getattr(self, "monitor", None), getattr(self, "agent", None), *channels):
            if channel is not None:
                channel.close()
        shutil.rmtree(self.directory, ignore_errors=True)

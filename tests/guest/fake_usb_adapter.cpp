// SPDX-License-Identifier: Apache-2.0
// A USB serial adapter in user space, for the guest: the kernel's virtual host controller
// (vhci_hcd) shows it on a bus, and the kernel's own driver for its chip makes the port. Between
// the controller and this program runs the protocol of USB/IP (Linux, Documentation/usb/
// usbip_protocol.rst) over a socket pair. The numbers of chapter 9 of USB 2.0 are meant by "9.x".
//   fake-usb-adapter CHIP FIFO
// What is written into FIFO is what the meter sends. Ending the program pulls the plug.
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using Octets = std::vector<std::uint8_t>;

// Endpoint types, 9.6.6.
constexpr std::uint8_t bulk = 2;
constexpr std::uint8_t interrupt = 3;
constexpr std::uint8_t in = 0x80;

struct Endpoint {
  std::uint8_t address, type, size;
};

/// One interface: its class, what stands between it and its endpoints, and these.
struct Interface {
  std::uint8_t class_code, subclass, protocol;
  Octets functional;
  std::vector<Endpoint> endpoints;
};

/// A chip as the market has it, or a product with one inside.
struct Chip {
  std::string_view name;
  std::string_view driver;  ///< the kernel's
  std::uint16_t vendor_id, product_id, release;
  std::uint8_t device_class = 0;
  std::string_view vendor = {}, product = {}, serial = {};  ///< an empty one: the chip has none
  std::vector<Interface> interfaces;
  std::uint8_t data_in;  ///< number of the endpoint that received bytes come from
};

std::span<const Chip> chips() {
  // USB class definitions for communication devices 1.2: header, call management, abstract control
  // model and union; the next interface carries the data.
  static const Octets cdc{5, 0x24, 0, 0x10, 1, 5, 0x24, 1, 0, 1, 4, 0x24, 2, 2, 5, 0x24, 6, 0, 1};
  static const auto all = std::to_array<Chip>({
      {.name = "cp210x",
       .driver = "cp210x",
       .vendor_id = 0x10c4,
       .product_id = 0xea60,
       .release = 0x0100,
       .vendor = "Silicon Labs",
       .product = "CP2102 USB to UART Bridge Controller",
       .serial = "0001",
       .interfaces = {{0xff, 0, 0, {}, {{in | 1, bulk, 64}, {2, bulk, 64}}}},
       .data_in = 1},
      {.name = "kamstrup-eye",
       .driver = "cp210x",
       .vendor_id = 0x17a8,
       .product_id = 0x0001,
       .release = 0x0100,
       .vendor = "Kamstrup A/S",
       .product = "Kamstrup Optical Eye",
       .serial = "EYE1",
       .interfaces = {{0xff, 0, 0, {}, {{in | 1, bulk, 64}, {2, bulk, 64}}}},
       .data_in = 1},
      {.name = "ch341",
       .driver = "ch341",
       .vendor_id = 0x1a86,
       .product_id = 0x7523,
       .release = 0x0264,
       .device_class = 0xff,
       .product = "USB Serial",
       .interfaces =
           {{0xff, 1, 2, {}, {{in | 2, bulk, 32}, {2, bulk, 32}, {in | 1, interrupt, 8}}}},
       .data_in = 2},
      {.name = "pl2303",
       .driver = "pl2303",
       .vendor_id = 0x067b,
       .product_id = 0x2303,
       .release = 0x0300,
       .vendor = "Prolific Technology Inc.",
       .product = "USB-Serial Controller",
       .interfaces =
           {{0xff, 0, 0, {}, {{in | 1, interrupt, 10}, {2, bulk, 64}, {in | 3, bulk, 64}}}},
       .data_in = 3},
      {.name = "cdc-acm",
       .driver = "cdc_acm",
       .vendor_id = 0x0483,
       .product_id = 0x5740,
       .release = 0x0200,
       .device_class = 2,
       .vendor = "STMicroelectronics",
       .product = "STM32 Virtual ComPort",
       .serial = "SN77",
       .interfaces = {{2, 2, 1, cdc, {{in | 3, interrupt, 8}}},
                      {10, 0, 0, {}, {{in | 1, bulk, 64}, {2, bulk, 64}}}},
       .data_in = 1},
  });
  return all;
}

void put_u16(Octets& octets, std::uint16_t value) {
  octets.push_back(static_cast<std::uint8_t>(value & 0xff));
  octets.push_back(static_cast<std::uint8_t>(value >> 8));
}

Octets device_descriptor(const Chip& chip) {
  Octets octets{18, 1, 0x10, 0x01, chip.device_class, 0, 0, 64};
  put_u16(octets, chip.vendor_id);
  put_u16(octets, chip.product_id);
  put_u16(octets, chip.release);
  const auto index = [](std::string_view text, std::uint8_t number) {
    return static_cast<std::uint8_t>(text.empty() ? 0 : number);
  };
  octets.insert(octets.end(),
                {index(chip.vendor, 1), index(chip.product, 2), index(chip.serial, 3), 1});
  return octets;
}

Octets configuration_descriptor(const Chip& chip) {
  Octets octets{9, 2, 0, 0, static_cast<std::uint8_t>(chip.interfaces.size()), 1, 0, 0x80, 50};
  std::uint8_t number = 0;
  for (const Interface& interface : chip.interfaces) {
    const auto endpoints = static_cast<std::uint8_t>(interface.endpoints.size());
    octets.insert(octets.end(), {9, 4, number++, 0, endpoints, interface.class_code,
                                 interface.subclass, interface.protocol, 0});
    octets.insert(octets.end(), interface.functional.begin(), interface.functional.end());
    for (const auto& [address, type, size] : interface.endpoints) {
      const std::uint8_t interval_ms = type == interrupt ? 10 : 0;
      octets.insert(octets.end(), {7, 5, address, type, size, 0, interval_ms});
    }
  }
  octets[2] = static_cast<std::uint8_t>(octets.size());
  return octets;
}

Octets string_descriptor(const Chip& chip, unsigned index) {
  if (index == 0) return {4, 3, 0x09, 0x04};  // English
  const std::string_view text = index == 1 ? chip.vendor : index == 2 ? chip.product : chip.serial;
  Octets octets{static_cast<std::uint8_t>(2 + 2 * text.size()), 3};
  for (const char character : text) put_u16(octets, static_cast<std::uint8_t>(character));
  return octets;
}

/// Setup data of a control transfer, 9.3.
struct Setup {
  std::uint8_t type, request;
  std::uint16_t value;
};

/// What the chips' drivers want to read before they trust them.
Octets vendor_answer(const Chip& chip, const Setup& setup, std::size_t size) {
  Octets octets(size, 0);
  if (chip.driver == "cp210x" && setup.value == 0x370b) octets.at(0) = 2;    // part: CP2102
  if (chip.driver == "ch341" && setup.request == 0x5f) octets.at(0) = 0x31;  // version
  return octets;
}

Octets control_answer(const Chip& chip, const Setup& setup, std::size_t size) {
  const unsigned index = setup.value & 0xff;
  if (setup.type != 0x80) return vendor_answer(chip, setup, size);
  if (setup.request == 6) {  // GET_DESCRIPTOR, 9.4.3
    switch (setup.value >> 8) {
      case 1:
        return device_descriptor(chip);
      case 2:
        return configuration_descriptor(chip);
      case 3:
        return string_descriptor(chip, index);
      default:
        return {};
    }
  }
  return Octets(size, 0);
}

/// The messages of USB/IP.
enum class Command : std::uint32_t { submit = 1, unlink = 2, submitted = 3, unlinked = 4 };

/// A header as it is sent: big endian, 48 octets.
struct Header {
  std::uint32_t command, sequence, device, direction, endpoint;
  std::array<std::uint32_t, 5> fields;
  std::array<std::uint8_t, 8> setup;
};
static_assert(sizeof(Header) == 48);

struct Request {
  std::uint32_t sequence, endpoint;
  std::size_t size;
};

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// The device on its bus.
class Device {
 public:
  Device(const Chip& chip, const char* fifo) : chip_(chip) {
    // For reading and writing: the pipe does not end when a writer closes it.
    line_ = ::open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (line_ < 0) fail(fifo);
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) fail("socketpair");
    bus_ = pair[0];
    attach(pair[1]);
    ::close(pair[1]);
  }

  /// Until the controller lets the device go.
  void run() {
    while (true) {
      const auto reader = std::ranges::find(waiting_, chip_.data_in, &Request::endpoint);
      std::array<pollfd, 2> polled{{{bus_, POLLIN, 0}, {line_, POLLIN, 0}}};
      ::poll(polled.data(), reader == waiting_.end() ? 1 : 2, -1);
      if (polled[1].revents != 0)
        deliver(reader);
      else if (polled[0].revents != 0 && !answer())
        return;
    }
  }

 private:
  /// Plugs the other end of the socket pair into a free port of the controller.
  static void attach(int socket) {
    const std::string controller = "/sys/devices/platform/vhci_hcd.0/";
    std::ifstream status(controller + "status");
    if (!status) fail(controller + "status");
    constexpr int free_port = 4, full_speed = 2, device_id = 0x10002;
    std::string line;
    while (std::getline(status, line)) {
      std::istringstream columns(line);
      std::string hub;
      int port = 0, state = 0;
      if (!(columns >> hub >> port >> state) || hub != "hs" || state != free_port) continue;
      std::ofstream attached(controller + "attach");
      attached << port << ' ' << socket << ' ' << device_id + port << ' ' << full_speed
               << std::flush;
      if (!attached) fail(controller + "attach");
      return;
    }
    throw std::runtime_error("vhci_hcd has no free port");
  }

  /// Whether all of it could be read.
  bool read(void* data, std::size_t size) const {
    // To receive nothing would wait for something.
    return size == 0 || ::recv(bus_, data, size, MSG_WAITALL) == static_cast<ssize_t>(size);
  }

  void reply(Command command, std::uint32_t sequence, std::int32_t status, std::size_t length = 0,
             std::span<const std::uint8_t> data = {}) const {
    Header header{};
    header.command = htonl(static_cast<std::uint32_t>(command));
    header.sequence = htonl(sequence);
    header.fields[0] = htonl(static_cast<std::uint32_t>(status));
    header.fields[1] = htonl(static_cast<std::uint32_t>(length));
    Octets message(sizeof header + data.size());
    std::memcpy(message.data(), &header, sizeof header);
    std::ranges::copy(data, message.begin() + sizeof header);
    if (::send(bus_, message.data(), message.size(), 0) < 0) fail("send");
  }

  void reply_data(const Request& request, Octets data) const {
    data.resize(std::min(data.size(), request.size));
    reply(Command::submitted, request.sequence, 0, data.size(), data);
  }

  /// What the meter sent goes to the driver's oldest request, one packet at most.
  void deliver(std::deque<Request>::iterator reader) {
    Octets packet(std::min<std::size_t>(reader->size, 32));
    const ssize_t count = ::read(line_, packet.data(), packet.size());
    if (count <= 0) return;
    packet.resize(static_cast<std::size_t>(count));
    const Request request = *reader;
    waiting_.erase(reader);
    reply_data(request, packet);
  }

  /// One message of the controller; false when it has let the device go.
  bool answer() {
    Header header{};
    if (!read(&header, sizeof header)) return false;
    const Request request{ntohl(header.sequence), ntohl(header.endpoint), ntohl(header.fields[1])};
    if (static_cast<Command>(ntohl(header.command)) == Command::unlink) {
      const auto cancelled =
          std::ranges::find(waiting_, ntohl(header.fields[0]), &Request::sequence);
      const bool found = cancelled != waiting_.end();
      if (found) waiting_.erase(cancelled);
      reply(Command::unlinked, request.sequence, found ? -ECONNRESET : 0);
      return true;
    }
    const bool to_host = header.direction != 0;
    if (to_host && request.endpoint != 0) {
      waiting_.push_back(request);
      return true;
    }
    if (!to_host) {  // settings and data: taken, and forgotten
      Octets data(request.size);
      if (!read(data.data(), data.size())) return false;
      reply(Command::submitted, request.sequence, 0, request.size);
      return true;
    }
    const auto& setup = header.setup;
    const auto value = static_cast<std::uint16_t>(setup[2] | setup[3] << 8);
    const Octets data = control_answer(chip_, {setup[0], setup[1], value}, request.size);
    if (data.empty())
      reply(Command::submitted, request.sequence, -EPIPE);  // a stall: not there
    else
      reply_data(request, data);
    return true;
  }

  const Chip& chip_;
  int line_ = -1, bus_ = -1;
  std::deque<Request> waiting_;  ///< reads for which there is nothing yet
};

}  // namespace

int main(int argc, char** argv) {
  const std::string_view name = argc == 3 ? argv[1] : "";
  const auto chip = std::ranges::find(chips(), name, &Chip::name);
  if (chip == chips().end()) {
    std::fprintf(stderr, "usage: fake-usb-adapter CHIP FIFO, where CHIP is one of\n");
    for (const Chip& one : chips()) std::fprintf(stderr, "  %s\n", std::string(one.name).c_str());
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  try {
    Device(*chip, argv[2]).run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fake-usb-adapter: %s\n", error.what());
    return 1;
  }
  return 0;
}

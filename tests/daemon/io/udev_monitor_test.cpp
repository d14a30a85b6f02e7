// SPDX-License-Identifier: Apache-2.0
// DeviceMonitor on a machine made by umockdev: run through umockdev-wrapper. udev's database is
// not umockdev's business: it is written here, into a /run of our own.
#include <dlfcn.h>
#include <fcntl.h>
#include <libudev.h>
#include <sched.h>
#include <sys/mount.h>
#include <umockdev.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "daemon/io/device_monitor.hpp"
#include "tests/daemon/io/io_fixture.hpp"

namespace {

bool next_event_is_lost = false;

}  // namespace

/// In front of libudev's own: loses an event as a full socket buffer does (ENOBUFS).
extern "C" udev_device* udev_monitor_receive_device(udev_monitor* monitor) {
  using Function = udev_device* (*)(udev_monitor*);
  static const auto real =
      reinterpret_cast<Function>(dlsym(RTLD_NEXT, "udev_monitor_receive_device"));
  auto* device = real(monitor);
  if (device == nullptr || !next_event_is_lost) return device;
  next_event_is_lost = false;
  udev_device_unref(device);
  errno = ENOBUFS;
  return nullptr;
}

namespace smartmeterd::io {
namespace {

namespace fs = std::filesystem;

/// An empty /run in a mount namespace of this process; without root also a user namespace.
class PrivateRun : public testing::Environment {
 public:
  static inline std::string problem;
  void SetUp() override {
    const auto uid = geteuid();
    if (unshare(CLONE_NEWNS | (uid != 0 ? CLONE_NEWUSER : 0)) != 0) return fail("unshare");
    if (uid != 0) std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1";
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return fail("mount");
    if (mount("run", "/run", "tmpfs", 0, nullptr) != 0) return fail("mount /run");
  }

 private:
  static void fail(const char* what) { problem = std::string(what) + ": " + std::strerror(errno); }
};
const auto* const private_run = testing::AddGlobalTestEnvironment(new PrivateRun);

struct Unref {
  void operator()(UMockdevTestbed* testbed) const { g_object_unref(testbed); }
};

class UdevMonitorTest : public LoopTest {
 protected:
  void SetUp() override {
    if (!PrivateRun::problem.empty()) GTEST_SKIP() << "no /run of our own: " << PrivateRun::problem;
    LoopTest::SetUp();
    if (IsSkipped()) return;
    fs::create_directories("/run/udev/data");
    fs::create_directories("/run/udev/tags/smartmeter");
    std::ofstream("/run/udev/control");
    testbed.reset(umockdev_testbed_new());
    if (!umockdev_in_mock_environment()) GTEST_SKIP() << "not run through umockdev-wrapper";
  }
  void TearDown() override { fs::remove_all("/run/udev"); }

  static std::string syspath(int number) {
    const auto n = std::to_string(number);
    return "/sys/devices/usb1/1-" + n + "/ttyUSB" + n + "/tty/ttyUSB" + n;
  }
  static std::string device_id(int number) { return "c188:" + std::to_string(number); }

  /// Plugs ttyUSB<number> in, as the rules would have it; an "add" event follows.
  void plug(int number, bool claimed = true) {
    const auto n = std::to_string(number);
    const std::string tags = claimed ? ":systemd:smartmeter:" : ":systemd:";
    const std::string record =
        "P: " + syspath(number).substr(4) + "\nN: ttyUSB" + n + "\nE: DEVNAME=/dev/ttyUSB" + n +
        "\nE: MAJOR=188\nE: MINOR=" + n +
        "\nE: SUBSYSTEM=tty\nE: USEC_INITIALIZED=1\nE: TAGS=" + tags + "\nE: CURRENT_TAGS=" + tags +
        "\nE: SMARTMETER_KIND=mbus\nE: SMARTMETER_NAME=cellar"
        "\nE: ID_VENDOR_ID=0403\nE: ID_MODEL_ID=6001\nE: ID_SERIAL_SHORT=A9XYZ" +
        n + "\nE: DEVLINKS=/dev/smartmeter_mbus /dev/smartmeter/by-id/mbus-FTDI_A9XYZ" + n +
        "\nA: dev=188:" + n + "\\n\n";
    std::ofstream database("/run/udev/data/" + device_id(number));
    database << "S:smartmeter_mbus\nS:smartmeter/by-id/mbus-FTDI_A9XYZ" << n
             << "\nI:1\nE:SMARTMETER_KIND=mbus\nE:SMARTMETER_NAME=cellar\nE:ID_VENDOR_ID=0403"
                "\nE:ID_MODEL_ID=6001\nE:ID_SERIAL_SHORT=A9XYZ"
             << n << "\nG:systemd\nQ:systemd\n";
    if (claimed) {
      database << "G:smartmeter\nQ:smartmeter\n";
      std::ofstream("/run/udev/tags/smartmeter/" + device_id(number));
    }
    database << "V:1\n";
    database.close();
    GError* error = nullptr;
    ASSERT_TRUE(umockdev_testbed_add_from_string(testbed.get(), record.c_str(), &error))
        << error->message;
  }
  void forget_in_database(int number) {
    fs::remove("/run/udev/data/" + device_id(number));
    fs::remove("/run/udev/tags/smartmeter/" + device_id(number));
  }
  void event(int number, const char* action) {
    umockdev_testbed_uevent(testbed.get(), syspath(number).c_str(), action);
  }

  void start() {
    const auto teller = [this](const char* what) {
      return [this, what](const SerialDevice& serial) { tell(what, serial); };
    };
    monitor = DeviceMonitor::start(*loop,
                                   {.added = teller("+"),
                                    .changed = teller("~"),
                                    .removed = teller("-"),
                                    .released = teller("!")},
                                   problem);
  }
  void tell(const char* what, const SerialDevice& serial) {
    trace += what + serial.node.substr(serial.node.size() - 1);
    last = serial;
  }
  testing::AssertionResult traced(const std::string& expected) {
    auto result = run_until([&] { return trace.size() >= expected.size(); });
    settle();
    if (trace != expected) return testing::AssertionFailure() << trace << " for " << expected;
    return result;
  }

  std::unique_ptr<UMockdevTestbed, Unref> testbed;
  std::unique_ptr<DeviceMonitor> monitor;
  std::string problem, trace;
  SerialDevice last;
};
INSTANTIATE_TEST_SUITE_P(, UdevMonitorTest, testing::Values(Backend::io_uring, Backend::epoll),
                         backend_text);

TEST_P(UdevMonitorTest, FindsWhatIsThere) {
  plug(0);
  plug(1, false);
  start();
  ASSERT_TRUE(monitor) << problem;
  EXPECT_EQ(trace, "+0");
  EXPECT_EQ(last.syspath, syspath(0));
  EXPECT_EQ(last.node, "/dev/ttyUSB0");
  EXPECT_EQ(last.links, (std::vector<std::string>{"/dev/smartmeter/by-id/mbus-FTDI_A9XYZ0",
                                                  "/dev/smartmeter_mbus"}));
  EXPECT_EQ(last.kind, "mbus");
  EXPECT_EQ(last.usb_id, "0403:6001");
  EXPECT_EQ(last.serial, "A9XYZ0");
  EXPECT_EQ(last.stable_name(), "mbus-FTDI_A9XYZ0");
}

TEST_P(UdevMonitorTest, HearsOfAddChangeRemove) {
  start();
  ASSERT_TRUE(monitor) << problem;
  plug(0);
  EXPECT_TRUE(traced("+0"));
  EXPECT_EQ(last.stable_name(), "mbus-FTDI_A9XYZ0");
  plug(1, false);
  plug(2);
  EXPECT_TRUE(traced("+0+2"));
  event(0, "change");
  EXPECT_TRUE(traced("+0+2~0"));
  event(0, "add");  // udevadm trigger: known already
  EXPECT_TRUE(traced("+0+2~0~0"));
  event(0, "remove");
  event(0, "remove");
  event(2, "remove");
  EXPECT_TRUE(traced("+0+2~0~0-0-2"));
  EXPECT_EQ(last.serial, "A9XYZ2");
}

TEST_P(UdevMonitorTest, AnAdapterThatLosesItsTagIsReleased) {
  plug(0);
  start();
  ASSERT_TRUE(monitor) << problem;
  umockdev_testbed_set_property(testbed.get(), syspath(0).c_str(), "CURRENT_TAGS", ":systemd:");
  event(0, "change");
  EXPECT_TRUE(traced("+0!0"));
}

TEST_P(UdevMonitorTest, LostEventsAreMadeUpFor) {
  plug(0);
  plug(1);
  plug(3);
  start();
  ASSERT_TRUE(monitor) << problem;
  ASSERT_EQ(trace.size(), 6u);
  trace.clear();
  forget_in_database(0);  // nobody's any more
  forget_in_database(3);
  umockdev_testbed_remove_device(testbed.get(), syspath(3).c_str());
  next_event_is_lost = true;
  plug(2);
  EXPECT_TRUE(run_until([&] { return trace.find('-') != trace.npos; }));
  EXPECT_NE(trace.find("+2"), trace.npos) << trace;
  EXPECT_NE(trace.find("!0"), trace.npos) << trace;
  EXPECT_NE(trace.find("-3"), trace.npos) << trace;
  EXPECT_EQ(trace.find("-1"), trace.npos) << trace;
}

TEST_P(UdevMonitorTest, WithoutUdevItSaysSo) {
  fs::remove("/run/udev/control");
  start();
  EXPECT_FALSE(monitor);
  EXPECT_NE(problem.find("udev does not run here"), problem.npos) << problem;
}

}  // namespace
}  // namespace smartmeterd::io

// SPDX-License-Identifier: Apache-2.0
// smartmeterctl doctor: device nodes, accounts, programs and the journal of this machine.
#include "tools/smartmeterctl/doctor_system.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <systemd/sd-journal.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "tools/smartmeterctl/key_file.hpp"
#include "tools/smartmeterctl/system_file.hpp"

namespace smartmeterctl {
namespace {

namespace fs = std::filesystem;

constexpr const char* service_user = "smartmeterd";

/// Chips that anything is built with, for which the kernel's drivers ftdi_sio, cp210x, ch341,
/// pl2303 and cdc_acm make a port (their tables of ids). Meters' own products are in
/// 61-smartmeter.hwdb.
constexpr std::array<std::string_view, 14> serial_chips = {
    "0403:6001", "0403:6010", "0403:6011", "0403:6014", "0403:6015", "10c4:ea60", "1a86:5523",
    "1a86:7522", "1a86:7523", "1a86:55d3", "1a86:55d4", "067b:2303", "067b:23a3", "067b:23c3"};

/// Whether a USB device with these ids makes a serial port of itself.
bool makes_port(const SerialPort& chip) {
  if (std::ranges::find(serial_chips, chip.usb_id()) != serial_chips.end()) return true;
  const std::string kind = product_kind(chip);
  return !kind.empty() && kind != "none";
}

/// What a POSIX access control list says of named users and all groups, as the kernel stores it
/// (linux/posix_acl_xattr.h: version 2, then tag, permissions and id of each, little-endian). A
/// node without a list has no entries.
std::vector<Node::Grant> grants_of(const char* path, std::uint32_t owning_group) {
  constexpr std::uint32_t version = 2;
  constexpr std::uint16_t tag_user = 0x02, tag_owning_group = 0x04, tag_group = 0x08;
  constexpr std::uint16_t tag_mask = 0x10, read_write = 06;
  struct Entry {
    std::uint16_t tag, permissions;
    std::uint32_t id;
  };
  char buffer[4096];
  const ssize_t size = ::getxattr(path, "system.posix_acl_access", buffer, sizeof buffer);
  std::uint32_t found = 0;
  if (size < static_cast<ssize_t>(sizeof found)) return {};
  std::memcpy(&found, buffer, sizeof found);
  if (found != version) return {};
  std::vector<Entry> entries((static_cast<std::size_t>(size) - sizeof found) / sizeof(Entry));
  std::memcpy(entries.data(), buffer + sizeof found, entries.size() * sizeof(Entry));
  std::uint16_t mask = read_write;
  for (const Entry& entry : entries)
    if (entry.tag == tag_mask) mask = entry.permissions;
  std::vector<Node::Grant> grants;
  for (const Entry& entry : entries)
    if (entry.tag == tag_user || entry.tag == tag_group || entry.tag == tag_owning_group)
      grants.push_back({entry.tag != tag_user,
                        entry.tag == tag_owning_group ? owning_group : entry.id,
                        (entry.permissions & mask & read_write) == read_write});
  return grants;
}

/// The line of a file of /proc that starts with `key`, without it.
std::string proc_line(const fs::path& file, std::string_view key) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);)
    if (line.starts_with(key)) return line.substr(key.size());
  return {};
}

std::vector<std::uint32_t> numbers(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::uint32_t> found;
  for (std::uint32_t number; stream >> number;) found.push_back(number);
  return found;
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

File open_below(const std::string& root, const char* path) {
  return File(std::fopen(below(root, path).c_str(), "re"));
}

Account account_of_process(pid_t process) {
  const fs::path status = fmt::format("/proc/{}/status", process);
  Account account;
  // Real, effective, saved, file system.
  const auto users = numbers(proc_line(status, "Uid:"));
  const auto groups = numbers(proc_line(status, "Gid:"));
  account.is_there = users.size() > 1 && groups.size() > 1;
  if (!account.is_there) return account;
  account.user = users[1];
  account.groups = numbers(proc_line(status, "Groups:"));
  account.groups.push_back(groups[1]);
  const struct passwd* user = ::getpwuid(account.user);
  account.name = user != nullptr ? user->pw_name : fmt::format("{}", account.user);
  return account;
}

Account account_of_user(const std::string& root, const char* name) {
  Account account{.name = name, .is_there = false, .user = 0, .groups = {}};
  if (const File file = open_below(root, "/etc/passwd"))
    while (const struct passwd* user = ::fgetpwent(file.get()))
      if (std::string_view(user->pw_name) == name) {
        account.is_there = true;
        account.user = user->pw_uid;
        account.groups.push_back(user->pw_gid);
      }
  if (const File file = open_below(root, "/etc/group"))
    while (const struct group* group = ::fgetgrent(file.get()))
      for (char** member = group->gr_mem; *member != nullptr; ++member)
        if (std::string_view(*member) == name) account.groups.push_back(group->gr_gid);
  return account;
}

std::string command_of(const fs::path& process) {
  std::string command;
  std::getline(std::ifstream(process / "comm"), command);
  return printable(command);
}

/// The service that systemd started a process for: "0::/system.slice/vzlogger.service".
std::string unit_of(pid_t process) {
  const std::string group = proc_line(fmt::format("/proc/{}/cgroup", process), "0::");
  if (!group.starts_with("/system.slice/") || !group.ends_with(".service")) return {};
  return printable(group.substr(group.rfind('/') + 1));
}

/// Who holds a lock of flock(2) on a node: everybody may read /proc/locks.
std::vector<Holder> lock_holders(const struct stat& node) {
  const std::string wanted =
      fmt::format("{:02x}:{:02x}:{}", major(node.st_dev), minor(node.st_dev), node.st_ino);
  std::vector<Holder> holders;
  std::ifstream stream("/proc/locks");
  for (std::string line; std::getline(stream, line);) {
    // "1: FLOCK  ADVISORY  WRITE 1234 00:05:123 0 EOF"
    std::istringstream words(line);
    std::string number, type, kind, access, inode;
    pid_t pid = 0;
    if (words >> number >> type >> kind >> access >> pid >> inode && type == "FLOCK" &&
        inode == wanted)
      holders.push_back({pid, command_of(fmt::format("/proc/{}", pid))});
  }
  return holders;
}

}  // namespace

std::optional<Node> node_of(const std::string& device) {
  struct stat status {};
  if (::stat(device.c_str(), &status) != 0 || !S_ISCHR(status.st_mode)) return std::nullopt;
  Node node{status.st_uid,
            status.st_gid,
            status.st_mode,
            {},
            {},
            grants_of(device.c_str(), status.st_gid)};
  // Linux, Documentation/admin-guide/devices.txt: these are not in sysfs.
  constexpr unsigned pseudo_first = 136, pseudo_last = 143;
  const unsigned number = major(status.st_rdev);
  node.is_pseudo = number >= pseudo_first && number <= pseudo_last;
  std::error_code error;
  const fs::path subsystem =
      fs::read_symlink(fmt::format("/sys/dev/char/{}:{}/subsystem", number, minor(status.st_rdev)),
                       error);
  node.is_serial = node.is_pseudo || error || subsystem.filename() == "tty";
  const struct passwd* owner = ::getpwuid(status.st_uid);
  node.owner_name = owner != nullptr ? owner->pw_name : fmt::format("{}", status.st_uid);
  const struct group* group = ::getgrgid(status.st_gid);
  node.group_name = group != nullptr ? group->gr_name : fmt::format("{}", status.st_gid);
  return node;
}

Account account_of_service(const std::string& root, std::optional<pid_t> process) {
  if (process)
    if (Account account = account_of_process(*process); account.is_there) return account;
  return account_of_user(root, service_user);
}

std::vector<PortUser> other_users(const std::string& device, std::optional<pid_t> service) {
  struct stat status {};
  if (::stat(device.c_str(), &status) != 0) return {};
  SerialPort port;
  port.number = status.st_rdev;
  // Who has locked it keeps others out: first.
  std::vector<Holder> holders = lock_holders(status);
  for (Holder& holder : holders_of(port))
    if (std::ranges::find(holders, holder.pid, &Holder::pid) == holders.end())
      holders.push_back(std::move(holder));
  std::vector<PortUser> found;
  for (Holder& holder : holders)
    if (holder.pid != service.value_or(0) && holder.command != service_user)
      found.push_back({std::move(holder), unit_of(holder.pid)});
  return found;
}

std::vector<std::string> chips_without_port(const std::vector<SerialPort>& ports) {
  std::vector<std::string> chips;
  std::error_code error;
  for (fs::directory_iterator device("/sys/bus/usb/devices", error), end; !error && device != end;
       device.increment(error)) {
    const auto attribute = [&](const char* name) {
      std::string text;
      std::getline(std::ifstream(device->path() / name), text);
      return printable(text);
    };
    const SerialPort chip{.usb_device = device->path(),
                          .vendor_id = attribute("idVendor"),
                          .product_id = attribute("idProduct")};
    const std::string name = "/" + device->path().filename().native();
    const bool has_port = std::ranges::any_of(
        ports, [&](const SerialPort& port) { return port.usb_device.ends_with(name); });
    if (!has_port && makes_port(chip))
      chips.push_back(fmt::format("{} ({})", chip.usb_id(), attribute("product")));
  }
  return chips;
}

bool is_running(std::string_view program) {
  std::error_code error;
  for (fs::directory_iterator process("/proc", error), end; !error && process != end;
       process.increment(error)) {
    const std::string name = process->path().filename();
    if (std::isdigit(static_cast<unsigned char>(name.front())) != 0 &&
        command_of(process->path()) == program)
      return true;
  }
  return false;
}

std::string refused_key_file(const std::string& root) {
  std::error_code error;
  const fs::path directory = below(root, "/etc/smartmeterd/keys.d");
  for (fs::directory_iterator file(directory, error), end; !error && file != end;
       file.increment(error)) {
    if (file->path().extension() != ".toml") continue;
    try {
      const KeyFile keys(file->path(), "");
      if (!keys.refusal().empty())
        return fmt::format("{}: {}", file->path().native(), keys.refusal());
    } catch (const std::runtime_error& problem) {
      return problem.what();
    }
  }
  return {};
}

std::string last_error_of(const std::string& unit) {
  sd_journal* raw = nullptr;
  if (sd_journal_open(&raw, SD_JOURNAL_LOCAL_ONLY) < 0) return {};
  const std::unique_ptr<sd_journal, decltype(&sd_journal_close)> journal(raw, sd_journal_close);
  sd_journal_add_match(raw, ("_SYSTEMD_UNIT=" + unit).c_str(), 0);
  for (const char* priority : {"PRIORITY=0", "PRIORITY=1", "PRIORITY=2", "PRIORITY=3"})
    sd_journal_add_match(raw, priority, 0);
  const void* data = nullptr;
  std::size_t size = 0;
  if (sd_journal_seek_tail(raw) < 0 || sd_journal_previous(raw) <= 0 ||
      sd_journal_get_data(raw, "MESSAGE", &data, &size) < 0)
    return {};
  constexpr std::string_view key = "MESSAGE=";  // in front of the data
  return printable({static_cast<const char*>(data) + key.size(), size - key.size()});
}

}  // namespace smartmeterctl

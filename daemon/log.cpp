// SPDX-License-Identifier: Apache-2.0
// Log: one line to the journal with its fields, or to standard error.
#include "daemon/log.hpp"

// The place in this file would say nothing about the place of the event.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>

namespace smartmeterd::log {
namespace {

std::atomic<Level> threshold{Level::info};

struct Name {
  Level level;
  std::string_view name;
};
constexpr Name names[] = {{Level::error, "error"},
                          {Level::warning, "warning"},
                          {Level::notice, "notice"},
                          {Level::info, "info"},
                          {Level::debug, "debug"}};

/// Random numbers (systemd-id128 new), explained in systemd/smartmeterd.catalog. Never re-used.
struct MessageId {
  Event event;
  std::string_view id;
};
constexpr MessageId message_ids[] = {
    {Event::adapter_opened, "d2a06a911114440f98f9fd0b3e33a621"},
    {Event::adapter_lost, "78298140c508434ab6581d71d8a644ec"},
    {Event::meter_found, "03fe6e16277e46b18e1831c0228a7b26"},
    {Event::key_missing, "51709d75454e4ad284d3c6ef51aa5bbe"},
    {Event::key_wrong, "273315990830475d81bc8a958ea470df"},
    {Event::sync_lost, "0a752219bd984efd92f4cf5502cc6569"},
    {Event::broker_lost, "6dd09672adb54767855df881275a8633"},
    {Event::broker_back, "79bb3ad4bb7b489b8bc932200d5bc0fd"},
    {Event::bus_lost, "2c0bffa5d2c74b09936a47d7c689025f"},
    {Event::bus_back, "a900776e209648cba9412e37b550b3e7"},
    {Event::io_fallback, "f690b8ee9659439b84ced4210223eb9b"},
    {Event::config_error, "54e8e50da4e147ab9972e0f58249960f"},
    {Event::line_found, "0b4ac676c0c94c4f8ab677e1b3cdeb6b"},
};

/// Standard error is the journal: systemd says so by device and inode, because the variable
/// alone is inherited by programs that have redirected theirs.
bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status{};
  return stream && fstat(STDERR_FILENO, &status) == 0 &&
         fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

void write_journal(Level level, Event event, std::string_view message,
                   std::initializer_list<Field> fields) {
  std::vector<std::string> lines = {fmt::format("MESSAGE={}", message),
                                    fmt::format("PRIORITY={}", static_cast<int>(level)),
                                    "SYSLOG_IDENTIFIER=smartmeterd"};
  if (event != Event::none) lines.push_back(fmt::format("MESSAGE_ID={}", message_id(event)));
  for (const auto& field : fields) lines.push_back(fmt::format("{}={}", field.key, field.value));
  std::vector<iovec> parts;
  for (auto& line : lines) parts.push_back({line.data(), line.size()});
  sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
}

/// One write, so that lines of several processes do not mix. Text may come from a meter or a
/// broker: control characters stay out of the terminal.
void write_stderr(Level level, std::string_view message) {
  std::string line = "smartmeterd: ";
  if (level != Level::info) line += fmt::format("{}: ", name(level));
  for (const char c : message) line += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? '?' : c;
  line += '\n';
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

void set_level(Level level) noexcept {
  threshold = level;
}

bool enabled(Level level) noexcept {
  return level <= threshold;
}

std::string_view name(Level level) noexcept {
  for (const auto& entry : names)
    if (entry.level == level) return entry.name;
  return {};
}

std::optional<Level> level_from_name(std::string_view name) noexcept {
  for (const auto& entry : names)
    if (entry.name == name) return entry.level;
  return std::nullopt;
}

std::string_view message_id(Event event) noexcept {
  for (const auto& entry : message_ids)
    if (entry.event == event) return entry.id;
  return {};
}

void write(Level level, Event event, std::string_view message,
           std::initializer_list<Field> fields) noexcept try {
  if (!enabled(level)) return;
  static const bool journal = stderr_is_journal();
  if (journal)
    write_journal(level, event, message, fields);
  else
    write_stderr(level, message);
} catch (...) {
  // No memory for a line: the line is lost, the service is not.
}

}  // namespace smartmeterd::log

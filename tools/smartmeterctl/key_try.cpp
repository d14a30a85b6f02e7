// SPDX-License-Identifier: Apache-2.0
// smartmeterctl key test: keys tried on a recording, or on what an adapter receives next.
#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tools/capture_file.hpp"
#include "tools/smartmeterctl/bus.hpp"
#include "tools/smartmeterctl/key.hpp"
#include "tools/smartmeterctl/key_file.hpp"
#include "tools/smartmeterctl/key_trial.hpp"
#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

using Clock = std::chrono::steady_clock;
using meter::dlms::KeyEntry;

/// A key to try, by the words for it.
struct Candidate {
  std::string name;
  KeyEntry entry;
};

std::vector<Candidate> asked_key() {
  MeterKeys keys = ask_keys();
  std::vector<Candidate> all;
  all.push_back({"the key", {"*", std::move(keys.encryption), {}, {}}});
  if (keys.authentication)
    all.back().entry.authentication.push_back(std::move(*keys.authentication));
  return all;
}

std::vector<Candidate> stored_keys(const KeyOptions& options) {
  require_root(options.root, fmt::format("key test {}", options.file));
  std::vector<Candidate> all;
  KeyFiles stored = stored_files(options);
  for (KeyFile& file : stored.files)
    for (StoredKey& key : file.take_keys()) {
      const std::string label = key.entry.label.empty() ? "" : ", " + key.entry.label;
      std::string name =
          fmt::format("key {} ({}{})", key.entry.encryption.fingerprint(), file.name(), label);
      all.push_back({std::move(name), std::move(key.entry)});
    }
  if (all.empty())
    throw std::runtime_error(
        "no key is stored: \"smartmeterctl key add NAME\" stores one, --ask tries one without");
  return all;
}

/// What all keys found in the same bytes.
struct Trials {
  std::vector<Trial> each;  ///< one for each key
  bool tried() const { return !each.back().meters.empty(); }
  bool opened() const { return std::ranges::any_of(each, &Trial::opened); }
};

Trials try_keys(meter::Bytes received, const std::vector<Candidate>& keys, bool is_over) {
  Trials trials;
  for (const Candidate& key : keys) {
    trials.each.push_back(try_key(received, key.entry, is_over));
    if (!trials.tried()) break;  // nor would any other one
  }
  return trials;
}

void print_trials(const Trials& trials, const std::vector<Candidate>& keys,
                  const std::string& where) {
  const auto is_opened = [&](const std::string& meter) {
    return std::ranges::any_of(trials.each, [&](const Trial& trial) {
      const auto found = trial.meters.find(meter);
      return found != trial.meters.end() && found->second >= Fit::authentication_key_missing;
    });
  };
  for (std::size_t i = 0; i < trials.each.size(); ++i)
    for (const auto& [meter, fit] : trials.each[i].meters)
      // Where another key is the meter's, nothing is wrong with this one.
      fmt::print("{}{}: {} {}\n", where, safe(meter), keys[i].name,
                 fit == Fit::wrong && is_opened(meter) ? "does not fit" : describe(fit));
}

int test_recording(const KeyOptions& options) {
  if (options.ask && options.file == "-")
    throw UsageError("--ask reads the key from standard input: name the recording's FILE");
  tools::CaptureFile file(options.file);
  std::vector<std::byte> octets, piece;
  while (file.read(piece)) octets.insert(octets.end(), piece.begin(), piece.end());
  if (octets.empty())
    throw std::runtime_error(options.file + ": is empty: record the meter's bytes first");
  const auto keys = options.ask ? asked_key() : stored_keys(options);
  const Trials trials = try_keys(octets, keys, true);
  if (!trials.tried() && file.hex_broken_at())  // the text of a P1 telegram is no hex, either
    throw std::runtime_error(
        fmt::format("{}: is text, but not hex ({}): correct it, or give the raw bytes",
                    options.file, *file.hex_broken_at()));
  if (!trials.tried())
    throw std::runtime_error(
        fmt::format("{}: {}", options.file, why_no_telegram(trials.each.back(), octets)));
  print_trials(trials, keys, "");
  return trials.opened() ? exit_good : exit_nothing;
}

/// A meter that pushes says nothing for so long only between two telegrams.
constexpr std::chrono::seconds pause_min{3};
/// Several of the longest telegrams: more without one is noise, of which the end is enough.
constexpr std::size_t received_max = std::size_t{64} * 1024;

/// An adapter that is listened to until a key could be tried.
class Listening {
 public:
  Listening(Bus& bus, const Object& adapter, const std::vector<Object>& meters)
      : device_(adapter.adapter()["Device"].text()),
        line_(adapter.adapter()["LineSettings"].text()),
        stream_(bus.open_capture(adapter)) {
    for (const Object& meter : meters)
      if (meter.meter()["Adapter"].text() == adapter.path)
        interval_s_ = std::max(interval_s_, meter.meter()["Interval"].number());
    const std::string problem = adapter.adapter()["Problem"].text();
    if (problem == "port-busy" || problem == "no-access")
      closed_ = problem_text(problem) + ": " + problem_advice(problem);
    if (adapter.adapter()["State"].text() == "waiting")
      closed_ = "is not there: plug it in, or switch on what serves it";
  }

  const std::string& device() const { return device_; }
  int fd() const { return stream_.get(); }
  double interval_s() const { return interval_s_; }
  bool is_done() const { return done_; }
  std::size_t size() const { return total_; }

  std::string waiting_text() const {
    std::string text = device_ + (line_.empty() ? "" : " (" + line_ + ")");
    if (interval_s_ > 0)
      text += fmt::format(", which sends every {} s", std::lround(std::max(interval_s_, 1.0)));
    return text;
  }

  /// Takes what is there.
  void receive() {
    std::array<std::byte, 4096> buffer;
    ssize_t count = 0;
    while ((count = ::read(fd(), buffer.data(), buffer.size())) > 0) {
      received_.insert(received_.end(), buffer.begin(), buffer.begin() + count);
      total_ += static_cast<std::size_t>(count);
      last_ = Clock::now();
    }
    if (received_.size() > received_max)
      received_.erase(received_.begin(), received_.end() - received_max);
    if (count == 0) closed_ = "has gone, or smartmeterd has stopped";
  }

  /// True once a key could be tried, or nothing more can come. Prints what was found.
  bool judge(const std::vector<Candidate>& keys, StatusLine& status, bool is_over) {
    const bool is_pause = Clock::now() - last_ > pause_min;
    if (tried_ == total_ && !is_over && !(is_pause && !paused_) && closed_.empty()) return false;
    paused_ = is_pause;
    tried_ = total_;
    trials_ = try_keys(received_, keys, is_over || is_pause || !closed_.empty());
    done_ = trials_.tried() || is_over || !closed_.empty();
    if (!done_) return false;
    status.clear();
    if (trials_.tried())
      print_trials(trials_, keys, device_ + ": ");
    else
      fmt::print("{}: {}\n", device_,
                 closed_.empty() ? why_no_telegram(trials_.each.back(), received_) : closed_);
    return true;
  }
  bool opened() const { return trials_.opened(); }

 private:
  std::string device_, line_;
  tools::Fd stream_;
  double interval_s_ = 0;
  std::string closed_;  ///< why nothing more can come
  std::vector<std::byte> received_;
  std::size_t total_ = 0, tried_ = 0;
  Clock::time_point last_{};
  bool paused_ = true;  // nothing came yet
  bool done_ = false;
  Trials trials_;
};

/// As long as the slowest of the meters needs for a telegram that is missed at first.
std::chrono::seconds patience(const KeyOptions& options, const std::vector<Listening>& all) {
  constexpr double least_s = 60;
  double needed_s = least_s;
  for (const Listening& one : all) needed_s = std::max(needed_s, 2 * one.interval_s() + 10);
  return std::chrono::seconds(options.timeout_s > 0 ? std::int64_t{options.timeout_s}
                                                    : std::llround(needed_s));
}

std::vector<Listening> listen(const KeyOptions& options) {
  Bus bus(options.bus);
  std::vector<Object> adapters;
  if (options.adapter.empty()) adapters = bus.adapters();
  if (adapters.empty()) adapters.push_back(bus.adapter(options.adapter));
  const auto meters = bus.meters("");
  std::vector<Listening> all;
  for (const Object& adapter : adapters) all.emplace_back(bus, adapter, meters);
  return all;
}

void wait_for_bytes(std::vector<Listening>& all) {
  constexpr int tick_ms = 500;
  constexpr std::chrono::milliseconds gathering{50};  // a telegram comes in many pieces
  std::vector<pollfd> entries;
  for (const Listening& one : all) entries.push_back({one.is_done() ? -1 : one.fd(), POLLIN, 0});
  if (::poll(entries.data(), entries.size(), tick_ms) < 0 && errno != EINTR)
    throw std::runtime_error("cannot wait for the adapters");
  std::this_thread::sleep_for(gathering);
  for (std::size_t i = 0; i < all.size(); ++i)
    if (entries[i].revents != 0) all[i].receive();
}

int test_next(const KeyOptions& options) {
  // Before a person types a key for nothing.
  std::vector<Listening> all = listen(options);
  const auto keys = options.ask ? asked_key() : stored_keys(options);
  const auto limit = patience(options, all);
  for (const Listening& one : all)
    fmt::print(stderr, "Waiting for the meter's next telegram on {}, at most {} s …\n",
               one.waiting_text(), limit.count());
  const auto begin = Clock::now();
  StatusLine status;
  bool fits = false;
  for (bool is_over = false, is_done = false; !is_done;) {
    is_done = true;
    std::size_t bytes = 0;
    for (Listening& one : all) {
      if (!one.is_done() && one.judge(keys, status, is_over)) fits = one.opened() || fits;
      is_done = is_done && one.is_done();
      bytes += one.size();
    }
    if (is_done) break;
    const auto waited = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begin);
    if (StatusLine::is_rewritten())
      status.show(fmt::format("{} s, {} bytes", waited.count(), bytes));
    wait_for_bytes(all);
    is_over = Clock::now() - begin >= limit;
  }
  return fits ? exit_good : exit_nothing;
}

}  // namespace

int test_keys(const KeyOptions& options) {
  if (options.file.empty()) return test_next(options);
  if (options.next) throw UsageError("a recording, or --next: not both");
  return test_recording(options);
}

}  // namespace smartmeterctl

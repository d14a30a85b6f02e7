// SPDX-License-Identifier: Apache-2.0
// Writer: appends values to a message; the first failure sticks.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace smartmeterd::bus {

/// A value of type o.
struct ObjectPath {
  std::string text;
  friend bool operator==(const ObjectPath&, const ObjectPath&) = default;
};

/// Each `put` appends one complete value of the type named at it. `error()` is 0, or the first
/// negative errno; after it nothing more is appended.
class Writer {
 public:
  explicit Writer(sd_bus_message* message) noexcept : message_(message) {}
  int error() const noexcept { return error_; }

  Writer& put(bool value) { return basic('b', int{value}); }
  Writer& put(std::int16_t value) { return basic('n', value); }
  Writer& put(std::uint32_t value) { return basic('u', value); }
  Writer& put(std::int64_t value) { return basic('x', value); }
  Writer& put(std::uint64_t value) { return basic('t', value); }
  Writer& put(double value) { return basic('d', value); }
  Writer& put(const char*) = delete;  // would be a bool
  /// s. What is not UTF-8 becomes U+FFFD: a bus disconnects who sends anything else.
  Writer& put(std::string_view text);
  Writer& put(const ObjectPath& path);
  Writer& put(const std::vector<std::string>& texts);                            ///< as
  Writer& put(const std::vector<double>& values);                                ///< ad
  Writer& put(const std::map<std::string, std::uint64_t, std::less<>>& counts);  ///< a{st}

  /// One {sv} of a dictionary.
  template <class T>
  Writer& entry(std::string_view key, const char* type, const T& value) {
    return open('e', "sv").put(key).open('v', type).put(value).close().close();
  }
  Writer& open(char type, const char* contents);
  Writer& close();

 private:
  enum Clean { clean };  ///< known to be UTF-8 without NUL
  Writer& put(std::string_view text, Clean);
  template <class T>
  Writer& basic(char type, T value) {
    if (error_ == 0) keep(sd_bus_message_append_basic(message_, type, &value));
    return *this;
  }
  void keep(int result) noexcept {
    if (result < 0) error_ = result;
  }
  sd_bus_message* message_;
  int error_ = 0;
};

}  // namespace smartmeterd::bus

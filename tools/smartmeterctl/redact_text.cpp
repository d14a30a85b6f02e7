// SPDX-License-Identifier: Apache-2.0
// The lines of a capture that are no bytes: directives, which may name the port, and comments.
#include "tools/smartmeterctl/redact_text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "tools/capture_format.hpp"
#include "tools/smartmeterctl/redact.hpp"
#include "tools/smartmeterctl/text.hpp"

namespace smartmeterctl::redact {
namespace {

using tools::CaptureLine;

/// As long as `smartmeterctl replay` takes for the end of a telegram.
constexpr std::chrono::seconds telegram_pause{2};

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The part of a port's name that no other port has: the serial number of an adapter in its link
/// below /dev/serial/by-id ("usb-FTDI_FT232R_USB_UART_A5069RR4-if00-port0", or that as a slug), or
/// the host behind tcp://. Empty: there is none.
std::string_view telling_part(std::string_view value) {
  constexpr std::string_view scheme = "://";
  if (const std::size_t at = value.find(scheme); at != value.npos) {
    const std::string_view host = value.substr(at + scheme.size());
    return host.substr(0, host.rfind(':'));
  }
  const std::size_t begin = value.find("usb-");
  if (begin == value.npos) return {};
  std::string_view name = value.substr(begin + 4);
  if (const std::size_t end = name.rfind("-if"); end != name.npos) name = name.substr(0, end);
  const std::size_t before = name.find_last_of("_-");
  if (before == name.npos) return {};
  const std::string_view serial = name.substr(before + 1);
  return std::ranges::any_of(serial, is_digit) ? serial : std::string_view();
}

/// Another one of the same letters and digits.
std::string another(std::string_view part, const Random& random) {
  std::string text(part);
  for (char& c : text) {
    if (is_digit(c))
      c = static_cast<char>('0' + random(10));
    else if (c >= 'a' && c <= 'z')
      c = static_cast<char>('a' + random(26));
    else if (c >= 'A' && c <= 'Z')
      c = static_cast<char>('A' + random(26));
  }
  return text;
}

std::string lowered(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return lower;
}

/// Parts of port names and what replaces them; the slug of one is the same in lower case.
class Ports {
 public:
  explicit Ports(const Random& random) : random_(random) {}
  void add(std::string_view value) {
    const std::string part(telling_part(value));
    if (part.empty()) return;
    const auto known = std::ranges::find_if(
        names_, [&](const auto& name) { return lowered(name.first) == lowered(part); });
    if (known == names_.end()) {
      names_.emplace_back(part, another(part, random_));
      names_.emplace_back(lowered(part), lowered(names_.back().second));
      ++count_;
    } else if (std::ranges::find(names_, part, &Name::first) == names_.end()) {
      // The slug came first.
      std::string name = known->second;
      for (std::size_t i = 0; i < name.size(); ++i)
        if (part[i] >= 'A' && part[i] <= 'Z') name[i] = static_cast<char>(name[i] & ~0x20);
      names_.emplace_back(part, std::move(name));
    }
  }
  void replace_in(std::string& text) const {
    for (const auto& [from, to] : names_)
      for (std::size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
        if ((at == 0 || !is_alphanumeric(text[at - 1])) &&
            (at + from.size() == text.size() || !is_alphanumeric(text[at + from.size()])))
          text.replace(at, from.size(), to);
  }
  std::uint64_t count() const { return count_; }

 private:
  using Name = std::pair<std::string, std::string>;
  const Random& random_;
  std::vector<Name> names_;
  std::uint64_t count_ = 0;
};

/// Ids of telegrams in a line of text.
void replace_ids(std::string& text, const Pseudonyms& names, std::uint64_t& places) {
  for (const Form& form : names.forms()) {
    if (!form.is_telling || !std::ranges::all_of(form.from, meter::is_printable)) continue;
    for (auto at = find_form(form, meter::bytes_of(text), 0); at;
         at = find_form(form, meter::bytes_of(text), *at + form.to.size())) {
      text.replace(*at, form.to.size(), meter::text_of(form.to));
      ++places;
    }
  }
}

}  // namespace

CaptureText::CaptureText(std::string_view capture) {
  tools::CaptureParser parser;
  parser.add(capture);
  parser.end();
  CaptureLine line;
  std::string settings;
  bool is_after_silence = false;
  std::optional<std::chrono::microseconds> last;
  while (parser.next(line)) {
    if (line.kind != CaptureLine::Kind::octets) {
      const bool changes = line.word == "line" && line.value != settings;
      if (line.word == "closed" || line.word == "lost" || changes) is_after_silence = true;
      if (line.word == "line") settings = line.value;
      lines_.push_back({std::string(line.text), std::string(line.word), std::string(line.value)});
      continue;
    }
    const auto now = parser.at();
    const bool has_paused = now && last && *now - *last >= telegram_pause;
    last = now;
    const std::size_t at = recording_.octets.size();
    lines_.push_back({.at = at, .octets = line.octets.size()});
    recording_.octets.insert(recording_.octets.end(), line.octets.begin(), line.octets.end());
    recording_.pieces.push_back(
        {at, line.octets.size(), now, std::exchange(is_after_silence, false) || has_paused});
  }
}

std::string CaptureText::with(const Octets& octets, const Pseudonyms& names, const Random& random,
                              Report& report) const {
  Ports ports(random);
  for (const Line& line : lines_)
    if (line.word == "adapter" || line.word == "device") ports.add(line.value);
  report.ports = ports.count();
  std::vector<std::string> texts;
  for (const Line& line : lines_) {
    std::string text = line.text;
    const bool may_name = line.octets == 0 && line.word != "start" && line.word != "at";
    if (may_name) {
      ports.replace_in(text);
      replace_ids(text, names, report.places);
    }
    if (line.octets == 0 && line.word.empty() && text.find_first_not_of("# \t") != text.npos)
      ++report.comments;
    if (!line.word.empty() && !tools::is_known_directive(line.word)) ++report.unknown_directives;
    texts.push_back(std::move(text));
  }
  tools::CaptureWriter writer;
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    if (lines_[i].octets != 0)
      writer.octets(meter::Bytes(octets).subspan(lines_[i].at, lines_[i].octets));
    else
      writer.line(texts[i]);
    if (i != 0) continue;
    for (const std::string& value : report.directives()) writer.directive("redacted", value);
  }
  return writer.text();
}

std::vector<std::string> Report::directives() const {
  std::vector<std::string> values;
  values.push_back(fmt::format("{} in {}", counted(ids, "id"), counted(places, "place")));
  if (ports != 0) values.push_back(counted(ports, "port"));
  if (encrypted != 0) values.push_back("left " + counted(encrypted, "encrypted telegram"));
  if (signed_only != 0) values.push_back("left " + counted(signed_only, "signed telegram"));
  std::uint64_t octets = 0;
  for (const Unread& range : unread) octets += range.size;
  if (octets != 0)
    values.push_back("left " + counted(octets, "byte") + " that no telegram explains");
  return values;
}

std::vector<std::string> Report::sentences() const {
  std::vector<std::string> lines;
  lines.push_back(ids == 0 ? fmt::format("no id was found in {}", counted(telegrams, "telegram"))
                           : fmt::format("{} replaced in {}; every other value of {} is as it was",
                                         counted(ids, "id"), counted(places, "place"),
                                         counted(telegrams, "telegram")));
  if (ports != 0) lines.push_back(fmt::format("{} renamed: serial number or address",
                                              counted(ports, "adapter")));
  if (encrypted != 0)
    lines.push_back(fmt::format(
        "{} left as received: what is in them can be read with the key only, but the system title "
        "in front of each (maker and often the serial number) is clear and has to stay, for the "
        "cipher's nonce is made of it",
        counted(encrypted, "encrypted telegram")));
  if (signed_only != 0)
    lines.push_back(fmt::format(
        "{} left as received, WITH THEIR IDS: they are not encrypted, but their tag vouches for "
        "every byte",
        counted(signed_only, "signed telegram")));
  constexpr std::size_t shown = 10;
  std::uint64_t octets = 0;
  for (const Unread& range : unread) octets += range.size;
  if (octets != 0)
    lines.push_back(fmt::format(
        "{} left that no telegram explains; an id in them would still be there: look at them",
        counted(octets, "byte")));
  for (std::size_t i = 0; i < std::min(shown, unread.size()); ++i) {
    const Unread& range = unread[i];
    std::string time;
    if (range.time)
      time = fmt::format(" at +{:.6f} s", std::chrono::duration<double>(*range.time).count());
    lines.push_back(fmt::format("  offset {}: {}{}{}", range.at, counted(range.size, "byte"),
                                range.is_frame ? ", a frame" : "", time));
  }
  if (unread.size() > shown) lines.push_back(fmt::format("  and {} more", unread.size() - shown));
  if (comments != 0)
    lines.push_back(fmt::format("{} left: read what they say", counted(comments, "comment")));
  if (unknown_directives != 0)
    lines.push_back(fmt::format(
        "{} left that this program does not know; an id in them would still be there: look at them",
        counted(unknown_directives, "directive")));
  return lines;
}

}  // namespace smartmeterctl::redact

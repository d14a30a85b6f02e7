// SPDX-License-Identifier: Apache-2.0
// Reads a message with simdjson's On-Demand front end, which keeps the numbers' own digits.
#include "meter_json/document.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "meter/base/inline_vector.hpp"
#include "meter/telegram_json.hpp"

namespace meter::json {
namespace {

namespace ondemand = simdjson::ondemand;

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

/// RFC 8259 section 6.
bool is_number(std::string_view token) noexcept {
  std::size_t at = 0;
  auto digits = [&] {
    const std::size_t from = at;
    while (at < token.size() && is_digit(token[at])) ++at;
    return at - from;
  };
  auto take = [&](std::string_view any) {
    if (at == token.size() || any.find(token[at]) == any.npos) return false;
    ++at;
    return true;
  };
  take("-");
  const bool zero = at < token.size() && token[at] == '0';
  const std::size_t integer = digits();
  if (integer == 0 || (zero && integer > 1)) return false;
  if (take(".") && digits() == 0) return false;
  if (take("eE")) {
    take("+-");
    if (digits() == 0) return false;
  }
  return at == token.size();
}

/// What firmware prints with printf where there is no number.
bool is_no_number(std::string_view token) noexcept {
  if (token.starts_with('-') || token.starts_with('+')) token.remove_prefix(1);
  for (std::string_view word : {"nan", "NaN", "NAN", "inf", "Inf", "INF", "Infinity"})
    if (token == word) return true;
  return false;
}

Errc cause(simdjson::error_code code) noexcept {
  switch (code) {
    case simdjson::UNCLOSED_STRING:
    case simdjson::INCOMPLETE_ARRAY_OR_OBJECT:
    case simdjson::EMPTY:
      return Errc::truncated;
    case simdjson::DEPTH_ERROR:
      return Errc::nesting_too_deep;
    case simdjson::CAPACITY:
      return Errc::oversize;
    default:
      return Errc::malformed;
  }
}

/// Where the scan that precedes reading refused the text: it does not say itself. Broken UTF-8
/// anywhere, or a control character in a string.
std::size_t refused_at(std::string_view text, simdjson::error_code code) noexcept {
  bool in_string = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = utf8_sequence(text.substr(at));
    if (code == simdjson::UTF8_ERROR && size == 0) return at;
    const char c = text[at];
    if (code == simdjson::UNESCAPED_CHARS && in_string && static_cast<unsigned char>(c) < 0x20)
      return at;
    if (in_string && c == '\\') ++at;
    if (c == '"') in_string = !in_string;
    at += std::max<std::size_t>(size, 1);
  }
  return text.size();
}

}  // namespace

struct Document::Buffers {
  ondemand::parser parser{message_size_max};
  std::array<char, message_size_max + simdjson::SIMDJSON_PADDING> message{};
  InlineVector<Node, node_count_max> nodes;
};

namespace {

/// Walks the document once, forward, and appends its nodes.
class Walk {
 public:
  Walk(const char* message, InlineVector<Node, node_count_max>& nodes) noexcept
      : message_(message), nodes_(nodes) {}

  /// The members of nodes[self]; false with a fault.
  bool members(ondemand::object& object, std::size_t self, unsigned depth) noexcept {
    for (auto field : object) {
      std::string_view key;
      ondemand::value value;
      if (!good(field.unescaped_key().get(key)) || !good(field.value().get(value))) return false;
      for (std::size_t i = self + 1; i < nodes_.size(); i = nodes_[i].end)
        if (nodes_[i].key == key) return refuse(Errc::malformed, offset_of(value));
      if (!append(value, key, self, depth)) return false;
    }
    close(self);
    return true;
  }
  bool elements(ondemand::array& array, std::size_t self, unsigned depth) noexcept {
    for (auto element : array) {
      ondemand::value value;
      if (!good(element.get(value))) return false;
      if (!append(value, {}, self, depth)) return false;
    }
    close(self);
    return true;
  }

  simdjson::error_code code = simdjson::SUCCESS;  ///< simdjson's, where it refused
  Fault fault{Errc::malformed};                   ///< ours, where it did not

 private:
  bool good(simdjson::error_code result) noexcept {
    code = result;
    return result == simdjson::SUCCESS;
  }
  bool refuse(Errc why, std::size_t offset) noexcept {
    fault = {why, static_cast<std::uint32_t>(offset)};
    return false;
  }
  std::size_t offset_of(ondemand::value& value) const noexcept {
    return static_cast<std::size_t>(value.raw_json_token().data() - message_);
  }
  void close(std::size_t self) noexcept {
    nodes_[self].end = static_cast<std::uint16_t>(nodes_.size());
  }

  bool append(ondemand::value& value, std::string_view key, std::size_t parent,
              unsigned depth) noexcept {
    Node node;
    node.key = key;
    node.parent = static_cast<std::uint16_t>(parent);
    node.offset = static_cast<std::uint32_t>(offset_of(value));
    std::string_view token = value.raw_json_token();
    token = token.substr(0, token.find_last_not_of(" \t\r\n") + 1);
    const std::size_t self = nodes_.size();
    node.end = static_cast<std::uint16_t>(self + 1);
    const char first = token.empty() ? '\0' : token.front();
    if (first == '{' || first == '[') {
      if (depth == depth_max) return refuse(Errc::nesting_too_deep, node.offset);
      node.kind = first == '{' ? Node::Kind::object : Node::Kind::array;
      if (!nodes_.push_back(node)) return refuse(Errc::too_many_elements, node.offset);
      return contents(value, self, depth + 1);
    }
    if (first == '"') {
      node.kind = Node::Kind::text;
      if (!good(value.get_string().get(node.text))) return false;
    } else if (!scalar(token, node)) {
      return refuse(Errc::malformed, node.offset);
    }
    return nodes_.push_back(node) || refuse(Errc::too_many_elements, node.offset);
  }
  bool contents(ondemand::value& value, std::size_t self, unsigned depth) noexcept {
    if (nodes_[self].kind == Node::Kind::object) {
      ondemand::object object;
      return good(value.get_object().get(object)) && members(object, self, depth);
    }
    ondemand::array array;
    return good(value.get_array().get(array)) && elements(array, self, depth);
  }
  static bool scalar(std::string_view token, Node& node) noexcept {
    node.text = token;
    if (is_number(token))
      node.kind = Node::Kind::number;
    else if (token == "true" || token == "false")
      node.kind = Node::Kind::boolean;
    else if (token != "null" && !is_no_number(token))
      return false;
    return true;
  }

  const char* message_;
  InlineVector<Node, node_count_max>& nodes_;
};

}  // namespace

Document::Document() : buffers_(std::make_unique<Buffers>()) {
  if (const auto code = buffers_->parser.allocate(message_size_max, depth_max);
      code != simdjson::SUCCESS)
    throw std::bad_alloc();
}
Document::~Document() = default;

Result<void> Document::parse(Bytes bytes) noexcept {
  Buffers& own = *buffers_;
  own.nodes.clear();
  if (bytes.size() > message_size_max) return fault(Errc::oversize, message_size_max);
  // simdjson reads up to SIMDJSON_PADDING octets behind the text, whatever they are.
  if (!bytes.empty()) std::memcpy(own.message.data(), bytes.data(), bytes.size());
  std::memset(own.message.data() + bytes.size(), 0, simdjson::SIMDJSON_PADDING);
  const std::string_view text(own.message.data(), bytes.size());

  ondemand::document document;
  ondemand::object object;
  if (auto code =
          own.parser.iterate(simdjson::padded_string_view(text, own.message.size())).get(document);
      code != simdjson::SUCCESS)
    return fault(cause(code), refused_at(text, code));
  if (auto code = document.get_object().get(object); code != simdjson::SUCCESS) {
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    return fault(cause(code), cause(code) == Errc::truncated ? text.size() : first);
  }

  Node root;
  root.kind = Node::Kind::object;
  (void)own.nodes.push_back(root);  // the first one of node_count_max
  Walk walk(own.message.data(), own.nodes);
  if (walk.members(object, 0, 1)) {
    const char* rest = nullptr;
    if (document.current_location().get(rest) == simdjson::OUT_OF_BOUNDS) return {};
    own.nodes.clear();
    return fault(Errc::malformed, static_cast<std::size_t>(rest - text.data()));
  }
  own.nodes.clear();
  if (walk.code == simdjson::SUCCESS) return std::unexpected(walk.fault);
  const char* place = nullptr;
  if (document.current_location().get(place) != simdjson::SUCCESS) place = nullptr;
  const std::size_t offset = place ? static_cast<std::size_t>(place - text.data()) : text.size();
  if (offset >= text.size()) return fault(Errc::truncated, text.size());
  return fault(cause(walk.code), offset);
}

std::span<const Node> Document::nodes() const noexcept {
  return {buffers_->nodes.begin(), buffers_->nodes.size()};
}

std::size_t Document::child(std::size_t parent, std::string_view key) const noexcept {
  const auto& nodes = buffers_->nodes;
  for (std::size_t i = parent + 1; i < nodes[parent].end; i = nodes[i].end)
    if (nodes[i].key == key) return i;
  return 0;
}

std::size_t Document::find(std::size_t from, std::string_view path) const noexcept {
  while (!path.empty()) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    from = child(from, path.substr(0, dot));
    if (from == 0) return 0;
    path.remove_prefix(std::min(dot + 1, path.size()));
  }
  return from;
}

void Document::mark_used(std::size_t index) noexcept {
  buffers_->nodes[index].used = true;
}

std::string_view Document::write_path(std::size_t index, std::span<char> out) const noexcept {
  std::size_t at = out.size();  // from the end, because a node knows its parent alone
  for (std::size_t i = index; i != 0; i = (*this)[i].parent) {
    const std::string_view key = (*this)[i].key.empty() ? "[]" : (*this)[i].key;
    const std::size_t size = key.size() + (i == index ? 0 : 1);
    if (size > at) return {};
    at -= size;
    std::copy(key.begin(), key.end(), out.begin() + static_cast<std::ptrdiff_t>(at));
    if (i != index) out[at + key.size()] = '.';
  }
  std::copy(out.begin() + static_cast<std::ptrdiff_t>(at), out.end(), out.begin());
  return {out.data(), out.size() - at};
}

}  // namespace meter::json

// SPDX-License-Identifier: Apache-2.0
// DataNotification: header, index, then the rules that turn elements into registers.
#include "meter/dlms/data_notification.hpp"

#include <algorithm>

#include "meter/base/hex.hpp"
#include "meter/base/reader.hpp"
#include "meter/dlms/axdr.hpp"
#include "meter/dlms/cosem.hpp"
#include "meter/dlms/list_rules.hpp"
#include "meter/dlms/positional_list.hpp"
#include "meter/explain_line.hpp"

namespace meter::dlms {
namespace {

constexpr Obis clock_obis = "0-0:1.0.0"_obis;
constexpr Obis serial_obis = "0-0:96.1.0"_obis;
constexpr std::size_t date_time_size = 12;  // Blue Book 4.1.6.1

/// Tag 0F, long-invoke-id-and-priority (4), date-time, body.
struct Header {
  std::uint32_t long_invoke_id = 0;
  Bytes date_time;  ///< 12 octets, or empty
  std::string_view form;
};

/// The date-time is an octet string without its tag; some firmware of Kaifa and Kamstrup puts
/// the tag before it.
Result<Header> read_header(Reader& in) noexcept {
  Header header;
  if (in.remaining() == 0) return fault(Errc::truncated, 0);
  if (in.octet() != tag_data_notification) return fault(Errc::malformed, 0);
  header.long_invoke_id = in.be<std::uint32_t>();
  std::size_t at = in.offset();
  unsigned length = in.octet();
  header.form = "no date-time";
  if (length == static_cast<unsigned>(DataTag::octet_string)) {
    at = in.offset();
    length = in.octet();
    header.form = "date-time with tag";
    if (in.ok() && length != date_time_size) return fault(Errc::malformed, at);
  } else if (length == date_time_size) {
    header.form = "date-time";
  } else if (length != 0) {
    return fault(Errc::malformed, at);
  }
  header.date_time = in.take(length);
  if (!in.ok()) return fault(Errc::truncated, in.offset());
  return header;
}

/// Where the meter's id may come from, best first (the order of libmeter/doc/cosem-lists.md).
enum class IdSource : std::uint8_t {
  logical_device_name,
  serial,
  meter_number,
  other_serial,
  trailing_text,
  none
};

IdSource id_source(const Obis& obis) noexcept {
  constexpr std::uint8_t identifiers = 96, id_group = 1;
  if (obis == "0-0:42.0.0"_obis) return IdSource::logical_device_name;
  if (obis == serial_obis) return IdSource::serial;
  if (obis.a == 1 && obis.c == 0 && obis.d == 0 && obis.e == 5) return IdSource::meter_number;
  // 0-0:96.1.1 or 1-b:96.1.0; with A = 0, B counts sub-meters, whose ids are not the meter's.
  if (obis.c == identifiers && obis.d == id_group &&
      ((obis.a == 0 && obis.b == 0 && obis.e == 1) || (obis.a == 1 && obis.e == 0)))
    return IdSource::other_serial;
  return IdSource::none;
}

/// Tells the observer what was seen; nothing of it runs without one.
class Explain {
 public:
  Explain(DecodeObserver* observer, std::uint64_t offset) noexcept
      : observer_(observer), offset_(offset) {}
  explicit operator bool() const noexcept { return observer_ != nullptr; }

  [[gnu::cold]] void header(const Header& header) const noexcept {
    ExplainLine line;
    line.text("DataNotification, long-invoke-id ");
    for (int shift = 24; shift >= 0; shift -= 8)
      line.hex(static_cast<std::uint8_t>(header.long_invoke_id >> shift));
    say("notification", line.text(", ").text(header.form));
  }
  [[gnu::cold]] void shape(const ListShape& seen, std::size_t items) const noexcept {
    constexpr std::string_view starts[] = {"a date-time", "a code", "a text", "an entry",
                                           "something else"};
    constexpr std::string_view forms[] = {"code, value and scaler one after the other",
                                          "a structure an entry", "pairs of code and value",
                                          "pairs of attribute descriptor and value"};
    ExplainLine line;
    line.text(seen.top == DataTag::array ? "array of " : "structure of ").number(items);
    line.text(", begins with ").text(starts[static_cast<std::size_t>(seen.start)]);
    say("list", line.text("; ").text(forms[static_cast<std::size_t>(seen.form)]));
  }
  [[gnu::cold]] void rule(std::string_view name, std::string_view why) const noexcept {
    say("list", ExplainLine().text(name).text(": ").text(why));
  }
  [[gnu::cold]] void positions(const PositionalList& list, const DataIndex& index) const noexcept {
    ExplainLine line;
    line.text(list.name).text(": ").number(index[0].size).text(" elements without codes, first ");
    append_element(line, index[1]);
    say("list", line.text(": ").text(list.meters));
  }
  /// What a list consists of, for whoever wants to write a profile for it.
  [[gnu::cold]] void elements(const DataIndex& index) const noexcept {
    ExplainLine line;
    append_element(line, index[0]);
    std::uint32_t left = index[0].is_list() ? index[0].size : 0;
    line.text(" of ").number(left).text(": ");
    std::size_t at = 1;
    while (left != 0) {
      unsigned alike = 0;
      const Element& element = index[at];
      for (; left != 0 && index[at].tag == element.tag && (alike == 0 || !element.is_string());
           --left, ++alike)
        at = index[at].next;
      append_element(line, element);
      if (alike > 1) line.text(" x").number(alike);
      if (left != 0) line.text(", ");
    }
    say("list", line);
  }

 private:
  /// As profiles spell it; of a string only the beginning: the rest may be the meter's number.
  static void append_element(ExplainLine& line, const Element& element) noexcept {
    constexpr std::size_t shown = 4;
    if (element.is_string() && !is_date_time(element.octets())) {
      const Bytes octets = element.octets();
      const bool text = !octets.empty() && std::ranges::all_of(octets, is_printable);
      line.text(text ? "text(" : "octets(").number(octets.size()).text(")");
      if (text) line.text(" ").text(text_of(octets).substr(0, shown));
      return;
    }
    line.text(type_name(element));
  }
  static std::string_view type_name(const Element& element) noexcept {
    struct Row {
      DataTag tag;
      std::string_view name;
    };
    using enum DataTag;
    constexpr Row names[] = {
        {null_data, "null"},
        {array, "array"},
        {structure, "structure"},
        {boolean, "bool"},
        {integer, "i8"},
        {long_integer, "i16"},
        {double_long, "i32"},
        {long64, "i64"},
        {unsigned_integer, "u8"},
        {long_unsigned, "u16"},
        {double_long_unsigned, "u32"},
        {long64_unsigned, "u64"},
        {enumeration, "enum"},
        {scaler_unit, "scaler and unit"},
        {octet_string, "date-time"},
        {date_time, "date-time"},
    };
    for (const Row& row : names)
      if (row.tag == element.tag) return row.name;
    return "another type";
  }

  void say(std::string_view stage, const ExplainLine& line) const noexcept {
    observer_->stage(stage, offset_, line.view());
  }
  DecodeObserver* observer_;
  std::uint64_t offset_;
};

/// One telegram on its way into a ReadingSet.
class Extraction {
 public:
  Extraction(const DataIndex& index, ReadingSet& out, Explain explain) noexcept
      : index_(index), out_(out), explain_(explain) {}

  /// Every register of the list, meter_id, time and profile. False: too many registers.
  Result<void> run(const Header& header) noexcept;

 private:
  [[gnu::noinline]] bool positions(const Header& header) noexcept;
  bool add_position(const Position& position, const Element& element) noexcept;
  void take_id(const PositionalList& list, Bytes octets) noexcept;
  bool push_objects() noexcept;
  bool is_descriptor(std::size_t at) const noexcept;
  bool is_attribute(std::size_t at) const noexcept;
  void add_pushed(std::size_t descriptor, std::size_t value) noexcept;
  std::size_t pushed_scaler(std::uint16_t id, const Obis& obis,
                            std::int8_t scaler_attribute) const noexcept;
  void scan() noexcept;
  std::size_t entry(std::size_t at) noexcept;
  void bare(std::size_t at) noexcept;
  void add_scaled(const Obis& obis, std::size_t code, std::size_t value,
                  std::size_t scaler) noexcept;
  void add(const Obis& obis, const Element& value, bool may_need_scale) noexcept;
  void add_octets(const Obis& obis, const Element& value) noexcept;
  template <class Make>
  void push(Make make) noexcept {
    full_ |= !out_.readings.push_back_made(make);
  }
  void offer_id(IdSource source, Bytes octets) noexcept {
    if (source >= id_source_ || octets.empty()) return;
    id_source_ = source;
    id_ = octets;
  }
  ListShape shape() const noexcept;
  void name_list() noexcept;
  [[gnu::noinline]] void add_text(const Obis& obis, std::string_view text) noexcept {
    push([&] { return Reading::text(obis, text, Reading::implied_obis); });
  }
  [[gnu::noinline]] std::size_t attribute_and_value(std::size_t at) noexcept;
  [[gnu::noinline]] bool holds(const ListRule& rule) const noexcept;
  void apply(const Scales& scales) noexcept;
  bool finish_id() noexcept;
  void finish_time(Bytes header_date_time) noexcept;
  /// The next element is a sibling: in wire order nothing else of equal depth can follow a leaf.
  bool is_sibling(std::size_t at, std::size_t of) const noexcept {
    return at < index_.size() && index_[at].depth == index_[of].depth;
  }

  const DataIndex& index_;
  ReadingSet& out_;
  Explain explain_;
  std::size_t coded_ = 0;               ///< codes that had a value
  std::size_t unscaled_ = 0;            ///< numbers that wait for a scale
  bool flat_ = false, nested_ = false;  ///< some entry with scaler_unit stood so
  bool has_scalers_ = false;  ///< a push-object list with some scaler_unit among its values
  bool float_ = false;        ///< some value without scaler is a float: no row's scales are for it
  bool attributes_ = false;   ///< some value stood behind an attribute descriptor
  bool full_ = false;
  IdSource id_source_ = IdSource::none;
  Bytes id_;
  std::string_view id_prefix_;
  Bytes clock_;       ///< value of the clock object
  Bytes bare_clock_;  ///< the first date-time without a code
};

void Extraction::add_octets(const Obis& obis, const Element& value) noexcept {
  if (value.tag == DataTag::null_data || value.tag == DataTag::dont_care ||
      value.tag == DataTag::scaler_unit || value.is_list())
    return;  // the code has no value
  ++coded_;
  const Bytes octets = value.octets();
  if (value.tag == DataTag::date_time || (value.is_string() && is_date_time(octets))) {
    push([&] { return Reading::date_time(obis, octets); });
    // Kamstrup numbers its clock 0-1.
    const bool is_clock = obis.a == 0 && obis.c == 1 && obis.d == 0 && obis.e == 0;
    if (is_clock && clock_.empty()) clock_ = octets;
    return;
  }
  push([&] { return Reading::from_octets(obis, octets); });
  if (value.is_string()) offer_id(id_source(obis), octets);
}

/// The arguments are elements of the index.
void Extraction::add_scaled(const Obis& obis, std::size_t code, std::size_t value,
                            std::size_t scaler) noexcept {
  (index_[code].depth == 1 ? flat_ : nested_) = true;
  const ScalerUnit scale = scaler_unit(index_[scaler]);
  const auto read = number(index_[value]);
  if (!read || read->exponent + scale.scaler < -Decimal::exponent_max)
    return add_octets(obis, index_[value]);
  ++coded_;
  push([&] { return Reading::number(obis, read->scaled(scale.scaler), scale.unit); });
}

/// `may_need_scale`: the object's class has a scaler_unit, or is not known.
void Extraction::add(const Obis& obis, const Element& value, bool may_need_scale) noexcept {
  const auto read = number(value);
  if (!read) return add_octets(obis, value);
  ++coded_;
  const bool needs_scale =
      may_need_scale && value.tag != DataTag::boolean && value.tag != DataTag::enumeration;
  unscaled_ += needs_scale;
  float_ |= value.tag == DataTag::float32 || value.tag == DataTag::float64;
  const std::uint8_t flags = needs_scale ? Reading::scale_unknown : 0;
  push([&] { return Reading::number(obis, *read, Unit::none, flags); });
}

/// structure {class-id, logical name, attribute, data index}: says what is pushed, has no value.
bool Extraction::is_descriptor(std::size_t at) const noexcept {
  return index_[at].tag == DataTag::structure && index_[at].size == 4 &&
         index_[at + 1].tag == DataTag::long_unsigned && is_logical_name(index_[at + 2]) &&
         index_[at + 3].tag == DataTag::integer && index_[at + 4].tag == DataTag::long_unsigned;
}

/// structure {class-id, logical name, attribute} with its value behind it.
bool Extraction::is_attribute(std::size_t at) const noexcept {
  return at < index_.size() && index_[at].tag == DataTag::structure && index_[at].size == 3 &&
         index_[at + 1].tag == DataTag::long_unsigned && is_logical_name(index_[at + 2]) &&
         index_[at + 3].tag == DataTag::integer && is_sibling(index_[at].next, at);
}

constexpr std::size_t descriptor_elements = 5;
constexpr std::uint16_t push_setup_class = 40;  // Blue Book, class Push setup

std::uint16_t class_id(const Element& element) noexcept {
  return static_cast<std::uint16_t>(u8(element.content[0]) << 8 | u8(element.content[1]));
}
std::int8_t attribute(const Element& element) noexcept {
  return static_cast<std::int8_t>(*element.content);
}

void Extraction::add_pushed(std::size_t descriptor, std::size_t value) noexcept {
  const std::uint16_t id = class_id(index_[descriptor + 1]);
  const PushedAttribute* row = find_pushed_attribute(id, attribute(index_[descriptor + 3]));
  if (!row || index_[value].is_list()) return;
  const Obis obis = logical_name(index_[descriptor + 2]);
  if (const std::size_t scaler = pushed_scaler(id, obis, row->scaler_attribute))
    add_scaled(obis, descriptor, value, scaler);
  else
    add(obis, index_[value], row->scaler_attribute != 0);
}

/// The list's element with the scaler_unit of an object, where the list pushes that too; or 0.
std::size_t Extraction::pushed_scaler(std::uint16_t id, const Obis& obis,
                                      std::int8_t scaler_attribute) const noexcept {
  if (!has_scalers_ || scaler_attribute == 0) return 0;
  std::size_t descriptor = 2, value = index_[1].next;
  for (std::size_t i = 1; i < index_[1].size; ++i) {
    descriptor += descriptor_elements;
    if (is_scaler_unit(index_[value]) && attribute(index_[descriptor + 3]) == scaler_attribute &&
        class_id(index_[descriptor + 1]) == id && logical_name(index_[descriptor + 2]) == obis)
      return value;
    value = index_[value].next;
  }
  return 0;
}

/// structure {array of descriptors, value 1, value 2, …}: value k belongs to descriptor k;
/// descriptor 0 is the list itself.
bool Extraction::push_objects() noexcept {
  const bool shaped = index_[0].tag == DataTag::structure && index_.size() > 1 &&
                      index_[1].tag == DataTag::array && index_[1].size != 0;
  if (!shaped) return false;
  const std::size_t count = index_[1].size;
  for (std::size_t at = 2; at < index_[1].next; at = index_[at].next)
    if (!is_descriptor(at)) return false;
  const Obis list = logical_name(index_[2 + 2]);
  const bool is_push_setup = class_id(index_[2 + 1]) == push_setup_class && list.a == 0 &&
                             list.c == "0-0:25.9.0"_obis.c && list.d == "0-0:25.9.0"_obis.d;
  if (!is_push_setup || index_[0].size != count) {
    if (explain_)
      explain_.rule("push-objects", is_push_setup ? "descriptors and values differ in number"
                                                  : "the first descriptor is no push setup");
    return false;
  }
  bool wide = false;
  const std::size_t first = index_[1].next;
  for (std::size_t at = first; at < index_.size(); at = index_[at].next) {
    has_scalers_ |= index_[at].tag == DataTag::scaler_unit;
    wide |= index_[at].tag == DataTag::long64 || index_[at].tag == DataTag::long64_unsigned;
  }
  std::size_t descriptor = 2;
  for (std::size_t at = first; at < index_.size(); at = index_[at].next)
    add_pushed(descriptor += descriptor_elements, at);
  out_.profile = "push-objects";
  for (const PushObjectRule& rule : push_object_rules()) {
    if (rule.channel != list.b || (rule.wide && !wide)) continue;
    out_.profile = rule.name;
    apply(rule.scales);
    if (explain_) explain_.rule(rule.name, rule.meters);
    return true;
  }
  apply({});
  if (explain_) explain_.rule("push-objects", "no row for this push setup: scales are not known");
  return true;
}

/// A code and what follows it: value; value, scaler_unit; scaler_unit, value; or a structure of
/// value and scaler_unit. Returns the element to go on with.
std::size_t Extraction::entry(std::size_t at) noexcept {
  const Obis obis = logical_name(index_[at]);
  const std::size_t value = at + 1, next = at + 2;
  if (!is_sibling(value, at)) return value;
  if (index_[value].is_list()) {
    const bool scaled = index_[value].size == 2 && is_sibling(at + 3, next) &&
                        is_scaler_unit(index_[at + 3]) && !index_[next].is_list();
    if (!scaled) return value;
    add_scaled(obis, at, next, at + 3);
    return at + 4;
  }
  if (is_scaler_unit(index_[value])) {
    if (!is_sibling(next, at) || index_[next].is_list()) return next;
    add_scaled(obis, at, next, value);
    return at + 3;
  }
  // A code where a value should be: this one has none, unless the two are a pair of their own.
  const bool pair = at > 0 && index_[at - 1].is_list() && index_[at - 1].size == 2;
  if (!pair && is_logical_name(index_[value])) return value;
  if (is_sibling(next, at) && is_scaler_unit(index_[next])) {
    add_scaled(obis, at, value, next);
    return at + 3;
  }
  add(obis, index_[value], true);
  return next;
}

/// A string without a code: the list's clock, or the meter's serial at its very end.
void Extraction::bare(std::size_t at) noexcept {
  const Element& element = index_[at];
  if (element.tag == DataTag::date_time ||
      (element.is_string() && is_date_time(element.octets()))) {
    if (!bare_clock_.empty()) return;
    bare_clock_ = element.octets();
    push([&] { return Reading::date_time(clock_obis, bare_clock_, Reading::implied_obis); });
    return;
  }
  if (!element.is_string() || element.depth != 1 || at + 1 != index_.size()) return;
  const Reading serial = Reading::from_octets(serial_obis, element.octets(), Reading::implied_obis);
  if (serial.kind() != Reading::Kind::text || element.size == 0) return;
  push([&] { return serial; });
  offer_id(IdSource::trailing_text, element.octets());
}

std::size_t Extraction::attribute_and_value(std::size_t at) noexcept {
  const std::size_t value = index_[at].next;
  attributes_ = true;
  add_pushed(at, value);
  return index_[value].next;
}

void Extraction::scan() noexcept {
  std::size_t at = 0;
  while (at < index_.size()) {
    if (is_logical_name(index_[at])) {
      at = entry(at);
    } else if (index_[at].is_list()) {
      at = is_descriptor(at) ? index_[at].next : at + 1;
    } else if (index_[at].tag == DataTag::long_unsigned && is_attribute(at - 1)) {
      at = attribute_and_value(at - 1);
    } else {
      bare(at);
      ++at;
    }
  }
}

ListShape Extraction::shape() const noexcept {
  ListShape shape;
  shape.top = index_[0].tag;
  shape.form = nested_       ? ListForm::nested
               : flat_       ? ListForm::flat
               : attributes_ ? ListForm::attributes
                             : ListForm::pairs;
  shape.items = index_[0].size;
  if (out_.system_title) shape.title = text_of(*out_.system_title);
  if (index_.size() < 3) return shape;
  const Element& first = index_[1];
  if (is_logical_name(first)) {
    shape.start = ListStart::code;
    if (index_[2].is_string()) shape.text = text_of(index_[2].octets());
  } else if (first.is_list()) {
    shape.start = ListStart::entry;
  } else if (!bare_clock_.empty() && first.content == bare_clock_.data()) {
    shape.start = ListStart::date_time;
  } else if (first.is_string()) {
    shape.start = ListStart::text;
    shape.text = text_of(first.octets());
  }
  return shape;
}

/// Names the list and scales what it left unscaled, where a row knows how.
void Extraction::name_list() noexcept {
  const ListShape seen = shape();
  if (explain_) explain_.shape(seen, index_[0].size);
  for (const ListRule& rule : list_rules()) {
    if (!rule.fits(seen) || (rule.has_conditions() && !holds(rule))) continue;
    out_.profile = rule.name;
    apply(rule.scales);
    if (rule.text_code != Obis{}) add_text(rule.text_code, seen.text);
    if (explain_) explain_.rule(rule.name, rule.meters);
    return;
  }
  out_.profile = flat_ || nested_ ? "self-describing" : "unscaled";
  apply({});
  if (explain_)
    explain_.rule(out_.profile, flat_ || nested_ ? "codes, values and scalers, of no known layout"
                                                 : "codes and values without scalers");
}

/// The conditions of a row on what the registers say.
bool Extraction::holds(const ListRule& rule) const noexcept {
  const auto any = [&](auto is) { return std::ranges::any_of(out_.readings, is); };
  const bool text = rule.where_text.empty() || any([&](const Reading& reading) {
                      return reading.obis() == rule.where &&
                             reading.kind() == Reading::Kind::text &&
                             reading.text().starts_with(rule.where_text);
                    });
  return text && (rule.voltage_above == 0 || any([&](const Reading& reading) {
                    return reading.kind() == Reading::Kind::number &&
                           reading.has(Reading::scale_unknown) &&
                           implied_unit(reading.obis()).magnitude == Magnitude::voltage &&
                           reading.value().mantissa > rule.voltage_above;
                  }));
}

/// Scales the numbers that came without a scaler, as far as the code and the list's row say how.
void Extraction::apply(const Scales& scales) noexcept {
  if (unscaled_ == 0) return;
  const Scales known = float_ ? Scales{} : scales;
  for (Reading& reading : out_.readings) {
    if (reading.kind() != Reading::Kind::number || !reading.has(Reading::scale_unknown)) continue;
    const ImpliedUnit implied = implied_unit(reading.obis());
    const std::int8_t scale = known.of(implied.magnitude);
    if (scale == Scales::unknown) continue;
    reading = Reading::number(reading.obis(), reading.value().scaled(scale), implied.unit);
  }
}

/// A prefix and the text without the blanks around it, or binary octets as hex digits. Blank: no
/// id. False: it does not fit, and must not be taken for a telegram without an id.
bool write_id(std::string_view prefix, Bytes octets, MeterId& id) noexcept {
  const auto is_blank = [](std::byte o) { return o == std::byte{' '} || o == std::byte{0}; };
  while (!octets.empty() && is_blank(octets.back())) octets = octets.first(octets.size() - 1);
  while (!octets.empty() && is_blank(octets.front())) octets = octets.subspan(1);
  id.clear();
  if (octets.empty()) return true;
  const bool printable = std::ranges::all_of(octets, is_printable);
  if (printable && prefix.empty()) return id.assign(text_of(octets));
  char text[MeterId::capacity];
  const std::size_t size = prefix.size() + (printable ? 1 : 2) * octets.size();
  if (size > sizeof text) return false;
  char* const at = std::ranges::copy(prefix, text).out;
  if (printable)
    std::ranges::copy(text_of(octets), at);
  else
    (void)write_hex(octets, {at, text + sizeof text}, hex_upper);
  return id.assign({text, size});
}

bool Extraction::finish_id() noexcept {
  if (id_source_ != IdSource::none) {
    if (!write_id(id_prefix_, id_, out_.meter_id)) return false;
    if (!out_.meter_id.empty()) return true;
  }
  if (!out_.system_title) return true;
  char hex[2 * sizeof(SystemTitle)];
  (void)out_.meter_id.assign(write_hex(*out_.system_title, hex, hex_upper));
  out_.meter_id_is_title = true;
  return true;
}

void Extraction::finish_time(Bytes header_date_time) noexcept {
  for (Bytes octets : {clock_, header_date_time, bare_clock_}) {
    if (octets.empty()) continue;
    out_.time = DateTime::from_cosem(octets);
    if (out_.time) return;
  }
}

/// The registers of a list without codes. False: no list of that shape is known.
bool Extraction::positions(const Header& header) noexcept {
  NotificationFacts facts{
      header.long_invoke_id, !header.date_time.empty(), out_.link != Link::raw, {}};
  if (out_.system_title) facts.title = text_of(*out_.system_title);
  const PositionalMatch match = find_positional_list(index_, facts);
  if (match.list == nullptr) {
    if (match.nearest != nullptr && explain_) explain_.rule(match.nearest->name, match.why);
    return false;
  }
  std::size_t at = 1;
  for (std::size_t i = 0; i < match.list->positions.size(); ++i, at = index_[at].next) {
    coded_ += add_position(match.list->positions[i], index_[at]);
    if (i == match.list->id) take_id(*match.list, index_[at].octets());
  }
  out_.profile = match.list->name;
  if (explain_) explain_.positions(*match.list, index_);
  return true;
}

void Extraction::take_id(const PositionalList& list, Bytes octets) noexcept {
  if (list.id_last != 0 && octets.size() > list.id_last) octets = octets.last(list.id_last);
  id_source_ = IdSource::logical_device_name;
  id_ = octets;
  id_prefix_ = list.id_prefix;
}

/// True: it made a register.
bool Extraction::add_position(const Position& position, const Element& element) noexcept {
  constexpr auto implied = Reading::implied_obis;
  if (position.obis == Obis{} || element.tag == DataTag::null_data) return false;
  const Bytes octets = element.octets();
  std::optional<Decimal> value;
  if (position.kind == Position::Kind::date_time) {
    push([&] { return Reading::date_time(position.obis, octets, implied); });
    if (position.obis == clock_obis) clock_ = octets;
    return true;
  }
  if (position.kind == Position::Kind::number) value = number(element);
  if (position.kind == Position::Kind::octet_number) {
    std::uint64_t sum = 0;
    for (const std::byte octet : octets) sum = sum << 8 | u8(octet);
    value = Decimal{static_cast<std::int64_t>(sum), 0};
  }
  if (!value) {
    push([&] { return Reading::from_octets(position.obis, octets, implied); });
  } else if (position.scale == Scales::unknown) {
    constexpr auto unknown = static_cast<std::uint8_t>(implied | Reading::scale_unknown);
    push([&] { return Reading::number(position.obis, *value, Unit::none, unknown); });
  } else {
    push([&] {
      return Reading::number(position.obis, value->scaled(position.scale), position.unit, implied);
    });
  }
  return true;
}

Result<void> Extraction::run(const Header& header) noexcept {
  const bool placed = !positional_lists(index_[0].size).empty() && positions(header);
  const bool pushed = !placed && push_objects();
  if (!placed && !pushed) scan();
  if (full_) return fault(Errc::too_many_elements, 0);
  if (coded_ == 0) {
    if (explain_) {
      explain_.elements(index_);
      explain_.rule("none", "no code with a value, and no list of that shape is known");
    }
    return fault(Errc::list_unknown, 0);
  }
  if (!placed && !pushed) name_list();
  if (!finish_id()) {
    if (explain_) explain_.rule(out_.profile, "the meter's id is longer than any meter's");
    return fault(Errc::oversize, 0);
  }
  finish_time(header.date_time);
  return {};
}

void reset(ReadingSet& out) noexcept {
  out.readings.clear();
  out.meter_id.clear();
  out.meter_id_is_title = false;
  out.time.reset();
  out.profile = {};
}

}  // namespace

Result<void> decode_data_notification(Bytes apdu, ReadingSet& out, DecodeObserver* observer,
                                      std::uint64_t observer_offset) noexcept {
  reset(out);
  Reader in(apdu);
  const auto header = read_header(in);
  if (!header) return std::unexpected(header.error());
  const Explain explain(observer, observer_offset);
  if (explain) explain.header(*header);
  DataIndex index;
  const std::size_t body = in.offset();
  if (auto built = index.build(in.rest()); !built)
    return fault(built.error().code, body + built.error().offset);
  const auto extracted = Extraction(index, out, explain).run(*header);
  if (extracted) return {};
  reset(out);
  return fault(extracted.error().code, body + extracted.error().offset);
}

}  // namespace meter::dlms

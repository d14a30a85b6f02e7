// SPDX-License-Identifier: Apache-2.0
// Hildebrand Glow: raw Zigbee Smart Energy attributes, and the local JSON of later firmware.
// libmeter/doc/json-sources.md tells the layout.
#include <algorithm>

#include "meter_json/format.hpp"

namespace meter::json {
namespace {

constexpr Obis meter_id_code = "0-0:42.0.0"_obis, meter_serial_code = "0-0:96.1.0"_obis;
constexpr Obis link_rssi_code = "200-0:30.0.0"_obis, link_lqi_code = "200-0:30.1.0"_obis;

// ---- raw attributes ----------------------------------------------------------------------------

enum class Kind : std::uint8_t {
  summation,    ///< × multiplier / divisor in the meter's unit; 0 of an import: not received yet
  scaled,       ///< × multiplier / divisor in the meter's unit
  demand,       ///< the same by the hour: kWh → kW
  alternative,  ///< × multiplier / divisor in the alternative unit
  hundredths,
  plain,          ///< a number that means itself
  scale_unknown,  ///< a number whose scale the message does not tell
  time,           ///< seconds since 2000-01-01 UTC
  octets,         ///< bits and enumerations: the digits as sent
};

/// An attribute of the Smart Energy profile (ZigBee document 07-5356). What a gas meter's means
/// depends on its unit.
struct Attribute {
  std::uint16_t cluster, id;
  std::uint8_t bits;
  bool is_signed;
  Kind kind;
  Obis electricity, gas_energy, gas_volume;
};
constexpr std::uint16_t metering = 0x0702, prepayment = 0x0705;
constexpr Obis none{},
    volume = "200-0:40.0.0"_obis, volume_day = "200-0:40.8.1"_obis,
    volume_week = "200-0:40.8.2"_obis, volume_month = "200-0:40.8.3"_obis,
    energy = "200-0:41.0.0"_obis, energy_day = "200-0:41.8.1"_obis,
    energy_week = "200-0:41.8.2"_obis, energy_month = "200-0:41.8.3"_obis,
    import_day = "200-0:1.8.1"_obis, import_week = "200-0:1.8.2"_obis,
    import_month = "200-0:1.8.3"_obis, export_day = "200-0:2.8.1"_obis,
    import_total = "1-0:1.8.0"_obis, export_total = "1-0:2.8.0"_obis, power_net = "1-0:16.7.0"_obis,
    power_factor = "1-0:13.7.0"_obis, snapshot = "200-0:56.0.0"_obis, supply = "200-0:31.0.0"_obis,
    status = "0-0:97.97.0"_obis, credit = "200-0:20.2.0"_obis, unit_price = "200-0:20.0.0"_obis,
    standing_charge = "200-0:20.1.0"_obis;
constexpr Attribute attributes[] = {
    {metering, 0x0000, 48, false, Kind::summation, import_total, energy, volume},  // …Delivered
    {metering, 0x0001, 48, false, Kind::scaled, export_total, none, none},         // …Received
    {metering, 0x0002, 48, false, Kind::demand, none, none, none},  // CurrentMaxDemandDelivered
    {metering, 0x0003, 48, false, Kind::demand, none, none, none},  // CurrentMaxDemandReceived
    {metering, 0x0006, 8, true, Kind::hundredths, power_factor, none, none},
    {metering, 0x0007, 32, false, Kind::time, snapshot, snapshot, snapshot},
    {metering, 0x0014, 8, false, Kind::plain, supply, supply, supply},  // 0 off, 1 armed, 2 on
    {metering, 0x0200, 8, false, Kind::octets, status, status, status},
    {metering, 0x0300, 8, false, Kind::octets, none, none, none},  // UnitOfMeasure
    {metering, 0x0301, 24, false, Kind::plain, none, none, none},  // Multiplier
    {metering, 0x0302, 24, false, Kind::plain, none, none, none},  // Divisor
    {metering, 0x0303, 8, false, Kind::octets, none, none, none},  // SummationFormatting
    {metering, 0x0304, 8, false, Kind::octets, none, none, none},  // DemandFormatting
    {metering, 0x0305, 8, false, Kind::octets, none, none, none},  // HistoricalFormatting
    {metering, 0x0306, 8, false, Kind::octets, none, none, none},  // MeteringDeviceType
    {metering, 0x0312, 8, false, Kind::octets, none, none, none},  // AlternativeUnitOfMeasure
    {metering, 0x0400, 24, true, Kind::demand, power_net, none, none},
    {metering, 0x0401, 24, false, Kind::scaled, import_day, energy_day, volume_day},
    {metering, 0x0402, 24, false, Kind::scaled, export_day, none, none},
    {metering, 0x0403, 24, false, Kind::scaled, none, none, none},  // PreviousDay…Delivered
    {metering, 0x0404, 24, false, Kind::scaled, none, none, none},  // PreviousDay…Received
    {metering, 0x0430, 24, false, Kind::scaled, import_week, energy_week, volume_week},
    {metering, 0x0440, 32, false, Kind::scaled, import_month, energy_month, volume_month},
    {metering, 0x0c01, 24, false, Kind::alternative, none, energy_day, volume_day},
    {metering, 0x0c30, 24, false, Kind::alternative, none, energy_week, volume_week},
    {metering, 0x0c40, 32, false, Kind::alternative, none, energy_month, volume_month},
    {prepayment, 0x0000, 16, false, Kind::octets, none, none, none},  // PaymentControlConfiguration
    {prepayment, 0x0001, 32, true, Kind::scale_unknown, credit, credit, credit},  // CreditRemaining
};

// The attributes that the others depend on.
constexpr std::string_view unit_path = "0702.03.00", multiplier_path = "0702.03.01",
                           divisor_path = "0702.03.02", site_id_path = "0702.03.07",
                           alternative_unit_path = "0702.03.12";

/// Set 01: n-th tariff, delivered (even) and received (odd).
constexpr std::uint16_t tier_first = 0x0100, tier_last = 0x015f;

Attribute tier(std::uint16_t id) noexcept {
  const auto number = static_cast<std::uint8_t>((id - tier_first) / 2 + 1);
  const bool received = (id & 1) != 0;
  const Obis code{1, 0, received ? std::uint8_t{2} : std::uint8_t{1}, 8, number, 255};
  return {metering, id, 48, false, Kind::scaled, code, {}, {}};
}

/// UnitOfMeasure without its BCD bit.
std::optional<Unit> unit_of(std::uint8_t code) noexcept {
  switch (code & 0x7f) {
    case 0x00:
      return Unit::kilowatt_hour;
    case 0x01:
      return Unit::cubic_metre;
    case 0x07:
      return Unit::litre;
    default:
      return std::nullopt;  // cubic feet, gallons, BTU: no exact decimal of ours
  }
}
bool is_bcd(std::uint8_t code) noexcept {
  return (code & 0x80) != 0;
}
bool is_energy(Unit unit) noexcept {
  return base_of(unit).base == Unit::watt_hour;
}
Unit by_the_hour(Unit unit) noexcept {
  if (is_energy(unit)) return Unit::kilowatt;
  return unit == Unit::cubic_metre ? Unit::cubic_metre_per_hour : Unit::none;
}

/// One meter of a raw message.
class RawMeter {
 public:
  RawMeter(SetBuilder& builder, std::size_t root, Source& source, bool gas) noexcept
      : builder_(builder), message_(builder.message()), root_(root), source_(source), gas_(gas) {}
  void read() noexcept;

 private:
  void learn() noexcept;
  void read_set(std::size_t cluster_node, std::size_t set_node) noexcept;
  void read_attribute(std::size_t node, std::uint16_t cluster, std::uint16_t id) noexcept;
  void read_number(std::size_t node, const Attribute& attribute) noexcept;
  void keep_digits(std::size_t node, Obis obis) noexcept;
  void scaled(std::size_t node, Obis obis, std::int64_t raw, std::optional<Unit> unit) noexcept;
  std::optional<std::int64_t> raw_value(std::string_view digits,
                                        const Attribute& attribute) const noexcept;
  std::optional<std::uint64_t> hex_at(std::string_view path, std::uint64_t largest) noexcept;
  std::string_view label(std::uint16_t cluster, std::uint16_t id) noexcept;

  SetBuilder& builder_;
  Message& message_;
  std::size_t root_;
  Source& source_;
  bool gas_;
  std::string_view label_;
};

std::optional<std::uint64_t> RawMeter::hex_at(std::string_view path,
                                              std::uint64_t largest) noexcept {
  const std::size_t node = message_.document.find(root_, path);
  if (node == 0 || message_[node].kind != Node::Kind::text) return std::nullopt;
  const auto value = parse_hex(message_[node].text);
  return value && *value <= largest ? value : std::nullopt;
}

/// What scales the values; the last known where the message does not say it.
void RawMeter::learn() noexcept {
  constexpr std::uint64_t uint24_max = 0xffffff;
  // 0 as either would leave no value at all: 1 (as the profile's default).
  if (const auto value = hex_at(multiplier_path, uint24_max))
    source_.multiplier = static_cast<std::uint32_t>(std::max<std::uint64_t>(*value, 1));
  if (const auto value = hex_at(divisor_path, uint24_max))
    source_.divisor = static_cast<std::uint32_t>(std::max<std::uint64_t>(*value, 1));
  if (const auto value = hex_at(unit_path, 0xff)) source_.unit = static_cast<std::uint8_t>(*value);
  if (const auto value = hex_at(alternative_unit_path, 0xff))
    source_.alternative_unit = static_cast<std::uint8_t>(*value);
}

void RawMeter::read() noexcept {
  learn();
  const Document& document = message_.document;
  for (std::size_t cluster = root_ + 1; cluster < document[root_].end;
       cluster = document[cluster].end)
    for (std::size_t set = cluster + 1; set < document[cluster].end; set = document[set].end)
      read_set(cluster, set);
}

void RawMeter::read_set(std::size_t cluster_node, std::size_t set_node) noexcept {
  const Document& document = message_.document;
  const auto cluster = parse_hex(document[cluster_node].key);
  const auto high = parse_hex(document[set_node].key);
  if (!cluster || *cluster > 0xffff || !high || *high > 0xff) return;
  for (std::size_t node = set_node + 1; node < document[set_node].end; node = document[node].end) {
    const auto low = parse_hex(document[node].key);
    if (!low || *low > 0xff || document[node].kind != Node::Kind::text) continue;
    read_attribute(node, static_cast<std::uint16_t>(*cluster),
                   static_cast<std::uint16_t>(*high << 8 | *low));
  }
}

/// "elecMtr.0702.0401"
std::string_view RawMeter::label(std::uint16_t cluster, std::uint16_t id) noexcept {
  const std::span<char> room = message_.texts.room();
  constexpr std::string_view pattern = "elecMtr.0000.0000";
  if (room.size() < pattern.size()) return "attribute";
  const std::string_view meter = gas_ ? "gasMtr." : "elecMtr.";
  char* out = std::ranges::copy(meter, room.data()).out;
  for (const std::uint16_t number : {cluster, id}) {
    for (int shift = 12; shift >= 0; shift -= 4) *out++ = "0123456789ABCDEF"[number >> shift & 15];
    *out++ = '.';
  }
  const std::string_view written(room.data(), static_cast<std::size_t>(out - 1 - room.data()));
  message_.texts.keep(written.size());
  return written;
}

void RawMeter::read_attribute(std::size_t node, std::uint16_t cluster, std::uint16_t id) noexcept {
  label_ = label(cluster, id);
  if (cluster == metering && id >= tier_first && id <= tier_last)
    return read_number(node, tier(id));
  const auto row = std::ranges::find_if(attributes, [&](const Attribute& attribute) {
    return attribute.cluster == cluster && attribute.id == id;
  });
  const bool is_identity = cluster == metering && (id == 0x0307 || id == 0x0308);
  if (row != std::end(attributes)) return read_number(node, *row);
  const Obis code = !is_identity ? Obis{} : id == 0x0307 ? meter_id_code : meter_serial_code;
  keep_digits(node, code);
}

/// The text as it stands: what is no number, what holds no data, and what no row knows.
void RawMeter::keep_digits(std::size_t node, Obis obis) noexcept {
  const std::string_view digits = message_[node].text;
  if (!digits.empty()) return builder_.text(node, obis, digits, label_);
  message_.document.mark_used(node);
}

/// Nothing for what holds no data: the profile's "invalid" values, in any width.
std::optional<std::int64_t> RawMeter::raw_value(std::string_view digits,
                                                const Attribute& attribute) const noexcept {
  const bool counts = attribute.kind == Kind::summation || attribute.kind == Kind::scaled;
  if (counts && source_.unit && is_bcd(*source_.unit)) {
    const auto value = Decimal::parse(digits);  // digits above 9: invalid
    return value && value->exponent == 0 ? std::optional(value->mantissa) : std::nullopt;
  }
  const auto parsed = parse_hex(digits);
  if (!parsed) return std::nullopt;
  const std::uint64_t span = std::uint64_t{1} << attribute.bits;
  if (attribute.is_signed) {
    const std::uint64_t value = *parsed & (span - 1);  // it may come sign-extended, or not
    if (value == span / 2) return std::nullopt;
    return static_cast<std::int64_t>(value) -
           static_cast<std::int64_t>(value > span / 2 ? span : 0);
  }
  // Shorter than its type, a counter that holds no data is still all F.
  const bool all_ones = digits.size() >= 6 && digits.find_first_not_of("Ff") == digits.npos;
  if (*parsed >= span - 1 || all_ones) return std::nullopt;
  return static_cast<std::int64_t>(*parsed);
}

void RawMeter::read_number(std::size_t node, const Attribute& attribute) noexcept {
  const bool alternative = attribute.kind == Kind::alternative;
  // The alternative unit is kWh where the meter does not say it.
  const auto code =
      alternative ? std::optional(source_.alternative_unit.value_or(0x00)) : source_.unit;
  const auto unit = code ? unit_of(*code) : std::nullopt;
  const Obis obis = !gas_                      ? attribute.electricity
                    : unit && is_energy(*unit) ? attribute.gas_energy
                                               : attribute.gas_volume;
  if (attribute.kind == Kind::octets) return keep_digits(node, obis);
  const auto raw = raw_value(message_[node].text, attribute);
  if (!raw) {
    message_.explain("no data", node, label_);
    return keep_digits(node, Obis{});
  }
  switch (attribute.kind) {
    case Kind::summation:
      // Until the first reading arrived, the gateway says 0.
      if (*raw == 0) message_.explain("no data", node, label_);
      return scaled(node, *raw == 0 ? Obis{} : obis, *raw, unit);
    case Kind::demand:
      return scaled(node, obis, *raw, unit ? std::optional(by_the_hour(*unit)) : unit);
    case Kind::scaled:
    case Kind::alternative:
      return scaled(node, obis, *raw, unit);
    case Kind::hundredths:
      return builder_.number(node, obis, {*raw, -2}, Unit::none, 0, label_);
    case Kind::scale_unknown:
      return builder_.number(node, obis, {*raw, 0}, Unit::none, Reading::scale_unknown, label_);
    case Kind::time: {
      constexpr std::int64_t zigbee_epoch = 946'684'800;  // 2000-01-01T00:00:00Z
      const auto time = time_of_epoch(zigbee_epoch + *raw);
      if (*raw == 0 || !time) return keep_digits(node, Obis{});
      return builder_.time(node, obis, *time, label_);
    }
    default:
      return builder_.number(node, obis, {*raw, 0}, Unit::none, 0, label_);
  }
}

/// raw × multiplier / divisor, exactly; where that is no decimal, or not known, the register keeps
/// the raw number.
void RawMeter::scaled(std::size_t node, Obis obis, std::int64_t raw,
                      std::optional<Unit> unit) noexcept {
  Decimal value{raw, 0};
  bool known = unit && source_.multiplier && source_.divisor;
  if (known) {
    std::uint32_t divisor = *source_.divisor;
    while (divisor % 10 == 0) {
      divisor /= 10;
      --value.exponent;
    }
    // 1 / 2 = 5 / 10 and 1 / 5 = 2 / 10; other divisors have no end.
    for (const auto& [factor, inverse] : {std::pair(2u, 5), std::pair(5u, 2)})
      while (divisor % factor == 0 && known) {
        divisor /= factor;
        --value.exponent;
        known = !__builtin_mul_overflow(value.mantissa, inverse, &value.mantissa);
      }
    known =
        known && divisor == 1 &&
        !__builtin_mul_overflow(value.mantissa, std::int64_t{*source_.multiplier}, &value.mantissa);
  }
  if (known) return builder_.number(node, obis, value, *unit, 0, label_);
  message_.explain("unit", node, "unit, multiplier or divisor is not known: no reading is made");
  builder_.number(node, obis, {raw, 0}, Unit::none, Reading::scale_unknown, label_);
}

void read_radio(SetBuilder& builder, std::size_t rssi, std::size_t lqi) noexcept {
  Message& message = builder.message();
  constexpr std::uint8_t no_data = 0xff;
  if (rssi != 0 && message[rssi].kind == Node::Kind::text) {  // int8 in hex
    if (const auto raw = parse_hex(message[rssi].text); raw && *raw <= 0xff)
      builder.number(rssi, link_rssi_code, {static_cast<std::int8_t>(*raw), 0}, Unit::dbm);
  } else if (rssi != 0) {
    builder.value(rssi, link_rssi_code, Unit::dbm);
  }
  if (lqi != 0 && message[lqi].kind == Node::Kind::text) {
    if (const auto raw = parse_hex(message[lqi].text); raw && *raw < no_data)
      builder.number(lqi, link_lqi_code, {static_cast<std::int64_t>(*raw), 0}, Unit::none);
  } else if (lqi != 0) {
    builder.value(lqi, link_lqi_code, Unit::none);
  }
}

/// `gmtime`, else `time` in hex: seconds since 1970.
std::optional<DateTime> raw_time(Message& message) noexcept {
  for (const std::string_view key : {"gmtime", "time"}) {
    const std::size_t node = message.document.child(0, key);
    if (node == 0) continue;
    message.document.mark_used(node);
    if (message[node].kind == Node::Kind::number) {
      if (const auto time = time_of(message[node])) return time;
    } else if (const auto epoch = parse_hex(message[node].text); epoch && *epoch <= UINT32_MAX) {
      return time_of_epoch(static_cast<std::int64_t>(*epoch));
    }
  }
  return std::nullopt;
}

// ---- local JSON --------------------------------------------------------------------------------

/// A value of an electricitymeter or gasmeter, and where its unit stands.
struct LocalRow {
  std::string_view path, unit_path;
  Obis electricity, gas_energy, gas_volume;
  bool zero_is_no_data;
};
constexpr std::string_view energy_units = "energy.import.units",
                           history_volume_units = "energy.import.dayweekmonthvolunits";
constexpr LocalRow local_rows[] = {
    {"energy.import.cumulative", energy_units, import_total, energy, volume, true},
    {"energy.import.day", energy_units, import_day, energy_day, volume_day, false},
    {"energy.import.week", energy_units, import_week, energy_week, volume_week, false},
    {"energy.import.month", energy_units, import_month, energy_month, volume_month, false},
    {"energy.export.cumulative", "energy.export.units", export_total, none, none, false},
    // The gas meter's volumes; some firmware gives the history in kWh and says so in the unit.
    {"energy.import.cumulativevol", "energy.import.cumulativevolunits", none, energy, volume, true},
    {"energy.import.dayvol", history_volume_units, none, energy_day, volume_day, false},
    {"energy.import.weekvol", history_volume_units, none, energy_week, volume_week, false},
    {"energy.import.monthvol", history_volume_units, none, energy_month, volume_month, false},
    {"power.value", "power.units", power_net, none, none, false},
};
constexpr PathRow local_prices[] = {
    {"energy.import.price.unitrate", unit_price, Unit::none},
    {"energy.import.price.standingcharge", standing_charge, Unit::none},
};

/// The demand's "invalid" value, −2^23 W.
bool is_no_demand(const Decimal& value, Unit unit) noexcept {
  constexpr Decimal invalid{-8'388'608, 0};
  const ScaledUnit scaled = base_of(unit);
  return scaled.base == Unit::watt && Decimal::compare(value.scaled(scaled.power), invalid) == 0;
}

void read_local_row(SetBuilder& builder, std::size_t root, const LocalRow& row, bool gas) noexcept {
  Message& message = builder.message();
  const std::size_t node = message.document.find(root, row.path);
  if (node == 0) return;
  const auto found = measured(message[node]);
  std::optional<Unit> unit;
  if (const std::size_t at = message.document.find(root, row.unit_path); at != 0) {
    message.document.mark_used(at);
    unit = unit_from_symbol(message[at].text);
  }
  Obis obis = !gas ? row.electricity : unit && is_energy(*unit) ? row.gas_energy : row.gas_volume;
  const bool no_data = found && ((row.zero_is_no_data && found->value.mantissa == 0) ||
                                 (unit && is_no_demand(found->value, *unit)));
  if (no_data) {
    message.explain("no data", node, row.path);
    obis = Obis{};
  }
  builder.value(node, obis, unit);
}

}  // namespace

void find_glow_zcl(const Message& message, Roots& roots) noexcept {
  for (const std::string_view key : {"elecMtr", "gasMtr"})
    if (const std::size_t node = message.document.child(0, key);
        node != 0 && message[node].kind == Node::Kind::object)
      (void)roots.push_back(static_cast<std::uint16_t>(node));
}

void read_glow_zcl(SetBuilder& builder, std::size_t root, std::size_t) noexcept {
  Message& message = builder.message();
  Document& document = message.document;
  const bool gas = document[root].key == "gasMtr";
  builder.set().medium = gas ? Medium::gas : Medium::electricity;
  const std::size_t gid = document.child(0, "gid");
  document.mark_used(gid);
  const std::string_view device = gid != 0 ? document[gid].text : device_of(message.topic);
  Source& source = message.sources.of(Format::glow_zcl, device, document[root].key);
  RawMeter(builder, root, source, gas).read();
  const std::size_t site = document.find(root, site_id_path);
  const bool named = site != 0 && is_identity(document[site].text);
  settle_identity(builder.set(), source, named ? document[site].text : std::string_view{}, device,
                  gas ? "_gas" : "_elec");
  builder.set().time = raw_time(message);
  const std::size_t pan = document.child(0, "pan");
  if (pan != 0 && !builder.set().readings.empty())
    read_radio(builder, document.child(pan, "rssi"), document.child(pan, "lqi"));
}

void find_glow_ihd(const Message& message, Roots& roots) noexcept {
  for (const std::string_view key : {"electricitymeter", "gasmeter"})
    if (const std::size_t node = message.document.child(0, key);
        node != 0 && message.document.child(node, "energy") != 0)
      (void)roots.push_back(static_cast<std::uint16_t>(node));
}

void read_glow_ihd(SetBuilder& builder, std::size_t root, std::size_t) noexcept {
  Message& message = builder.message();
  Document& document = message.document;
  const bool gas = document[root].key == "gasmeter";
  builder.set().medium = gas ? Medium::gas : Medium::electricity;
  for (const LocalRow& row : local_rows) read_local_row(builder, root, row, gas);
  read_rows(builder, root, local_prices);
  const std::size_t supplier = document.find(root, "energy.import.supplier");
  if (supplier != 0 && document[supplier].kind == Node::Kind::text)
    builder.text(supplier, Obis{}, document[supplier].text);
  const std::string_view id = builder.identity(
      document.find(root, gas ? "energy.import.mprn" : "energy.import.mpan"), meter_id_code);
  const std::string_view device = device_of(message.topic);
  Source& source = message.sources.of(Format::glow_ihd, device, document[root].key);
  settle_identity(builder.set(), source, id, device, gas ? "_gas" : "_elec");
  if (const std::size_t time = document.child(root, "timestamp"); time != 0) {
    document.mark_used(time);
    builder.set().time = time_of(document[time]);
  }
}

void find_glow_state(const Message& message, Roots& roots) noexcept {
  const Document& document = message.document;
  const bool radio = document.find(0, "han.rssi") != 0 || document.find(0, "han.status") != 0;
  if (radio && (document.child(0, "smetsversion") != 0 || document.child(0, "eui") != 0))
    (void)roots.push_back(0);
}

void read_glow_state(SetBuilder& builder, std::size_t, std::size_t) noexcept {
  Message& message = builder.message();
  Document& document = message.document;
  builder.set().medium = Medium::system;
  read_radio(builder, document.find(0, "han.rssi"), document.find(0, "han.lqi"));
  std::string_view device = device_of(message.topic);
  for (const std::string_view key : {"wifistamac", "ethmac", "eui"})
    if (const std::size_t node = document.child(0, key); node != 0) {
      document.mark_used(node);
      if (device.empty()) device = document[node].text;
    }
  Source& source = message.sources.of(Format::glow_state, device, {});
  settle_identity(builder.set(), source, {}, device, {});
  if (const std::size_t time = document.child(0, "timestamp"); time != 0) {
    document.mark_used(time);
    builder.set().time = time_of(document[time]);
  }
}

}  // namespace meter::json

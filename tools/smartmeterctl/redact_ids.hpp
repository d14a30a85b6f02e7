// SPDX-License-Identifier: Apache-2.0
// Ids: the ids that a recording names, their pseudonyms, and the forms in which they are sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/smartmeterctl/redact_walk.hpp"

namespace smartmeterctl::redact {

/// What tells a meter, or a person, from others.
struct Id {
  enum class Kind : std::uint8_t {
    text,    ///< characters
    digits,  ///< a number, in decimal digits
    octets,
  };
  Kind kind = Kind::text;
  Octets value;
  /// A message to a person: every letter of it goes, while an id keeps its maker and type.
  bool is_message = false;
  /// Of Kind::digits: the server id (SML) that carries it; rules of its maker may go by the number.
  Octets server_id;
};

/// A number below `limit`; unpredictable but in tests.
using Random = std::function<std::uint32_t(std::uint32_t limit)>;

/// Octets that stand for an id, and those that replace them.
struct Form {
  Octets from, to;
  std::size_t id = 0;      ///< index of the id
  bool is_telling = true;  ///< long and varied enough that it stands nowhere by chance
  bool is_digits = false;  ///< of a text: in a longer number it is no id
};

/// The ids of a recording with a pseudonym for each: of the same kind and length, maker and type
/// as before, the same wherever the id stands. An id within a longer one gets the same pseudonym
/// there.
class Pseudonyms {
 public:
  Pseudonyms(std::vector<Id> ids, const Random& random);
  /// Longest first.
  const std::vector<Form>& forms() const { return forms_; }
  std::size_t size() const { return ids_.size(); }
  /// What these octets, an id, become; null where they are none.
  const Form* find(meter::Bytes octets) const;

 private:
  struct Named {
    Id id;
    Octets pseudonym;
  };
  void name(const Id& id);
  Octets attempt(const Id& id) const;
  void fill_in_known(const Id& id, Octets& pseudonym, std::vector<bool>& is_set) const;
  bool fits(const Id& id, const Octets& pseudonym) const;
  void add_forms(const Named& named, std::size_t index);

  const Random& random_;
  std::vector<Named> ids_;
  std::vector<Form> forms_;
};

/// True where `form` may be replaced at `at` of these octets: is it there, and an id there?
bool stands_at(const Form& form, meter::Bytes octets, std::size_t at);
/// The next such place from `from` on; nothing: none.
std::optional<std::size_t> find_form(const Form& form, meter::Bytes octets, std::size_t from);

/// An id, and where it stands in the content of its telegram.
struct Place {
  std::size_t at = 0, size = 0;
};
struct Found {
  Id id;
  std::vector<Place> places;
};
/// The ids that a telegram names.
std::vector<Found> find_ids(const Telegram& telegram, const Content& content);
/// Nothing but zeros, blanks or FF, or one character again and again: no meter has been named, or
/// somebody else has replaced its id.
bool is_blank(meter::Bytes value);
/// The register holds an id.
bool is_id(const Telegram& telegram, const Entry& entry);

}  // namespace smartmeterctl::redact

// SPDX-License-Identifier: Apache-2.0
// A build without simdjson: telegrams alone can be translated.
#include "daemon/source.hpp"

namespace smartmeterd {

bool reads_json() noexcept { return false; }

std::unique_ptr<Translator> make_json_translator(const TranslatorContext&) { return nullptr; }

}  // namespace smartmeterd

// SPDX-License-Identifier: Apache-2.0
// Start code: what only the start of the process needed leaves its memory.
#pragma once

namespace smartmeterd {

/// Unmaps the pages of program code, the libraries' included; what runs again comes back from the
/// page cache. Not under a debugger, whose breakpoints are in those pages.
void release_start_code() noexcept;

}  // namespace smartmeterd

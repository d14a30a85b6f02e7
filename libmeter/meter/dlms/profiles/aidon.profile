# SPDX-License-Identifier: Apache-2.0
# The array's entries carry code, value, scaler and unit: nothing to know but the name.
# Source: Aidon HAN interface description; captures of 6515, 6525 and 6534 from Norway and Sweden.
family Aidon

codes array-of-entries
  list     array
  begins   entry
  entries  nested

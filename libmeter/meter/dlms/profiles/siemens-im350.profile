# SPDX-License-Identifier: Apache-2.0
# Wels: five pairs of code and value. Their scales are not known.
family Siemens IM350 of Wels Strom

codes siemens-wels
  list     structure
  items    10
  begins   code
  entries  pairs

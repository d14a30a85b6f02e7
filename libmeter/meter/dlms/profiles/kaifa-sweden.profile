# SPDX-License-Identifier: Apache-2.0
# 18 pairs of code and value, all 32 bit, without scalers.
# Source: captures of MA304H4.
family Kaifa MA304 in Sweden

codes kaifa-se
  list     structure
  begins   code
  entries  pairs
  text     KFM_
  scale    energy 1, power 1, voltage 0.1, current 0.001

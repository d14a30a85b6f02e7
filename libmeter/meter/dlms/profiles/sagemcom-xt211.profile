# SPDX-License-Identifier: Apache-2.0
# Attribute descriptors without type tags, each with its value; whole W and Wh.
# Source: EG.D push list; capture.
family Sagemcom XT211 in Czechia

codes sagemcom-xt211
  list     structure
  begins   other
  entries  attributes
  scale    energy 1, power 1

# SPDX-License-Identifier: Apache-2.0
# A list of push objects as the E450's, with 64-bit integers. Its currents depend on the
# transformers: not known.
# Source: captures from Switzerland.
family Landis+Gyr E570

push-objects landis-gyr-e570
  channel  8
  wide
  scale    energy 1, power 1, voltage 1, power-factor 0.001

# SPDX-License-Identifier: Apache-2.0
# A list of push objects; the AM550 of Switzerland sends the same.
# Source: captures from Switzerland.
family Landis+Gyr E360, Iskraemeco AM550 (Switzerland)

push-objects landis-gyr-e360
  channel  6
  scale    energy 1, power 1, voltage 0.1, current 0.01, power-factor 0.001

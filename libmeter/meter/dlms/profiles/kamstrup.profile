# SPDX-License-Identifier: Apache-2.0
# A text and pairs of code and value, without scalers. Where the meter has one phase the pairs of
# the others are null-data. Energies are in 10 Wh in Norway, Denmark, Switzerland and Sweden; that
# some Swedish meters count in Wh is said, but nothing in the list would tell them.
# Source: Kamstrup HAN-NVE 3.1; captures from all four countries.
family Kamstrup Omnipower

codes kamstrup
  list     structure
  begins   text
  entries  pairs
  text     Kamstrup_  as 1-1:0.2.129
  scale    energy 10, power 1, voltage 1, current 0.01, power-factor 0.01

# Meters behind current transformers, by the meter's type: currents in mA.
codes kamstrup-transformer
  meters   Kamstrup Omnipower CT (685)
  list     structure
  begins   text
  entries  pairs
  text     Kamstrup_  as 1-1:0.2.129
  where    1-1:96.1.1 begins 685
  scale    energy 10, power 1, voltage 1, current 0.001, power-factor 0.01

# Newer firmware of direct meters (type 684) sends voltages in 0.01 V with nothing else changed:
# 22199. A direct meter cannot measure 1000 V, so that such a number is this firmware.
codes kamstrup-fine-voltage
  meters   Kamstrup Omnipower (684) with voltages in 0.01 V
  list     structure
  begins   text
  entries  pairs
  text     Kamstrup_  as 1-1:0.2.129
  where    1-1:96.1.1 begins 684
  where    voltage above 1000
  scale    energy 10, power 1, voltage 0.01, current 0.01, power-factor 0.01

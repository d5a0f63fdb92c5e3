"""The cases: one file per noun of the contract, one test per sentence."""

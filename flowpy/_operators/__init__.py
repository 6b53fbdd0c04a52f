"""What each stage does: async generator functions only, one file per section of the API.

See `flowpy._chain.Operator` for the form they keep.
"""

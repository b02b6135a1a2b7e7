"""`make bench`: measures what the desk promises, each figure beside its limit or its reference of the same run.

One file per group of figures; `desk` sets up what they share, `figures` says how they are shown. Runs on
throwaway services only, because it empties the tables. Knows the whole house, and nobody knows it.
"""

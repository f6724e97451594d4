"""Side-by-side measurements of Tether against floors: what this machine could do at best.

`python -m benchmarks` runs them all; docs/benchmarks.md says what each measures. One module is one
measurement: it takes a `Plan`, measures what is compared in turns, and returns a `Report`.
"""

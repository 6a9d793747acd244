"""Reading and writing files of events and profiles: CSV, NDJSON and Parquet.

A file is read twice. The first reading (`survey`) takes its identity, counts its records and finds one type for
each column; the second (`records`) makes records of its rows, and refuses a row by its line where it cannot.
"""
